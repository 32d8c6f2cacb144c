interface Waiter {
  projectId: number;
  /** Gives the waiter its slot. */
  take: () => void;
}

/**
 * Slots for work that holds a scarce resource, such as a connection: at most `total` at a time, and at most `perProject` for
 * one project, so that no project can take them all. Waiting work gets free slots in the order in which it asked.
 */
export class ProjectSlots {
  private readonly usedByProject = new Map<number, number>();
  private readonly waiters = new Set<Waiter>();
  private used = 0;

  constructor(private readonly limits: Readonly<{ total: number; perProject: number; waitMs: number }>) {}

  /** Resolves with a function that frees the slot, to be called once; with null when none became free within `waitMs`, which may be infinite. */
  async acquire(projectId: number): Promise<(() => void) | null> {
    if (this.hasSlotFor(projectId)) {
      this.take(projectId);
      return () => {
        this.release(projectId);
      };
    }
    return new Promise((resolve) => {
      const waiter: Waiter = {
        projectId,
        take: () => {
          clearTimeout(timeout);
          this.waiters.delete(waiter);
          this.take(projectId);
          resolve(() => {
            this.release(projectId);
          });
        },
      };
      const giveUp = (): void => {
        this.waiters.delete(waiter);
        resolve(null);
      };
      const { waitMs } = this.limits;
      const timeout = waitMs === Infinity ? undefined : setTimeout(giveUp, waitMs);
      this.waiters.add(waiter);
    });
  }

  private hasSlotFor(projectId: number): boolean {
    const { total, perProject } = this.limits;
    return this.used < total && (this.usedByProject.get(projectId) ?? 0) < perProject;
  }

  private take(projectId: number): void {
    this.used++;
    this.usedByProject.set(projectId, (this.usedByProject.get(projectId) ?? 0) + 1);
  }

  private release(projectId: number): void {
    this.used--;
    const left = (this.usedByProject.get(projectId) ?? 0) - 1;
    if (left > 0) this.usedByProject.set(projectId, left);
    else this.usedByProject.delete(projectId);
    for (const waiter of this.waiters) if (this.hasSlotFor(waiter.projectId)) waiter.take();
  }
}
