import type { SealedProject } from './sealed-project.store.js';

/** A project in which no other process takes a step for this time is continued here: longer than a turn of many projects. */
export const TAKEN_AFTER_MS = 120_000;

interface Seen {
  changedAt: string;
  version: string;
  atMs: number;
}

/**
 * Keeps this process from walks of other processes. Every step writes the row of its project, so that its version shows whether someone
 * takes steps. The first time a process sees a project, it takes it: who had it before stops, or has been killed.
 */
export class WalkedElsewhere {
  private readonly seen = new Map<number, Seen>();

  /** The projects that this process may walk through, or does. @param due all that are to be walked through, also those that it has */
  selectFree(due: readonly SealedProject[], nowMs = performance.now()): SealedProject[] {
    const ids = new Set(due.map(({ projectId }) => projectId));
    for (const projectId of this.seen.keys()) if (!ids.has(projectId)) this.seen.delete(projectId);
    return due.filter((project) => this.isFree(project, nowMs));
  }

  /** This process has lost its walk by an error, and not to another one. */
  forget(projectId: number): void {
    this.seen.delete(projectId);
  }

  /** The same of all. */
  forgetAll(): void {
    this.seen.clear();
  }

  private isFree({ projectId, changedAt, version }: SealedProject, nowMs: number): boolean {
    const seen = this.seen.get(projectId);
    const isNew = seen?.changedAt !== changedAt;
    if (!isNew && seen.version === version) return nowMs - seen.atMs >= TAKEN_AFTER_MS;
    this.seen.set(projectId, { changedAt, version, atMs: nowMs });
    return isNew;
  }
}
