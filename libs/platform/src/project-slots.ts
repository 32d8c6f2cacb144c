interface Limits {
  /** Slots in use at a time; default unlimited. */
  total?: number;
  /** Slots in use at a time by one project, while other projects use or want some. */
  perProject: number;
  /** Slots in use at a time by a project while no other one uses or wants any; default `perProject`. */
  alone?: number;
  /** How long work waits for a slot; default without limit. */
  waitMs?: number;
  /** Work that may wait at a time, of one project and of all; default unlimited. */
  waitingPerProject?: number;
  waitingTotal?: number;
}

/** Why work got no slot. */
export type SlotRejection = 'timeout' | 'queue full';

interface Waiter {
  timeout: NodeJS.Timeout | undefined;
  onSlot: () => void;
}

/**
 * Slots for work that holds a scarce resource, such as a connection: at most `total` at a time, and at most `perProject` for
 * one project, or `alone` where no other project has work. Free slots go to the projects that wait by turns, whatever the
 * number of their waiters; those of one project are served in order.
 */
export class ProjectSlots {
  private readonly usedByProject = new Map<number, number>();
  /** The projects that wait, the next one to be served first. */
  private readonly queues = new Map<number, Set<Waiter>>();
  private used = 0;
  private waiting = 0;

  constructor(private readonly limits: Readonly<Limits>) {}

  /** Takes a slot if one is free now, to be given back by `release`. */
  tryTake(projectId: number): boolean {
    if (!this.hasSlotFor(projectId)) return false;
    this.take(projectId);
    return true;
  }

  /**
   * Waits for a slot after `tryTake` returned false. Calls one of the functions, `onRejected` possibly at once.
   * @returns a function that leaves the queue, after which neither function is called; null if it was rejected at once
   */
  wait(projectId: number, onSlot: () => void, onRejected: (reason: SlotRejection) => void): (() => void) | null {
    const { waitMs = Infinity, waitingPerProject = Infinity, waitingTotal = Infinity } = this.limits;
    const queue = this.queues.get(projectId) ?? new Set<Waiter>();
    if (queue.size >= waitingPerProject || this.waiting >= waitingTotal) {
      onRejected('queue full');
      return null;
    }
    const waiter: Waiter = { onSlot, timeout: undefined };
    const leave = (): void => {
      this.remove(projectId, queue, waiter);
    };
    if (waitMs !== Infinity) {
      waiter.timeout = setTimeout(() => {
        leave();
        onRejected('timeout');
      }, waitMs);
    }
    queue.add(waiter);
    this.queues.set(projectId, queue);
    this.waiting++;
    return leave;
  }

  /** Gives a slot back, and serves those that wait. */
  release(projectId: number): void {
    this.used--;
    const left = (this.usedByProject.get(projectId) ?? 0) - 1;
    if (left > 0) this.usedByProject.set(projectId, left);
    else this.usedByProject.delete(projectId);
    if (this.waiting > 0) this.serve();
  }

  /** Resolves with a function that frees the slot, to be called once; with null when there is none in time. */
  acquire(projectId: number): Promise<(() => void) | null> {
    const release = (): void => {
      this.release(projectId);
    };
    if (this.tryTake(projectId)) return Promise.resolve(release);
    return new Promise((resolve) => {
      this.wait(
        projectId,
        () => {
          resolve(release);
        },
        () => {
          resolve(null);
        },
      );
    });
  }

  /** Runs work in a slot, as soon as there is one. Only for slots without `waitMs` and limits of waiting work. */
  async run<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    const release = await this.acquire(projectId);
    if (release === null) throw new Error('no slot; run() is for slots for which work waits without limits');
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Projects that are served move to the end, so that the next slot goes to another one. */
  private serve(): void {
    for (const [projectId, queue] of this.queues) {
      if (this.used >= (this.limits.total ?? Infinity)) return;
      if (!this.hasSlotFor(projectId)) continue;
      const [waiter] = queue;
      if (waiter === undefined) continue;
      this.queues.delete(projectId);
      this.queues.set(projectId, queue);
      this.remove(projectId, queue, waiter);
      this.take(projectId);
      waiter.onSlot();
    }
  }

  private remove(projectId: number, queue: Set<Waiter>, waiter: Waiter): void {
    if (!queue.delete(waiter)) return;
    clearTimeout(waiter.timeout);
    this.waiting--;
    if (queue.size === 0) this.queues.delete(projectId);
  }

  private hasSlotFor(projectId: number): boolean {
    const { total = Infinity, perProject, alone = perProject } = this.limits;
    const own = this.usedByProject.get(projectId) ?? 0;
    if (this.used >= total) return false;
    return own < perProject || (own < alone && own === this.used && !this.isWaitedForByOthers(projectId));
  }

  private isWaitedForByOthers(projectId: number): boolean {
    return this.queues.size > (this.queues.has(projectId) ? 1 : 0);
  }

  private take(projectId: number): void {
    this.used++;
    this.usedByProject.set(projectId, (this.usedByProject.get(projectId) ?? 0) + 1);
  }
}
