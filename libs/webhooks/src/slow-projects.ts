/** An attempt that takes longer is slow. */
export const SLOW_MS = 1_000;
/** Projects that are known to be slow. A forgotten one is found out by its next attempt. */
const PROJECTS_MAX = 10_000;

/** The projects whose last attempt was slow. */
export class SlowProjects implements Iterable<number> {
  /** The latest one last. */
  private readonly projects = new Set<number>();

  has(projectId: number): boolean {
    return this.projects.has(projectId);
  }

  /** Notes how long an attempt took. */
  note(projectId: number, tookMs: number): void {
    this.projects.delete(projectId);
    if (tookMs <= SLOW_MS) return;
    const [oldest] = this.projects;
    if (oldest !== undefined && this.projects.size >= PROJECTS_MAX) this.projects.delete(oldest);
    this.projects.add(projectId);
  }

  [Symbol.iterator](): Iterator<number> {
    return this.projects.values();
  }
}
