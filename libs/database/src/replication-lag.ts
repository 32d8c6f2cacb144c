/** A position in the write-ahead log of the primary, and a time at which it had not been passed yet. */
interface Sample {
  position: bigint;
  atMs: number;
}

/** Samples are kept for as long as the largest lag that is permitted. */
const KEPT_MS = 600_000;

/**
 * How old the data of a replica may be, by positions in the write-ahead log: what the primary had written at a time is on the replica
 * when the replica has replayed up to the position of that time. Times are those of `performance.now()` in this process, so the clocks
 * of the servers do not matter, and a primary without writes is not taken for a lag.
 */
export class ReplicationLag {
  private samples: Sample[] = [];
  private completeAtMs = -Infinity;

  /** @param atMs a time before the position was read */
  addPrimary(position: bigint, atMs: number): void {
    const first = this.samples.findIndex((sample) => atMs - sample.atMs <= KEPT_MS);
    this.samples = first === -1 ? [] : this.samples.slice(first);
    this.samples.push({ position, atMs });
  }

  /** @param position up to which the replica has replayed */
  addReplica(position: bigint): void {
    const index = this.samples.findLastIndex((sample) => sample.position <= position);
    this.completeAtMs = this.samples[index]?.atMs ?? -Infinity;
    // Not those of the replayed one and later: a replica may be restored to an earlier position.
    if (index > 0) this.samples.splice(0, index);
  }

  /** The most milliseconds by which the replica is behind; Infinity where that is not known. */
  at(nowMs: number): number {
    return nowMs - this.completeAtMs;
  }
}
