import type { Preconditions, Role } from '#http';
import type { BatchRow } from '#store';
import type { BatchInput, RejectedObjects } from './batch-input.js';

/** A write of a batch: what to store, and how. */
export interface BatchWrite {
  projectId: number;
  batchId: string;
  input: BatchInput;
  /** What to do where the batch exists: refuse it, or compare the content and then refuse, replace, or add what is missing. */
  ifExists: 'refuse' | 'compare' | 'replace' | 'skip';
  /** Store the valid objects and report the others. */
  isPartial: boolean;
  /** Report the result without storing anything. */
  isDryRun: boolean;
  /** Preconditions on the batch; undefined where the URL is not that of the batch. */
  preconditions?: Preconditions | undefined;
  baseUrl: string;
  role: Role;
}

/** The result of a write, before its transaction is committed. */
export interface BatchResult {
  kind: 'created' | 'unchanged' | 'replaced' | 'extended';
  batch: BatchRow;
  /** Number of objects of the request that are in the store now. */
  stored: number;
  rejected: RejectedObjects;
  /** Whether the batch may have objects that the request did not contain. */
  hasOtherObjects: boolean;
}
