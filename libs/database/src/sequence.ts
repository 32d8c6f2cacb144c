const EPOCH = '2024-01-01T00:00:00';
const EPOCH_MS = Date.parse(`${EPOCH}Z`);
const TICKS_PER_MS = 4096;
const LANES = 1024;

/** The distance between neighbouring numbers of one lane; the bits below it are the lane. */
export const SEQ_STEP = LANES;

/**
 * SQL for the time at which a sequence number was generated, to the millisecond. It is immutable, which the sum of a timestamptz and an
 * interval is not: on a cluster an INSERT may have only immutable functions in COALESCE and CASE.
 */
export function timeOfSeqSql(seq: string): string {
  return `((timestamp '${EPOCH}' + (${seq} >> 22) * interval '1 millisecond') AT TIME ZONE 'UTC')`;
}

/** The time at which a sequence number was generated, RFC 3339 in UTC. */
export function timeOfSeq(seq: string | bigint): string {
  return new Date(EPOCH_MS + Number(BigInt(seq) >> 22n)).toISOString();
}

/** The least number that is generated at a time, in milliseconds since 1970, or after it. */
export function firstSeqAt(ms: number): string {
  return (BigInt(ms - EPOCH_MS) << 22n).toString();
}

/** The same in SQL. */
export function firstSeqAtSql(time: string): string {
  return `((extract(epoch FROM ${time} - timestamptz '${EPOCH}Z') * 1000)::bigint << 22)`;
}

/** Whether the text is a sequence number as responses write it: without leading zeros, and in the range of a bigint. */
export function isSeq(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text) && BigInt(text) < 2n ** 63n;
}

/** The part of a lane that one process may use. A tick is a number without its lane: a 4096th of a millisecond. */
export interface LaneRange {
  lane: number;
  /** The last tick that an earlier holder of the lane may have used. */
  afterTick: number;
  /** The last tick of the range. */
  untilTick: number;
  /** The end of the lease on the monotonic clock of this process, in ms. */
  endsAtMs: number;
}

/** No number can be generated now: the lease of the lane has ended, or the clock is beyond the range. A retry may succeed. */
export class SequenceUnavailableError extends Error {
  override name = 'SequenceUnavailableError';
}

/** The clocks of a process, which tests replace. */
export interface SequenceClocks {
  /** Milliseconds since 1970. It may be set forward and back. */
  now: () => number;
  /** Milliseconds since any moment. It never goes back. */
  monotonicNow: () => number;
}

/**
 * Generates Snowflake ids: 41 bits of milliseconds since 2024, 12 of a counter, 10 of a worker id, here a leased "lane". They
 * order batches, objects, jobs and keys, and contain the time at which they were generated. They grow with
 * time, and need no round trip to the database and no lock. They are unique because each process has a lane of its own, see
 * `LaneLease`, and each holder of a lane a range of its own. Within a process they also grow when the clock is set back.
 * Many numbers at once run ahead of the clock: 100,000 by 25 ms.
 */
export class Sequence {
  private range: LaneRange | undefined;
  private usedTick = 0;

  constructor(private readonly clocks: SequenceClocks = { now: Date.now, monotonicNow: () => performance.now() }) {}

  /**
   * Returns the first of `count` numbers, `SEQ_STEP` apart.
   * @throws SequenceUnavailableError when there is no valid lease
   */
  next(count = 1): bigint {
    const { range } = this;
    if (range === undefined) throw new SequenceUnavailableError('this process has no lane of sequence numbers');
    const tick = Math.max(this.tickOfClock(), this.usedTick + 1);
    const last = tick + count - 1;
    if (last > range.untilTick || this.clocks.monotonicNow() >= range.endsAtMs) {
      throw new SequenceUnavailableError(`the lease of lane ${String(range.lane)} has ended`);
    }
    this.usedTick = last;
    return BigInt(tick) * BigInt(LANES) + BigInt(range.lane);
  }

  /** Uses this range from now on; without one, `next` throws. */
  use(range: LaneRange | undefined): void {
    this.range = range;
    this.usedTick = Math.max(this.usedTick, range?.afterTick ?? 0);
  }

  /** The last tick that was used, by this process or by an earlier holder of the lane. */
  get lastTick(): number {
    return this.usedTick;
  }

  /** The tick that the next number would have now. */
  get nextTick(): number {
    return Math.max(this.tickOfClock(), this.usedTick + 1);
  }

  /** The time on the monotonic clock that leases are measured with, in ms. */
  monotonicNow(): number {
    return this.clocks.monotonicNow();
  }

  private tickOfClock(): number {
    return (this.clocks.now() - EPOCH_MS) * TICKS_PER_MS;
  }
}

/** How many ticks a number of milliseconds has. */
export function ticksOf(ms: number): number {
  return ms * TICKS_PER_MS;
}
