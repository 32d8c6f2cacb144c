interface Limits {
  /** Slots in use at a time; default unlimited. */
  total?: number;
  /** Slots in use at a time by one project, while other projects use or want some. */
  perProject: number;
  /** Slots in use at a time by a project while no other one has work; default `perProject`. */
  alone?: number;
  /**
   * Slots in use at a time by a project while other projects have work and the processors are the limit: where the work of the
   * project holds a slot for longer than `averageMs` on average, and while `isSaturated` where it has more than half of the slots
   * that are in use. More slots would make its work little faster then, and that of the other projects slower. Default `perProject`.
   */
  contended?: { slots: number; averageMs: number; isSaturated: () => boolean };
  /** How long work waits for a slot; default without limit. */
  waitMs?: number;
  /** Work that may wait at a time, of one project and of all; default unlimited. */
  waitingPerProject?: number;
  waitingTotal?: number;
}

/** After its last request for a slot, a project counts as one that has work for this long. */
const RECENT_MS = 1_000;
/** How often work that waits is looked at without a release: its project may have become alone, or the processors less busy. */
const RECHECK_MS = 100;
/** The weight of the latest work in the average of a project. */
const LATEST_WEIGHT = 0.25;
/** Projects whose average is known; further ones replace those that were added first. */
const AVERAGES_MAX = 10_000;

/** Why work got no slot. */
export type SlotRejection = 'timeout' | 'queue full';

interface Waiter {
  timeout: NodeJS.Timeout | undefined;
  onSlot: () => void;
}

/**
 * Slots for work that holds a scarce resource, such as a connection: at most `total` at a time, and at most `perProject` for
 * one project, or `alone` where no other project has work, or `contended` where the processors are the limit. Free slots go to the
 * projects that wait in turn, whatever the number of their waiters; those of one project are served in order, at each release and,
 * with `contended`, ten times a second, because the slots of a project change with time.
 */
export class ProjectSlots {
  private readonly usedByProject = new Map<number, number>();
  /** The projects that wait, the next one to be served first. */
  private readonly queues = new Map<number, Set<Waiter>>();
  private readonly averageMs = new Map<number, number>();
  private used = 0;
  private waiting = 0;
  /** Runs while work waits, where the slots of a project change with time. */
  private recheck: NodeJS.Timeout | undefined;
  /** The last two projects that requested a slot, and when. */
  private latest = { projectId: -1, atMs: -Infinity };
  private latestOther = this.latest;

  constructor(private readonly limits: Readonly<Limits>) {}

  get usedSlots(): number {
    return this.used;
  }

  /** How much work waits for a slot. */
  get waitingCount(): number {
    return this.waiting;
  }

  /** Takes a slot if one is free now, to be given back by `release`. */
  tryTake(projectId: number): boolean {
    this.note(projectId);
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
    if (this.limits.contended !== undefined) {
      this.recheck ??= setInterval(() => {
        this.serve();
      }, RECHECK_MS).unref();
    }
    return leave;
  }

  /**
   * Gives a slot back, and serves those that wait.
   * @param heldMs how long it was held
   */
  release(projectId: number, heldMs: number): void {
    this.addToAverage(projectId, heldMs);
    this.used--;
    const left = (this.usedByProject.get(projectId) ?? 0) - 1;
    if (left > 0) this.usedByProject.set(projectId, left);
    else this.usedByProject.delete(projectId);
    if (this.waiting > 0) this.serve();
  }

  /** Resolves with a function that frees the slot, to be called once; with null when there is none in time. */
  acquire(projectId: number): Promise<(() => void) | null> {
    const taken = (): (() => void) => {
      const sinceMs = performance.now();
      return () => {
        this.release(projectId, performance.now() - sinceMs);
      };
    };
    if (this.tryTake(projectId)) return Promise.resolve(taken());
    return new Promise((resolve) => {
      this.wait(
        projectId,
        () => {
          resolve(taken());
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
    if (this.waiting === 0) {
      clearInterval(this.recheck);
      this.recheck = undefined;
    }
    if (queue.size === 0) this.queues.delete(projectId);
  }

  private hasSlotFor(projectId: number): boolean {
    if (this.used >= (this.limits.total ?? Infinity)) return false;
    const used = this.usedByProject.get(projectId) ?? 0;
    return used < this.slotsOf(projectId, used);
  }

  /** @param used the slots that the project uses */
  private slotsOf(projectId: number, used: number): number {
    const { perProject, alone = perProject, contended } = this.limits;
    if (this.isAlone(projectId)) return alone;
    if (contended === undefined) return perProject;
    const isSlow = (this.averageMs.get(projectId) ?? 0) > contended.averageMs;
    const hasMost = used > this.used / 2;
    return isSlow || (hasMost && contended.isSaturated()) ? contended.slots : perProject;
  }

  private isAlone(projectId: number): boolean {
    if ((this.usedByProject.get(projectId) ?? 0) < this.used) return false;
    if (this.queues.size > (this.queues.has(projectId) ? 1 : 0)) return false;
    const other = this.latest.projectId === projectId ? this.latestOther : this.latest;
    return performance.now() - other.atMs > RECENT_MS;
  }

  private note(projectId: number): void {
    if (this.latest.projectId !== projectId) {
      this.latestOther = this.latest;
      this.latest = { projectId, atMs: 0 };
    }
    this.latest.atMs = performance.now();
  }

  private addToAverage(projectId: number, heldMs: number): void {
    if (this.limits.contended === undefined) return;
    const average = this.averageMs.get(projectId);
    if (average === undefined && this.averageMs.size >= AVERAGES_MAX) {
      for (const first of this.averageMs.keys()) {
        this.averageMs.delete(first);
        break;
      }
    }
    this.averageMs.set(projectId, average === undefined ? heldMs : average + (heldMs - average) * LATEST_WEIGHT);
  }

  private take(projectId: number): void {
    this.used++;
    this.usedByProject.set(projectId, (this.usedByProject.get(projectId) ?? 0) + 1);
  }
}
