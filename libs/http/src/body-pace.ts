import type { IncomingMessage } from 'node:http';

/** The minimum rate of a request body. */
export interface Pace {
  /** The time from the start of a body in which its rate is not checked. */
  graceMs: number;
  /** The interval over which the rate is measured. */
  windowMs: number;
  /** The minimum average in an interval. */
  bytesPerSecond: number;
}

export const PACE: Pace = { graceMs: 60_000, windowMs: 30_000, bytesPerSecond: 1024 };

const TICKS_PER_WINDOW = 30;

interface WatchedBody {
  /** Ticks at which the server waited for the client. */
  ticks: number;
  /** Bytes received on the connection before the current window. */
  bytesBefore: number;
  /** Called when the body is too slow. */
  reject: () => void;
}

/**
 * Rejects bodies that arrive too slowly. Node.js' `requestTimeout` would also end long bodies that arrive fast. One timer
 * serves all bodies; none runs while there are none.
 */
export class BodyPace {
  private readonly bodies = new Map<IncomingMessage, WatchedBody>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly pace: Pace) {}

  /** Watches the body of a request. By default its connection is closed when it is too slow. */
  watch(raw: IncomingMessage): void {
    const cutOff = (): void => {
      raw.socket.destroy();
    };
    this.bodies.set(raw, { ticks: 0, bytesBefore: raw.socket.bytesRead, reject: cutOff });
    this.timer ??= setInterval(() => {
      this.tick();
    }, this.pace.windowMs / TICKS_PER_WINDOW).unref();
  }

  /** Replaces what happens when the body is too slow. `reject` is called again in every further slow window. */
  rejectWith(raw: IncomingMessage, reject: () => void): void {
    const body = this.bodies.get(raw);
    if (body !== undefined) body.reject = reject;
  }

  /** Rejects a body now. */
  reject(raw: IncomingMessage): void {
    this.bodies.get(raw)?.reject();
  }

  private tick(): void {
    for (const [raw, body] of this.bodies) {
      if (raw.complete || raw.socket.destroyed) this.bodies.delete(raw);
      // With a full buffer it is the server that is slow.
      else if (raw.readableLength < raw.readableHighWaterMark) this.count(raw, body);
    }
    if (this.bodies.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private count(raw: IncomingMessage, body: WatchedBody): void {
    const { graceMs, windowMs, bytesPerSecond } = this.pace;
    if (++body.ticks % TICKS_PER_WINDOW !== 0) return;
    const receivedBytes = raw.socket.bytesRead - body.bytesBefore;
    body.bytesBefore = raw.socket.bytesRead;
    const arrivingMs = body.ticks * (windowMs / TICKS_PER_WINDOW);
    if (arrivingMs < graceMs || receivedBytes >= (bytesPerSecond * windowMs) / 1000) return;
    body.reject();
  }
}
