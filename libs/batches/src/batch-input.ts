import type { Actor } from '#audit';
import { ValidationErrors, type Preconditions, type Role, type StreamSource } from '#http';
import type { BatchObject } from './batch-object.js';
import type { BatchTarget } from './batch-write.store.js';

/** Some consecutive objects of a batch, parsed and validated. */
export interface BatchChunk {
  objects: BatchObject[];
  /** The errors of the objects that are not valid, and of the batch itself. */
  errors: ValidationErrors;
  /** Number of objects that are not valid. */
  invalidObjects: number;
  /** Whether no chunk follows. */
  isLast: boolean;
}

/** The objects of a batch, in the order sent, parsed and validated while they are read. */
export interface BatchInput {
  /** `memory`: a JSON body, which can be read again. A stream is read once. */
  readonly source: 'memory' | StreamSource;
  /** @throws Problem malformed-request or too-large; validation errors are part of the chunks */
  chunks(): Iterable<BatchChunk> | AsyncIterable<BatchChunk>;
  /** JSON Pointer to the object at a position. */
  readonly pointerTo: (position: number) => string;
}

/** The errors of a batch, and the number of objects that are not stored because of them. */
export class RejectedObjects extends ValidationErrors {
  objects = 0;

  addChunk({ errors, invalidObjects }: BatchChunk): void {
    this.addAll(errors);
    this.objects += invalidObjects;
  }
}

/** A write of a batch: what to store, and how. */
export interface BatchWrite {
  projectId: number;
  batchId: string;
  input: BatchInput;
  /**
   * What to do where the batch exists: `reject` it in any case; otherwise compare the content and, if it differs, reject the
   * batch (`compare`), replace the stored content (`replace`), or add the objects that do not exist (`skip`).
   */
  ifExists: 'reject' | 'compare' | 'replace' | 'skip';
  /** Store the valid objects and report the others. */
  isPartial: boolean;
  /** Report the result without storing anything. */
  isDryRun: boolean;
  /** Preconditions on the batch; undefined where the URL is not that of the batch. */
  preconditions?: Preconditions | undefined;
  baseUrl: string;
  role: Role;
  actor: Actor;
  /** Frees the slot of the request before the batch waits for one of `WriteSlots`. */
  releaseSlot?: (() => void) | undefined;
}

export function targetOf({ projectId, batchId }: BatchWrite): BatchTarget {
  return [projectId, batchId];
}
