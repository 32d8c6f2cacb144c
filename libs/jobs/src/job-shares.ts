import { setTimeout as sleep } from 'node:timers/promises';

/** How often the queue is searched for a job of another project, while a project runs as many jobs as it may. */
const SEARCH_EVERY_MS = 100;

/** Ends the turn of a worker that waits to take a job when its process stops. */
export class WorkerStoppedError extends Error {
  override name = 'WorkerStoppedError';
}

/**
 * Limits how many jobs of one project run in a process, so that long jobs of one project do not keep the jobs of others waiting.
 * The workers of the process take their jobs one after the other, because a job is known only when it has been taken.
 */
export class JobShares {
  private isStopped = false;
  private searchedAtMs = -Infinity;
  /** Resolves when the worker whose turn it is has taken a job, or has found none. */
  private turn: Promise<void> = Promise.resolve();
  private onTurnEnd: () => void = () => undefined;
  private onChange: () => void = () => undefined;

  /**
   * @param perProject jobs of one project that run at a time
   * @param hasWaiting whether a job of any other project than these can run now
   * @param running the number of jobs of each project that run in the process, also those of workers that were replaced
   */
  constructor(
    private readonly perProject: number,
    private readonly hasWaiting: (full: readonly number[]) => Promise<boolean>,
    private readonly running = new Map<number, number>(),
  ) {}

  /**
   * Waits for the turn of a worker to take a job, and until there may be one for it. `addJob` or `endTurn` ends the turn.
   * @returns the projects whose jobs it must not take
   * @throws WorkerStoppedError
   */
  async waitForTurn(): Promise<readonly number[]> {
    const previous = this.turn;
    let end: () => void = () => undefined;
    this.turn = new Promise((resolve) => (end = resolve));
    await previous;
    this.onTurnEnd = end;
    for (;;) {
      if (this.isStopped) throw new WorkerStoppedError();
      const full = this.fullProjects();
      if (full.length === 0 || (await this.isAnyWaiting(full))) return full;
      const change = new Promise<void>((resolve) => (this.onChange = resolve));
      await Promise.race([change, sleep(SEARCH_EVERY_MS, undefined, { ref: false })]);
    }
  }

  /** Counts the job that a worker has taken, and ends its turn. */
  addJob(projectId: number): void {
    this.running.set(projectId, (this.running.get(projectId) ?? 0) + 1);
    this.endTurn();
  }

  /** Ends the turn of a worker, which found no job. */
  endTurn(): void {
    this.onTurnEnd();
  }

  /** Counts a job no more, which has ended. */
  removeJob(projectId: number): void {
    const left = (this.running.get(projectId) ?? 0) - 1;
    if (left > 0) this.running.set(projectId, left);
    else this.running.delete(projectId);
    this.onChange();
  }

  stop(): void {
    this.isStopped = true;
    this.onChange();
  }

  private fullProjects(): number[] {
    return [...this.running].filter(([, jobs]) => jobs >= this.perProject).map(([projectId]) => projectId);
  }

  private async isAnyWaiting(full: readonly number[]): Promise<boolean> {
    if (performance.now() - this.searchedAtMs < SEARCH_EVERY_MS) return false;
    const isWaiting = await this.hasWaiting(full);
    // There may be more.
    this.searchedAtMs = isWaiting ? -Infinity : performance.now();
    return isWaiting;
  }
}
