import type { Reservation } from '#platform';

/** The minimum rate of connections that hold memory for which other work waits. */
export interface MemoryPaceLimits {
  /** The interval over which the rate is measured; shorter than work waits for memory. */
  windowMs: number;
  /** The minimum average in an interval. */
  bytesPerSecond: number;
}

export const MEMORY_PACE: MemoryPaceLimits = { windowMs: 3_000, bytesPerSecond: 256 * 1024 };

const TICKS_PER_WINDOW = 6;

interface Holder {
  memory: Reservation;
  /** The bytes that the client has sent or taken so far. */
  progress: () => number;
  cutOff: () => void;
  /** Ticks in a row at which other work waited for the memory, and the progress before them. */
  ticks: number;
  bytesBefore: number;
}

/**
 * Cuts off clients that hold memory and send or read too slowly while other work waits for that memory. One timer serves all;
 * none runs while no memory is held.
 */
export class MemoryPace {
  private readonly holders = new Map<object, Holder>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly limits: MemoryPaceLimits) {}

  /** @param key the request or response, for `unwatch` */
  watch(key: object, memory: Reservation, progress: () => number, cutOff: () => void): void {
    this.holders.set(key, { memory, progress, cutOff, ticks: 0, bytesBefore: 0 });
    this.timer ??= setInterval(() => {
      this.tick();
    }, this.limits.windowMs / TICKS_PER_WINDOW).unref();
  }

  unwatch(key: object): void {
    this.holders.delete(key);
  }

  private tick(): void {
    const { windowMs, bytesPerSecond } = this.limits;
    for (const holder of this.holders.values()) {
      if (!holder.memory.isAwaited()) {
        holder.ticks = 0;
        continue;
      }
      if (holder.ticks === TICKS_PER_WINDOW) {
        holder.ticks = 0;
        if (holder.progress() - holder.bytesBefore < (bytesPerSecond * windowMs) / 1000) holder.cutOff();
      }
      if (holder.ticks === 0) holder.bytesBefore = holder.progress();
      holder.ticks++;
    }
    if (this.holders.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
