import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { CountStore } from './count-store.js';
import type { LimitTimes } from './limit-times.js';
import type { RateLimit } from './rate-limit.js';

/** Counts of a limit that are shared in one round; the others wait for the next one. */
const ROUND_MAX = 1_000;
const CLEAN_EVERY_MS = 60_000;
/** How long a stop waits for the last round. */
const LAST_ROUND_MS = 500;

/**
 * Combines the counts of several processes once a second: adds what this process has counted to the shared store, which
 * returns the total of all processes. While the store is unavailable, this process limits by its own count.
 */
export class CountSharing {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;
  private isAway = false;
  private cleanedAtMs = performance.now();

  constructor(
    private readonly limits: readonly RateLimit[],
    private readonly store: CountStore,
    private readonly times: LimitTimes,
    private readonly log: Pick<Logger, 'warn'> = new Logger('rate limits'),
  ) {}

  start(): void {
    this.timer ??= setInterval(() => {
      // A store that takes longer than a second delays the next round.
      this.round ??= this.share().finally(() => {
        this.round = undefined;
      });
    }, this.times.shareEveryMs).unref();
  }

  /** Shares what is left, so that a restart forgets as little as possible, and closes the store. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const timeout = new AbortController();
    const lastRound = (this.round ?? Promise.resolve()).then(() => this.share());
    await Promise.race([lastRound, sleep(LAST_ROUND_MS, undefined, timeout).catch(() => undefined)]);
    timeout.abort();
    this.store.close();
  }

  /** One round. Never fails. */
  async share(): Promise<void> {
    try {
      let sharedCount = 0;
      for (const limit of this.limits) sharedCount += await this.shareLimit(limit);
      if (this.isAway && sharedCount > 0) {
        this.isAway = false;
        this.log.warn(`${this.store.name} is available again: rate limits count the items of all processes`);
      }
      await this.clean();
    } catch (error) {
      if (this.isAway) return;
      this.isAway = true;
      this.log.warn(
        `${this.store.name} is unavailable: each process limits by its own count until it responds: ${String(error)}`,
      );
    }
  }

  /** @returns the number of counters that were shared @throws the first error of the store */
  private async shareLimit(limit: RateLimit): Promise<number> {
    const counters = limit.takeUnshared(ROUND_MAX);
    const waiting = new Set(counters);
    try {
      for (let start = 0; start < counters.length; start += this.store.concurrency) {
        const group = counters.slice(start, start + this.store.concurrency);
        await Promise.all(
          group.map(async (counter) => {
            const { unshared } = counter;
            const endsInMs = limit.restOf(counter);
            // Earlier groups can take seconds.
            if (endsInMs > 0)
              limit.combine(counter, unshared, await this.store.add(limit.name, counter.id, unshared, endsInMs));
            waiting.delete(counter);
          }),
        );
      }
    } finally {
      for (const counter of waiting) limit.shareLater(counter);
    }
    return counters.length;
  }

  private async clean(): Promise<void> {
    if (performance.now() - this.cleanedAtMs < CLEAN_EVERY_MS) return;
    this.cleanedAtMs = performance.now();
    await this.store.deleteExpired();
  }
}
