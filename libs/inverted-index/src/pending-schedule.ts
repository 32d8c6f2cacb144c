/**
 * A project is due when it has this many pending objects, or some of them for a while: every query reads the pending objects, and also
 * every segment.
 */
export const PENDING_MAX = 250;
const PENDING_SOME = { objects: 20, ageMs: 5_000 };
const PENDING_AGE_MAX_MS = 60_000;

/** The number of a project's pending objects, at most `PENDING_MAX`. */
export interface PendingObjects {
  project_id: number;
  objects: number;
}

/**
 * Decides when pending objects are moved into a segment. Their age is measured from the moment when this process first sees some of a
 * project: a changed object has the sequence number of its creation, so a project that changes old objects one by one would otherwise
 * write a segment every second.
 */
export class PendingSchedule {
  private readonly sinceMs = new Map<number, number>();

  /** The time since the first sight of pending objects that are not indexed yet; 0 without some. */
  oldestAgeMs(nowMs: number): number {
    let age = 0;
    for (const sinceMs of this.sinceMs.values()) age = Math.max(age, nowMs - sinceMs);
    return age;
  }

  /**
   * Returns the projects that are due; their age begins again.
   * @param pending all projects with pending objects
   */
  takeDue(pending: readonly PendingObjects[], nowMs: number): number[] {
    const due: number[] = [];
    const left = new Set(this.sinceMs.keys());
    for (const { project_id: projectId, objects } of pending) {
      left.delete(projectId);
      const ageMs = nowMs - (this.sinceMs.get(projectId) ?? nowMs);
      const isOld = ageMs >= PENDING_AGE_MAX_MS || (objects >= PENDING_SOME.objects && ageMs >= PENDING_SOME.ageMs);
      const isDue = objects >= PENDING_MAX || isOld;
      if (isDue) due.push(projectId);
      this.sinceMs.set(projectId, isDue ? nowMs : nowMs - ageMs);
    }
    for (const projectId of left) this.sinceMs.delete(projectId);
    return due;
  }
}
