import { setImmediate } from 'node:timers/promises';

/**
 * Runs work once for all that ask for it before it begins. Whoever asks later gets the next run, because a run that has begun
 * may have read what was there before.
 */
export class JoinedRuns<Key, Result> {
  private readonly running = new Map<Key, Promise<Result>>();
  private readonly waiting = new Map<Key, Promise<Result>>();

  /** @param work the same for all of a key */
  run(key: Key, work: () => Promise<Result>): Promise<Result> {
    let next = this.waiting.get(key);
    if (next === undefined) {
      next = this.runAfter(this.running.get(key), key, work);
      this.waiting.set(key, next);
    }
    return next;
  }

  private async runAfter(earlier: Promise<Result> | undefined, key: Key, work: () => Promise<Result>): Promise<Result> {
    await earlier?.catch(() => undefined);
    // All that are woken at the same time join it.
    await setImmediate();
    this.waiting.delete(key);
    const running = work().finally(() => this.running.delete(key));
    this.running.set(key, running);
    return running;
  }
}
