/** Up to this size, work shares a pool of its own, so that it never waits for larger work. */
const SMALL_BYTES_MAX = 64 * 1024;
/** The pool of small work, in addition to the budget: a sixteenth of it, at least 1 MiB. */
const SMALL_POOL_FRACTION = 1 / 16;
const SMALL_POOL_BYTES_MIN = 1024 ** 2;

interface Limits {
  totalBytes: number;
  /** How long work waits for bytes. */
  waitMs: number;
  /** Work that may wait at a time for one of the two pools, of one project and of all. */
  waitingPerProject: number;
  waitingTotal: number;
}

/** The project that work belongs to; null for all operators together. */
type Owner = number | null;

/** Bytes held by one request or job. */
export interface Reservation {
  readonly bytes: number;
  /** Whether it belongs to the pool of small work. */
  readonly isSmall: boolean;
  /** Whether other work waits for these bytes: work of the same project, or of a project that has not used up its share. */
  isAwaited(): boolean;
  /**
   * Does not wait, because the bytes held meanwhile would block others. @returns false, and changes nothing, if there is no
   * room
   */
  grow(bytes: number): boolean;
  /** Releases all but `bytes`. */
  shrinkTo(bytes: number): void;
  /** Releases all bytes. It may be called again. */
  release(): void;
}

/** Called once, with null if no bytes became free in time or too much work waits already. */
type OnReserved = (reservation: Reservation | null) => void;

/**
 * The bytes that requests and running jobs hold in the memory of one process: at most `totalBytes`, and at most half of it for
 * one project. Waiting projects get free bytes in turn; the waiting work of one project is served in order. New work
 * does not pass a project whose turn it is, so that large work gets its bytes too. Two kinds of work pass it because they cannot
 * wait: work that already holds bytes and grows, and responses, for a limited time (`passableMs`). Work of up to 64 KiB has a
 * pool of its own under the same rules, and does not wait for larger work.
 */
export class ByteBudget {
  private readonly large: Pool;
  private readonly small: Pool;

  constructor(limits: Readonly<Limits>) {
    const smallBytes = Math.max(Math.floor(limits.totalBytes * SMALL_POOL_FRACTION), SMALL_POOL_BYTES_MIN);
    this.large = new Pool(limits, false);
    this.small = new Pool({ ...limits, totalBytes: smallBytes }, true);
  }

  get usedBytes(): number {
    return this.large.used + this.small.used;
  }

  get totalBytes(): number {
    return this.large.limits.totalBytes + this.small.limits.totalBytes;
  }

  /** How much work waits for bytes. */
  get waitingCount(): number {
    return this.large.waiting + this.small.waiting;
  }

  /** The most bytes that one reservation, and all large work of a project together, may hold. */
  get shareBytes(): number {
    return this.large.share;
  }

  /**
   * Reserves without waiting.
   * @param passableMs how long waiting work may have waited to be passed; default: none is passed
   * @returns null if there is no room, or if work waits for it
   */
  reserve(owner: Owner, bytes: number, passableMs = 0): Reservation | null {
    return this.poolFor(bytes).reserve(owner, bytes, passableMs);
  }

  /** Waits for bytes after `reserve` returned null. @returns a function that stops waiting, after which `done` is not called */
  wait(owner: Owner, bytes: number, done: OnReserved): () => void {
    return this.poolFor(bytes).wait(owner, bytes, done);
  }

  /** Reserves, after a wait where necessary. Resolves with null if no bytes became free in time or too much work waits. */
  acquire(owner: Owner, bytes: number): Promise<Reservation | null> {
    const reservation = this.reserve(owner, bytes);
    if (reservation !== null) return Promise.resolve(reservation);
    return new Promise((resolve) => {
      this.wait(owner, bytes, resolve);
    });
  }

  private poolFor(bytes: number): Pool {
    return bytes <= SMALL_BYTES_MAX ? this.small : this.large;
  }
}

interface Waiter {
  bytes: number;
  sinceMs: number;
  timeout: NodeJS.Timeout | undefined;
  done: OnReserved;
}

class Pool {
  used = 0;
  /** The most bytes that one project holds. */
  readonly share: number;
  private readonly usedByOwner = new Map<Owner, number>();
  /** The projects that wait, the next one to be served first. */
  private readonly queues = new Map<Owner, Set<Waiter>>();
  waiting = 0;

  constructor(
    readonly limits: Readonly<Limits>,
    private readonly isSmall: boolean,
  ) {
    this.share = Math.floor(limits.totalBytes / 2);
  }

  reserve(owner: Owner, bytes: number, passableMs: number): Reservation | null {
    if (!this.hasRoom(owner, bytes) || this.isAwaited(owner, passableMs)) return null;
    return this.take(owner, bytes);
  }

  wait(owner: Owner, bytes: number, done: OnReserved): () => void {
    const { waitMs, waitingPerProject, waitingTotal } = this.limits;
    const queue = this.queues.get(owner) ?? new Set<Waiter>();
    if (bytes > this.share || queue.size >= waitingPerProject || this.waiting >= waitingTotal) {
      done(null);
      return () => undefined;
    }
    const waiter: Waiter = { bytes, sinceMs: performance.now(), timeout: undefined, done };
    const leave = (): void => {
      if (this.remove(owner, queue, waiter)) this.serve();
    };
    waiter.timeout = setTimeout(() => {
      leave();
      done(null);
    }, waitMs);
    queue.add(waiter);
    this.queues.set(owner, queue);
    this.waiting++;
    return leave;
  }

  /** Whether work that has waited for at least `passableMs` needs bytes that this project would take or holds. */
  private isAwaited(owner: Owner, passableMs: number): boolean {
    if (this.waiting === 0) return false;
    const now = performance.now();
    for (const [waitingOwner, queue] of this.queues) {
      const [waiter] = queue;
      if (waiter === undefined || now - waiter.sinceMs < passableMs) continue;
      if (waitingOwner === owner || this.hasRoomInShare(waitingOwner, waiter.bytes)) return true;
    }
    return false;
  }

  private hasRoom(owner: Owner, bytes: number): boolean {
    return this.used + bytes <= this.limits.totalBytes && this.hasRoomInShare(owner, bytes);
  }

  private hasRoomInShare(owner: Owner, bytes: number): boolean {
    return (this.usedByOwner.get(owner) ?? 0) + bytes <= this.share;
  }

  private take(owner: Owner, bytes: number): Reservation {
    let held = bytes;
    this.add(owner, bytes);
    const shrinkTo = (left: number): void => {
      if (left >= held) return;
      this.add(owner, left - held);
      held = left;
      if (this.waiting > 0) this.serve();
    };
    return {
      isSmall: this.isSmall,
      isAwaited: () => this.isAwaited(owner, 0),
      get bytes() {
        return held;
      },
      grow: (more) => {
        if (!this.hasRoom(owner, more)) return false;
        this.add(owner, more);
        held += more;
        return true;
      },
      shrinkTo,
      release: () => {
        shrinkTo(0);
      },
    };
  }

  private add(owner: Owner, bytes: number): void {
    this.used += bytes;
    const ofOwner = (this.usedByOwner.get(owner) ?? 0) + bytes;
    if (ofOwner > 0) this.usedByOwner.set(owner, ofOwner);
    else this.usedByOwner.delete(owner);
  }

  /** Projects that are served move to the end. A project that has used up its share keeps its turn, and delays no other. */
  private serve(): void {
    for (const [owner, queue] of this.queues) {
      const [waiter] = queue;
      if (waiter === undefined || !this.hasRoomInShare(owner, waiter.bytes)) continue;
      // Free bytes add up for it.
      if (!this.hasRoom(owner, waiter.bytes)) return;
      this.queues.delete(owner);
      this.queues.set(owner, queue);
      this.remove(owner, queue, waiter);
      waiter.done(this.take(owner, waiter.bytes));
    }
  }

  private remove(owner: Owner, queue: Set<Waiter>, waiter: Waiter): boolean {
    if (!queue.delete(waiter)) return false;
    clearTimeout(waiter.timeout);
    this.waiting--;
    if (queue.size === 0) this.queues.delete(owner);
    return true;
  }
}
