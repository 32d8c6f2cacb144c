/** How slow a client may be. */
export interface PaceLimits {
  /** How long the server may wait for it in all, before the minimum rate applies. */
  pauseMs: number;
  /** The minimum average rate, counting only the time in which the server waits. */
  bytesPerSecond: number;
}

/**
 * Measures how long the server has waited for the client of a stream. Time is made up for by bytes: each second that is waited
 * has to bring `bytesPerSecond`, apart from `pauseMs`. Bytes that arrive faster are not saved up for later.
 */
export class StreamPace {
  private leftMs: number;

  constructor(private readonly limits: PaceLimits) {
    this.leftMs = limits.pauseMs;
  }

  get isTooSlow(): boolean {
    return this.leftMs <= 0;
  }

  /** @param waitedMs how long the server waited for the bytes */
  add(bytes: number, waitedMs: number): void {
    const { pauseMs, bytesPerSecond } = this.limits;
    this.leftMs = Math.min(pauseMs, this.leftMs - waitedMs + (bytes * 1_000) / bytesPerSecond);
  }
}
