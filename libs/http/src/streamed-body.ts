import { Readable } from 'node:stream';

/** Where a streamed body comes from. It holds a resource, such as a database connection, until it is closed. */
export interface BodySource {
  /** The next chunk, never empty; null after the last. Not called again before it has resolved. */
  next(): Promise<string | null>;
  /** Frees the resource. It may be called again, and while `next` is pending. */
  close(): Promise<void>;
}

/** How fast a client has to read. */
export interface ReadPace {
  /** How long it may leave the body unread, in all. */
  graceMs: number;
  /** The average from then on. */
  bytesPerSecond: number;
}

/** Slower than any connection that can be used, and fast enough that 40 MB end within 45 minutes. */
const READ_PACE: ReadPace = { graceMs: 60_000, bytesPerSecond: 16 * 1024 };

/**
 * A response body that is read from its source as fast as the client takes it. However it ends, its source is closed: after
 * the last chunk, when the client is gone, after an error, and when the client (or the server, with a body that it does not
 * send) reads more slowly than the pace. Only time in which a chunk waits for the client counts.
 */
export class StreamedBody extends Readable {
  private pending: Promise<void> = Promise.resolve();
  private stall: NodeJS.Timeout | undefined;
  private unreadSinceMs = 0;
  private unreadMs = 0;
  private bytes = 0;

  constructor(
    private readonly source: BodySource,
    private readonly pace: ReadPace = READ_PACE,
  ) {
    super();
    // One that is cut off before anything listens to it must not end the process.
    this.on('error', () => undefined);
    this.startStall();
  }

  override _read(): void {
    this.stopStall();
    this.pending = this.pushNext();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.stall);
    void this.pending
      .then(() => this.source.close())
      .then(
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
      // What it holds is free before the client has read the last chunk.
      if (chunk === null) await this.source.close();
      if (this.destroyed) return;
      if (chunk !== null) {
        this.bytes += Buffer.byteLength(chunk);
        this.startStall();
      }
      this.push(chunk);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  private startStall(): void {
    const { graceMs, bytesPerSecond } = this.pace;
    this.unreadSinceMs = performance.now();
    this.stall = setTimeout(
      () => {
        this.destroy(new Error(`the client reads fewer than ${String(bytesPerSecond)} bytes per second`));
      },
      graceMs + (this.bytes / bytesPerSecond) * 1_000 - this.unreadMs,
    );
  }

  private stopStall(): void {
    clearTimeout(this.stall);
    this.unreadMs += performance.now() - this.unreadSinceMs;
  }
}
