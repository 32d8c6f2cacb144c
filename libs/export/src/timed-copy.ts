import type { CopyOut, Snapshot } from '#database';
import { Problem } from '#http';

/** A copy that ends when the database takes too long until the next bytes. The time in which its reader waits does not count. */
export class TimedCopy {
  private readonly copy: CopyOut;
  private isLate = false;

  constructor(
    private readonly snapshot: Snapshot,
    select: string,
    values: readonly unknown[],
    private readonly timeoutMs: number,
  ) {
    this.copy = snapshot.copyOut(select, values);
  }

  /** The next bytes; null at the end. @throws Problem unavailable after the time, with the snapshot closed */
  async next(): Promise<Buffer | null> {
    const timer = setTimeout(() => {
      this.isLate = true;
      void this.snapshot.close().catch(() => undefined);
    }, this.timeoutMs);
    try {
      const chunk = await this.copy.next();
      if (!this.isLate) return chunk;
    } catch (error) {
      // The cancelled statement has an error of its own.
      if (!this.isLate) throw error;
    } finally {
      clearTimeout(timer);
    }
    const detail =
      `The database returned no object for ${String(this.timeoutMs)} ms (4 times QUERY_TIMEOUT_MS). Use a narrower filter or a shorter ` +
      'time span, or leave out sort; a retry is likely to time out as well.';
    throw new Problem('unavailable', { detail });
  }
}
