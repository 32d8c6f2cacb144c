const PROJECTS_MAX = 10_000;

/** Projects that were added in the last time, at most 10,000: more of them remove the oldest. */
export class RecentProjects {
  /** By project when it is removed, in milliseconds; the oldest first. */
  private readonly untilMs = new Map<number, number>();

  constructor(
    private readonly durationMs: number,
    private readonly now = (): number => performance.now(),
  ) {}

  add(projectId: number): void {
    this.untilMs.delete(projectId);
    this.untilMs.set(projectId, this.now() + this.durationMs);
    const [oldest] = this.untilMs.keys();
    if (this.untilMs.size > PROJECTS_MAX && oldest !== undefined) this.untilMs.delete(oldest);
  }

  has(projectId: number): boolean {
    const until = this.untilMs.get(projectId);
    if (until === undefined) return false;
    if (this.now() < until) return true;
    this.untilMs.delete(projectId);
    return false;
  }

  delete(projectId: number): void {
    this.untilMs.delete(projectId);
  }
}
