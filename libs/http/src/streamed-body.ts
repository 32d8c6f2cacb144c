import { Readable } from 'node:stream';

/** Where a streamed body comes from. It holds a resource, such as a database connection, until it is closed. */
export interface BodySource {
  /** The next chunk, never empty; null after the last. Not called again before it has resolved. */
  next(): Promise<string | Uint8Array | null>;
  /** Frees the resource. It may be called again, and while `next` is pending, which may then fail. */
  close(): Promise<void>;
}

/** How fast a client has to read. */
export interface ReadPace {
  /** The total time for which a chunk may be unread before the minimum rate applies. */
  graceMs: number;
  /** The minimum average rate after that. */
  bytesPerSecond: number;
}

/** Slower than any usable connection; a body of 40 MB still ends within 45 minutes. */
const READ_PACE: ReadPace = { graceMs: 60_000, bytesPerSecond: 16 * 1024 };

/**
 * A response body that is read from its source as fast as the client reads it. The source is always closed: after the last
 * chunk, on an error, when the client disconnects, and when the body is read more slowly than the pace, also by a server that
 * never sends it. Only the time in which a chunk is unread counts.
 */
export class StreamedBody extends Readable {
  private pending: Promise<void> = Promise.resolve();
  private unreadTimer: NodeJS.Timeout | undefined;
  private unreadSinceMs = 0;
  private unreadMs = 0;
  private bytes = 0;

  constructor(
    private readonly source: BodySource,
    private readonly pace: ReadPace = READ_PACE,
  ) {
    super();
    // Without a listener, an error before the first read would end the process.
    this.on('error', () => undefined);
    this.startUnreadTimer();
  }

  override _read(): void {
    this.stopUnreadTimer();
    this.pending = this.pushNext();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.unreadTimer);
    // At once, so that the source can cancel a slow `next`.
    void Promise.all([this.pending, this.source.close()]).then(
      () => {
        done(error);
      },
      (closeError: unknown) => {
        done(error ?? (closeError as Error));
      },
    );
  }

  private async pushNext(): Promise<void> {
    try {
      const chunk = await this.source.next();
      // Frees the source's resource before the client has read the last chunk.
      if (chunk === null) await this.source.close();
      if (this.destroyed) return;
      if (chunk !== null) {
        this.bytes += Buffer.byteLength(chunk);
        this.startUnreadTimer();
      }
      this.push(chunk);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  private startUnreadTimer(): void {
    const { graceMs, bytesPerSecond } = this.pace;
    this.unreadSinceMs = performance.now();
    this.unreadTimer = setTimeout(
      () => {
        this.destroy(new Error(`the client reads fewer than ${String(bytesPerSecond)} bytes per second`));
      },
      graceMs + (this.bytes / bytesPerSecond) * 1_000 - this.unreadMs,
    );
  }

  private stopUnreadTimer(): void {
    clearTimeout(this.unreadTimer);
    this.unreadMs += performance.now() - this.unreadSinceMs;
  }
}
