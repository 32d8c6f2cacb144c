/** The share of requests that belong to no project: those of operators, which are small. */
const WITHOUT_PROJECT = 1 / 16;

interface Waiter {
  projectId: number | null;
  bytes: number;
  /** Gives the waiter its bytes. */
  grant: () => void;
}

/** Bytes held by one request or job. */
export interface Reservation {
  readonly bytes: number;
  /** @returns false, and changes nothing, where the budget has no room for so many more bytes */
  grow(bytes: number): boolean;
  /** Gives back all but so many bytes. */
  shrinkTo(bytes: number): void;
  /** Gives back all bytes. It may be called again. */
  release(): void;
}

/**
 * The bytes that requests and jobs hold in the memory of one process: at most `totalBytes`, and at most half of it for one
 * project, so that no project can make the others wait. Waiting work gets free bytes in the order in which it asked; work of a
 * project that has used up its half does not delay that of others.
 */
export class ByteBudget {
  private readonly usedByProject = new Map<number | null, number>();
  private readonly waiters = new Set<Waiter>();
  private used = 0;

  constructor(private readonly limits: Readonly<{ totalBytes: number; waitMs: number; waitersMax: number }>) {}

  get usedBytes(): number {
    return this.used;
  }

  /** The most bytes that one project may hold; null: all requests that belong to none. */
  shareOf(projectId: number | null): number {
    return Math.floor(this.limits.totalBytes * (projectId === null ? WITHOUT_PROJECT : 1 / 2));
  }

  /** Null where the budget has no room. Never takes bytes for which other work of the project waits. */
  reserve(projectId: number | null, bytes: number): Reservation | null {
    for (const waiter of this.waiters) if (waiter.projectId === projectId) return null;
    return this.hasRoom(projectId, bytes) ? this.take(projectId, bytes) : null;
  }

  /** Waits for bytes, up to `waitMs`. Resolves with null where none became free in time or too much work waits already. */
  acquire(projectId: number | null, bytes: number): Promise<Reservation | null> {
    const reservation = this.reserve(projectId, bytes);
    const { waitMs, waitersMax } = this.limits;
    if (reservation !== null) return Promise.resolve(reservation);
    if (this.waiters.size >= waitersMax || bytes > this.shareOf(projectId)) return Promise.resolve(null);
    return new Promise((resolve) => {
      const giveUp = (): void => {
        this.waiters.delete(waiter);
        this.serveWaiters();
        resolve(null);
      };
      const timeout = setTimeout(giveUp, waitMs);
      const waiter: Waiter = {
        projectId,
        bytes,
        grant: () => {
          clearTimeout(timeout);
          this.waiters.delete(waiter);
          resolve(this.take(projectId, bytes));
        },
      };
      this.waiters.add(waiter);
    });
  }

  private hasRoom(projectId: number | null, bytes: number): boolean {
    const ofProject = this.usedByProject.get(projectId) ?? 0;
    return this.used + bytes <= this.limits.totalBytes && ofProject + bytes <= this.shareOf(projectId);
  }

  private take(projectId: number | null, bytes: number): Reservation {
    let held = bytes;
    this.add(projectId, bytes);
    const shrinkTo = (left: number): void => {
      if (left >= held) return;
      this.add(projectId, left - held);
      held = left;
      this.serveWaiters();
    };
    return {
      get bytes() {
        return held;
      },
      grow: (more) => {
        if (!this.hasRoom(projectId, more)) return false;
        this.add(projectId, more);
        held += more;
        return true;
      },
      shrinkTo,
      release: () => {
        shrinkTo(0);
      },
    };
  }

  private add(projectId: number | null, bytes: number): void {
    this.used += bytes;
    const ofProject = (this.usedByProject.get(projectId) ?? 0) + bytes;
    if (ofProject > 0) this.usedByProject.set(projectId, ofProject);
    else this.usedByProject.delete(projectId);
  }

  /** A project whose first waiter does not fit gets nothing before it, so that large bodies are not starved by small ones. */
  private serveWaiters(): void {
    if (this.waiters.size === 0) return;
    const blocked = new Set<number | null>();
    for (const waiter of this.waiters) {
      if (blocked.has(waiter.projectId)) continue;
      if (this.hasRoom(waiter.projectId, waiter.bytes)) waiter.grant();
      else blocked.add(waiter.projectId);
    }
  }
}
