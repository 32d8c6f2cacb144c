import type { CombinedCount, CounterId, LimitName } from './rate-limit.js';

/** Items that a process has counted and the shared store does not have yet. */
export interface PendingCount {
  limit: LimitName;
  id: CounterId;
  items: number;
  /** The rest of the window in this process. A window that begins in the store gets this length, so that both end together. */
  endsInMs: number;
}

/** Where the processes of an installation combine their counts. */
export interface CountStore {
  readonly name: string;
  /** Counts that are sent at a time. */
  readonly countsMax: number;
  /**
   * Adds items to the counts of the current windows, or begins windows.
   * @returns the combined count of each, in the same order; null where the items were not added and must be sent again
   * @throws Error when the store is unavailable, so that none were added
   */
  add(counts: readonly PendingCount[]): Promise<(CombinedCount | null)[]>;
  /** Deletes the counts of windows that have ended. */
  deleteExpired(): Promise<void>;
  close(): void;
}

/** A store that takes longer counts as unavailable. No request waits for it. */
export const STORE_TIMEOUT_MS = 2_000;
