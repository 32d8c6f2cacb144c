import { describeError } from '#platform';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { CountStore } from './count-store.js';
import type { LimitTimes } from './limit-times.js';
import type { CombinedCount, Counter, RateLimit } from './rate-limit.js';

/** Counts of a limit that are combined in one round; the others wait for the next one. */
const ROUND_MAX = 1_000;
const CLEAN_EVERY_MS = 60_000;
/** How long a stop waits for the last round. */
const LAST_ROUND_MS = 500;

/**
 * Combines the counts of several processes once a second: adds what this process has counted to the shared store, which
 * returns the total of all processes. While the store is unavailable, this process limits by its own count.
 */
export class CountCombiner {
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
      this.round ??= this.combine().finally(() => {
        this.round = undefined;
      });
    }, this.times.combineEveryMs).unref();
  }

  /** Combines what is left, so that a restart forgets as little as possible, and closes the store. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const timeout = new AbortController();
    const lastRound = (this.round ?? Promise.resolve()).then(() => this.combine());
    await Promise.race([lastRound, sleep(LAST_ROUND_MS, undefined, timeout).catch(() => undefined)]);
    timeout.abort();
    this.store.close();
  }

  /** One round. Never fails. */
  async combine(): Promise<void> {
    try {
      let count = 0;
      for (const limit of this.limits) count += await this.combineLimit(limit);
      if (this.isAway && count > 0) {
        this.isAway = false;
        this.log.warn(`${this.store.name} is available again: rate limits count the items of all processes`);
      }
      await this.clean();
    } catch (error) {
      if (this.isAway) return;
      this.isAway = true;
      this.log.warn(
        `${this.store.name} is unavailable: each process limits by its own count until it responds: ${describeError(error)}`,
      );
    }
  }

  /** @returns the number of counters that were sent @throws the error of a store that is unavailable */
  private async combineLimit(limit: RateLimit): Promise<number> {
    let count = 0;
    while (count < ROUND_MAX) {
      const counters = limit.takePending(this.store.countsMax);
      if (counters.length === 0) break;
      const isComplete = await this.send(limit, counters);
      count += counters.length;
      // The next round repeats those that failed.
      if (!isComplete) break;
    }
    return count;
  }

  /** @returns whether all of the counters were combined @throws the error of a store that is unavailable */
  private async send(limit: RateLimit, counters: readonly Counter[]): Promise<boolean> {
    const sent = counters.map((counter) => ({
      limit: limit.name,
      id: counter.id,
      items: counter.pending,
      endsInMs: limit.restOf(counter),
    }));
    let combined: readonly (CombinedCount | null)[] = [];
    try {
      combined = await this.store.add(sent);
    } finally {
      for (const [index, counter] of counters.entries()) {
        const one = combined[index] ?? null;
        if (one === null) limit.combineLater(counter);
        else limit.setCombined(counter, sent[index]?.items ?? 0, one);
      }
    }
    return !combined.includes(null);
  }

  private async clean(): Promise<void> {
    if (performance.now() - this.cleanedAtMs < CLEAN_EVERY_MS) return;
    this.cleanedAtMs = performance.now();
    await this.store.deleteExpired();
  }
}
