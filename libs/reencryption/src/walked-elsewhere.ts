import type { SealedProject } from './sealed-project.store.js';

/** A project whose cursor has not moved for this time is walked through here too: longer than a turn of many projects. */
export const TAKEN_AFTER_MS = 120_000;

interface Seen {
  changedAt: string;
  cursor: bigint;
  /** When a step of a walk was last seen. */
  atMs: number;
}

/**
 * Keeps this process from walks of other processes. The cursor shows that someone takes steps: only they move it forward. The first time a
 * process sees a project, it takes it: the process that had it before stops, or was killed.
 */
export class WalkedElsewhere {
  private readonly seen = new Map<number, Seen>();

  /** The projects that this process may walk through, or does. @param due all that are to be walked through, also those that it has */
  selectFree(due: readonly SealedProject[], nowMs = performance.now()): SealedProject[] {
    const ids = new Set(due.map(({ projectId }) => projectId));
    for (const projectId of this.seen.keys()) if (!ids.has(projectId)) this.seen.delete(projectId);
    return due.filter((project) => this.isFree(project, nowMs));
  }

  /** The walk of this process has ended with an error, so that this process may take the project again. */
  forget(projectId: number): void {
    this.seen.delete(projectId);
  }

  /** The same for all walks of this process. */
  forgetAll(): void {
    this.seen.clear();
  }

  private isFree({ projectId, changedAt, cursor }: SealedProject, nowMs: number): boolean {
    const seen = this.seen.get(projectId);
    if (seen?.changedAt !== changedAt) {
      this.seen.set(projectId, { changedAt, cursor, atMs: nowMs });
      return true;
    }
    if (cursor > seen.cursor) seen.atMs = nowMs;
    seen.cursor = cursor;
    return nowMs - seen.atMs >= TAKEN_AFTER_MS;
  }
}
