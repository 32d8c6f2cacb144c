import type { RateLimiterStoreAbstract } from 'rate-limiter-flexible';
import type { CounterId, LimitName, SharedCount } from './rate-limit.js';

/** Where the processes of an installation combine their counts. */
export interface CountStore {
  readonly name: string;
  /** Counts that are sent at a time. */
  readonly concurrency: number;
  /**
   * Adds items to the count of the current window, or begins a window.
   * @param windowMs the length of a window that begins; the rest of that of this process, so that both end together
   * @throws Error when the store is unavailable
   */
  add(limit: LimitName, id: CounterId, items: number, windowMs: number): Promise<SharedCount>;
  /** Deletes the counts of windows that have ended. */
  deleteExpired(): Promise<void>;
  close(): void;
}

/** A store that takes longer counts as unavailable. No request waits for it. */
export const STORE_TIMEOUT_MS = 2_000;

/** Options that the library requires. `RateLimit` has the maximum, and every call the length of the window. */
export const LIMITER_OPTIONS = { points: Number.MAX_SAFE_INTEGER, duration: 60 };

/** Adds items to the count of a key of the store. The library has whole seconds, and 0 for a window without an end. */
export async function addItems(
  limiter: RateLimiterStoreAbstract,
  key: string,
  items: number,
  windowMs: number,
): Promise<SharedCount> {
  const customDuration = Math.max(1, Math.floor(windowMs / 1_000));
  const { consumedPoints, msBeforeNext } = await limiter.penalty(key, items, { customDuration });
  return { items: consumedPoints, endsInMs: Math.max(0, msBeforeNext) };
}
