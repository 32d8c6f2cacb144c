import { SEQ_STEP } from '#database';

const RUN_BYTES = 12;
const STEP = BigInt(SEQ_STEP);

/** The sequence numbers of a segment in ascending order, as runs of neighbouring numbers: the first number, and how many. */
export class SeqRuns {
  private readonly firsts: bigint[] = [];
  /** The ordinal of the first number of each run. */
  private readonly starts: number[] = [];
  private count = 0;
  private last = -1n;

  /** @param body as `toBuffer` wrote it */
  static from(body: Buffer): SeqRuns {
    const runs = new SeqRuns();
    for (let at = 0; at < body.length; at += RUN_BYTES) {
      runs.firsts.push(body.readBigInt64LE(at));
      runs.starts.push(runs.count);
      runs.count += body.readUInt32LE(at + 8);
    }
    if (runs.count > 0) runs.last = runs.at(runs.count - 1);
    return runs;
  }

  get length(): number {
    return this.count;
  }

  /** Appends a number, which must be greater than the last one. */
  add(seq: bigint): void {
    if (this.count === 0 || seq !== this.last + STEP) {
      this.firsts.push(seq);
      this.starts.push(this.count);
    }
    this.last = seq;
    this.count++;
  }

  /** The sequence number of an ordinal. */
  at(ordinal: number): bigint {
    const run = lastAtMost(this.starts, ordinal);
    return (this.firsts[run] ?? 0n) + BigInt((ordinal - (this.starts[run] ?? 0)) * SEQ_STEP);
  }

  /** The ordinal of a sequence number; -1 where the segment does not have it. */
  ordinalOf(seq: bigint): number {
    const ordinal = this.countUpTo(seq) - 1;
    return ordinal >= 0 && this.at(ordinal) === seq ? ordinal : -1;
  }

  /** How many numbers are at most `seq`. */
  countUpTo(seq: bigint): number {
    const run = lastAtMost(this.firsts, seq);
    if (run < 0) return 0;
    const end = this.starts[run + 1] ?? this.count;
    const start = this.starts[run] ?? 0;
    const steps = (seq - (this.firsts[run] ?? 0n)) / BigInt(SEQ_STEP);
    return steps >= BigInt(end - start) ? end : start + Number(steps) + 1;
  }

  *[Symbol.iterator](): Generator<bigint> {
    for (const [run, first] of this.firsts.entries()) {
      const length = (this.starts[run + 1] ?? this.count) - (this.starts[run] ?? 0);
      for (let i = 0; i < length; i++) yield first + BigInt(i * SEQ_STEP);
    }
  }

  toBuffer(): Buffer {
    const body = Buffer.alloc(this.firsts.length * RUN_BYTES);
    for (const [run, first] of this.firsts.entries()) {
      body.writeBigInt64LE(first, run * RUN_BYTES);
      body.writeUInt32LE((this.starts[run + 1] ?? this.count) - (this.starts[run] ?? 0), run * RUN_BYTES + 8);
    }
    return body;
  }
}

/** The index of the last element that is at most `value`; -1 where all are greater. */
function lastAtMost<T extends bigint | number>(sorted: readonly T[], value: T): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as T) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
