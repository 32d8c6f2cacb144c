import type { IncomingMessage } from 'node:http';

/** How fast a body has to arrive. */
export interface Pace {
  /** How long a body may arrive as it likes. */
  graceMs: number;
  /** After that it is looked at once in so long. */
  windowMs: number;
  /** What it has to have brought then, on average since it was last looked at. */
  bytesPerSecond: number;
}

export const PACE: Pace = { graceMs: 60_000, windowMs: 30_000, bytesPerSecond: 1024 };

const TICKS_PER_WINDOW = 30;

interface Arriving {
  /** Ticks at which the server was willing to read. */
  ticks: number;
  /** What had come on the connection when the window began, in bytes. */
  bytesBefore: number;
  /** Says so when it is too slow. */
  refuse: () => void;
}

/**
 * Refuses bodies that arrive too slowly, instead of Node.js' `requestTimeout`, which would also end a long body that
 * arrives fast. One timer looks at all of them, and there is none while no body is under way.
 */
export class BodyPace {
  private readonly bodies = new Map<IncomingMessage, Arriving>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly pace: Pace) {}

  /** Takes note of a request that has a body. It is cut off when it is too slow. */
  watch(raw: IncomingMessage): void {
    const cutOff = (): void => {
      raw.socket.destroy();
    };
    this.bodies.set(raw, { ticks: 0, bytesBefore: raw.socket.bytesRead, refuse: cutOff });
    this.timer ??= setInterval(() => {
      this.tick();
    }, this.pace.windowMs / TICKS_PER_WINDOW).unref();
  }

  /** From now on there is a better way to say that it is too slow. It is asked for again while nothing changes. */
  refuseWith(raw: IncomingMessage, refuse: () => void): void {
    const body = this.bodies.get(raw);
    if (body !== undefined) body.refuse = refuse;
  }

  private tick(): void {
    for (const [raw, body] of this.bodies) {
      if (raw.complete || raw.socket.destroyed) this.bodies.delete(raw);
      // While the buffer is full it is the server that is slow.
      else if (raw.readableLength < raw.readableHighWaterMark) this.count(raw, body);
    }
    if (this.bodies.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private count(raw: IncomingMessage, body: Arriving): void {
    const { graceMs, windowMs, bytesPerSecond } = this.pace;
    if (++body.ticks % TICKS_PER_WINDOW !== 0) return;
    const brought = raw.socket.bytesRead - body.bytesBefore;
    body.bytesBefore = raw.socket.bytesRead;
    const arrivingMs = body.ticks * (windowMs / TICKS_PER_WINDOW);
    if (arrivingMs < graceMs || brought >= (bytesPerSecond * windowMs) / 1000) return;
    body.refuse();
  }
}
