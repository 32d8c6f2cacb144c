import { LimitTimes } from './limit-times.js';

export type LimitName = 'key' | 'project' | 'address';

/** The id of a key or a project, or a group of addresses. */
export type CounterId = string | number;

/** What one key, project or address has used in its current window. */
export interface Counter {
  readonly id: CounterId;
  /** Includes the items of other processes, as far as the shared store has returned them. */
  items: number;
  /** Items that the shared store does not have yet. */
  pending: number;
  /** The end of the window, by the clock of the limit. */
  endsAtMs: number;
  isExhausted: boolean;
}

/** The items and the rest of the window that the shared store has, over all processes. */
export interface CombinedCount {
  items: number;
  endsInMs: number;
}

/** Ids that a limit tracks at a time: at about 200 bytes each, 10 MB. */
const TRACKED_MAX = 50_000;

interface Options {
  name: LimitName;
  /** Items that one id may use in a window. */
  max: number;
  times?: LimitTimes;
  /** Pending items of one id with which it is combined; Infinity without a store. */
  combineFrom?: number;
  trackedMax?: number;
  now?: () => number;
}

/**
 * A limit of items per window, counted in this process. The window of an id begins with its first item and has a fixed length.
 * The counts of several processes are combined by `CountCombiner`.
 */
export class RateLimit {
  readonly name: LimitName;
  readonly max: number;
  private readonly times: LimitTimes;
  private readonly combineFrom: number;
  private readonly trackedMax: number;
  private readonly now: () => number;
  /** Ids below the limit, in the order in which their windows began. */
  private readonly open = new Map<CounterId, Counter>();
  /** Ids over the limit, in the order in which they reached it. They are apart, so that no number of others evicts them. */
  private readonly exhausted = new Map<CounterId, Counter>();
  private readonly toCombine = new Set<Counter>();
  private removeEndedAtMs = 0;

  constructor({ name, max, times, combineFrom, trackedMax, now }: Options) {
    this.name = name;
    this.max = max;
    this.times = times ?? new LimitTimes();
    this.combineFrom = combineFrom ?? Infinity;
    this.trackedMax = trackedMax ?? TRACKED_MAX;
    this.now = now ?? (() => performance.now());
  }

  /** The number of ids that are tracked. */
  get size(): number {
    return this.open.size + this.exhausted.size;
  }

  /** Whether some id may be over the limit, or was within the last two windows. */
  get hasExhausted(): boolean {
    if (this.exhausted.size > 0 && this.now() >= this.removeEndedAtMs) this.removeEnded();
    return this.exhausted.size > 0;
  }

  /** Whether nothing is left for this id in its window. */
  isExhausted(id: CounterId): boolean {
    return this.hasExhausted && this.find(id)?.isExhausted === true;
  }

  charge(id: CounterId, items: number): void {
    const counter = this.find(id) ?? this.begin(id);
    counter.items += items;
    counter.pending += items;
    if (counter.pending >= this.combineFrom) this.toCombine.add(counter);
    this.place(counter);
  }

  /** What is left for this id, and the milliseconds until its window ends. */
  stateOf(id: CounterId): { remaining: number; endsInMs: number } {
    const counter = this.find(id);
    if (counter === undefined) return { remaining: this.max, endsInMs: this.times.windowMs };
    return { remaining: Math.max(0, this.max - counter.items), endsInMs: this.restOf(counter) };
  }

  /** Returns up to `count` counters with pending items, those that have waited longest first. */
  takePending(count: number): Counter[] {
    const taken: Counter[] = [];
    for (const counter of this.toCombine) {
      if (taken.length === count) break;
      // The items of a window that has ended would be charged to the next one.
      if (this.hasEnded(counter)) {
        this.remove(counter);
        continue;
      }
      this.toCombine.delete(counter);
      taken.push(counter);
    }
    return taken;
  }

  /** The milliseconds until the window of a counter ends; 0 or less when it has ended. */
  restOf({ endsAtMs }: Counter): number {
    return endsAtMs - this.now();
  }

  /** Sets a counter to what the shared store returned when `sent` of its items were added there. */
  setCombined(counter: Counter, sent: number, { items, endsInMs }: CombinedCount): void {
    // Items were charged meanwhile, or the window ended and the counter began again.
    counter.pending = Math.max(0, counter.pending - sent);
    counter.items = items + counter.pending;
    counter.endsAtMs = this.now() + endsInMs;
    if (this.find(counter.id) === counter) this.place(counter);
  }

  /** Has a counter taken again, because its items were not added to the store. */
  combineLater(counter: Counter): void {
    if (this.find(counter.id) === counter) this.toCombine.add(counter);
  }

  private find(id: CounterId): Counter | undefined {
    const counter = this.open.get(id) ?? this.exhausted.get(id);
    if (counter === undefined || !this.hasEnded(counter)) return counter;
    this.remove(counter);
    return undefined;
  }

  private hasEnded(counter: Counter): boolean {
    return this.restOf(counter) <= 0;
  }

  private begin(id: CounterId): Counter {
    if (this.size >= this.trackedMax) this.evict();
    const endsAtMs = this.now() + this.times.windowMs;
    const counter = { id, items: 0, pending: 0, endsAtMs, isExhausted: false };
    this.open.set(id, counter);
    return counter;
  }

  /** Removes an id whose window has ended, or else the oldest one that is below the limit. */
  private evict(): void {
    const [oldest] = this.open.values();
    const [oldestExhausted] = this.exhausted.values();
    const evicted =
      oldestExhausted !== undefined && this.hasEnded(oldestExhausted) ? oldestExhausted : (oldest ?? oldestExhausted);
    if (evicted !== undefined) this.remove(evicted);
  }

  /** Once per window: without it, every request would pay for the look-up of its id after a single one was over the limit. */
  private removeEnded(): void {
    this.removeEndedAtMs = this.now() + this.times.windowMs;
    for (const counter of this.exhausted.values()) if (this.hasEnded(counter)) this.remove(counter);
  }

  private remove(counter: Counter): void {
    (counter.isExhausted ? this.exhausted : this.open).delete(counter.id);
    this.toCombine.delete(counter);
  }

  private place(counter: Counter): void {
    const isExhausted = counter.items >= this.max;
    if (isExhausted === counter.isExhausted) return;
    const [from, to] = isExhausted ? [this.open, this.exhausted] : [this.exhausted, this.open];
    from.delete(counter.id);
    to.set(counter.id, counter);
    counter.isExhausted = isExhausted;
  }
}
