import pLimit, { type LimitFunction } from 'p-limit';

/** Limits how many tasks of a project run at the same time. Keeps no state for idle projects. */
export class ProjectConcurrency {
  private readonly byProject = new Map<number, { limit: LimitFunction; users: number }>();

  constructor(private readonly atATime: number) {}

  async run<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    const slots = this.byProject.get(projectId) ?? { limit: pLimit(this.atATime), users: 0 };
    this.byProject.set(projectId, slots);
    slots.users++;
    try {
      return await slots.limit(work);
    } finally {
      if (--slots.users === 0) this.byProject.delete(projectId);
    }
  }
}
