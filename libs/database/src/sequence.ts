const EPOCH = '2024-01-01T00:00:00Z';
const EPOCH_MS = Date.parse(EPOCH);
const TICKS_PER_MS = 4096;
const LANES = 1024;

/** The distance between neighbours of one range; the bits below it are the lane. */
export const SEQ_STEP = LANES;

/** SQL for the time that a sequence number was made at, to the millisecond. */
export function timeOfSeqSql(seq: string): string {
  return `(timestamptz '${EPOCH}' + (${seq} >> 22) * interval '1 millisecond')`;
}

/** The time that a sequence number was made at, RFC 3339 in UTC. */
export function timeOfSeq(seq: string | bigint): string {
  return new Date(EPOCH_MS + Number(BigInt(seq) >> 22n)).toISOString();
}

/**
 * Makes the numbers that order everything: 41 bits of milliseconds, 12 of a counter, 10 of a lane. They grow with time, need
 * no round trip to the database and no lock, and are unique because each process writes in its own lane, which it draws at
 * start from a database sequence of 1,024. A range longer than a millisecond's counter runs ahead of the clock, 25 ms for
 * 100,000 numbers.
 */
export class Sequence {
  private lastTick = 0;

  constructor(
    private readonly lane: number,
    private readonly now: () => number = Date.now,
  ) {}

  /** The first of `count` numbers, `SEQ_STEP` apart. */
  next(count = 1): bigint {
    const tick = Math.max((this.now() - EPOCH_MS) * TICKS_PER_MS, this.lastTick + 1);
    this.lastTick = tick + count - 1;
    return BigInt(tick) * BigInt(LANES) + BigInt(this.lane);
  }
}
