import { Database } from '#database';
import { Problem } from '#http';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import { deleteAbandonedSql } from './abandoned-uploads.js';
import { MAINTENANCE_ROWS } from './maintenance.js';

/** The size of a stored value is in its row: no body is read. */
const STORED = {
  name: 'job.stored-bytes',
  text: 'SELECT coalesce(sum(octet_length(bytes)), 0) AS bytes FROM job_parts WHERE project_id = $1',
};

/**
 * Deletes the bodies of failed jobs, the oldest first, until $2 bytes are free. It waits for another process that deletes them, and for a
 * job that is being retried, which keeps its body. By an array, because PostgreSQL would compare each failed job with each of the oldest:
 * 12 s for 10,000 jobs.
 */
const DELETE_FAILED = {
  name: 'job.delete-failed-bodies',
  text: `
    WITH failed AS MATERIALIZED (
      SELECT p.job_id, sum(octet_length(p.bytes)) AS bytes
      FROM job_parts AS p JOIN jobs AS j ON j.project_id = p.project_id AND j.job_id = p.job_id
      WHERE p.project_id = $1 AND j.project_id = $1 AND j.status = 'failed'
      GROUP BY p.job_id ORDER BY p.job_id LIMIT ${String(MAINTENANCE_ROWS)}
    ),
    oldest AS (
      SELECT job_id FROM (SELECT job_id, sum(bytes) OVER (ORDER BY job_id) - bytes AS bytes_before FROM failed) AS f
      WHERE bytes_before < $2::bigint
    ),
    locked AS MATERIALIZED (
      SELECT job_id FROM jobs
      WHERE project_id = $1 AND status = 'failed' AND job_id = ANY (ARRAY(SELECT o.job_id FROM oldest AS o))
      ORDER BY job_id FOR UPDATE
    ),
    deleted AS (DELETE FROM job_parts AS p USING locked AS l WHERE p.project_id = $1 AND p.job_id = l.job_id)
    SELECT count(*)::int AS found FROM oldest`,
};

const DELETE_ABANDONED = { name: 'job.delete-abandoned-uploads', text: deleteAbandonedSql('project $1') };

/** Deletions for one request. Each takes at most as many bodies as one statement may. */
const DELETIONS_MAX = 20;

/** How long the sum is used again: this long, or this many times as long as it took to read, or to find nothing to delete, where that is more. */
const FRESH_MS = 250;
const FRESH_TIMES = 20;
/** At most, so that a stall of the database does not reject requests long after it. */
const FRESH_MAX_MS = 60_000;
/** A search for abandoned uploads reads all parts of the project, so it is repeated only after this time where it finds none. */
const ABANDONED_EVERY_MS = 60_000;
const PROJECTS_MAX = 1_000;
/** The part of the limit that is freed at a time, so that not every job of a project at its limit deletes bodies of others. */
const FREED_FRACTION = 1 / 8;

interface ProjectBodies {
  /** What was stored when it was read, and what this process has taken since then. */
  bytes: number;
  /** What this process has taken and not stored yet, which no sum contains. */
  unstored: number;
  freshUntilMs: number;
  reading: Promise<void> | null;
  /** The deletions that are under way. */
  freeing: Promise<void> | null;
  /** Whether there was nothing to delete since `bytes` was read. */
  isExhausted: boolean;
  /** When abandoned uploads are looked for again. */
  searchAfterMs: number;
}

/**
 * Bounds what the bodies of the jobs of a project take of the disk, whether its jobs are queued or have failed. Processes do not wait for
 * each other: they exceed the limit by what they store at the same time, between two reads of each. See docs/decisions/046.
 */
@Injectable()
export class JobBodyRoom {
  private readonly projects = new Map<number, ProjectBodies>();
  private readonly max: number;

  constructor(
    private readonly database: Database,
    { limits }: Config,
  ) {
    this.max = limits.jobBodiesBytesMax;
  }

  /**
   * Takes room for a part of a body before it is stored; where there is none, bodies of failed jobs and abandoned uploads are deleted.
   * @param bodyBytes the size of the body up to the end of this part
   * @returns what to call once when the part is stored, or is not going to be
   * @throws Problem too-large; unavailable where the bodies of jobs that have not ended, and streams that are arriving, take all of the room
   */
  async take(projectId: number, bytes: number, bodyBytes: number): Promise<() => void> {
    if (bodyBytes > this.max) {
      throw new Problem('too-large', {
        detail: `The body of a job has at most ${String(this.max)} bytes (JOB_BODIES_BYTES_MAX); divide it, or send it without Prefer: respond-async.`,
      });
    }
    const bodies = await this.read(projectId);
    if (bodies.bytes + bytes > this.max) await this.free(projectId, bodies, bytes);
    if (bodies.bytes + bytes > this.max) {
      throw new Problem('unavailable', {
        detail: `The bodies of the project's jobs that have not ended and of its streams that are arriving take up to ${String(this.max)} bytes (JOB_BODIES_BYTES_MAX), which leaves no room for this one; nothing was stored. Retry later, or send it without Prefer: respond-async.`,
      });
    }
    bodies.bytes += bytes;
    bodies.unstored += bytes;
    return () => {
      bodies.unstored -= bytes;
    };
  }

  private async read(projectId: number): Promise<ProjectBodies> {
    const bodies = this.projects.get(projectId) ?? this.add(projectId);
    // What frees room reads the sum itself.
    if (bodies.freeing === null && performance.now() >= bodies.freshUntilMs) {
      bodies.reading ??= this.refresh(projectId, bodies).finally(() => {
        bodies.reading = null;
      });
      await bodies.reading;
    }
    return bodies;
  }

  private async refresh(projectId: number, bodies: ProjectBodies): Promise<void> {
    const startedMs = performance.now();
    await this.readStored(projectId, bodies);
    bodies.isExhausted = false;
    bodies.freshUntilMs = freshUntilMs(startedMs);
  }

  private async readStored(projectId: number, bodies: ProjectBodies): Promise<void> {
    const [row] = await this.database.retrying(() => this.database.query<{ bytes: string }>(STORED, [projectId]));
    bodies.bytes = Number(row?.bytes) + bodies.unstored;
  }

  private add(projectId: number): ProjectBodies {
    const [oldest] = this.projects.keys();
    if (oldest !== undefined && this.projects.size >= PROJECTS_MAX) this.projects.delete(oldest);
    const bodies: ProjectBodies = {
      bytes: 0,
      unstored: 0,
      freshUntilMs: 0,
      reading: null,
      freeing: null,
      isExhausted: false,
      searchAfterMs: 0,
    };
    this.projects.set(projectId, bodies);
    return bodies;
  }

  /** Deletes until there is room for these bytes, or nothing is left to delete. */
  private async free(projectId: number, bodies: ProjectBodies, bytes: number): Promise<void> {
    // What others free may be too little for this one.
    while (bodies.freeing !== null) await bodies.freeing;
    if (bodies.bytes + bytes <= this.max || bodies.isExhausted) return;
    bodies.freeing = this.deleteUntilFree(projectId, bodies, bytes).finally(() => {
      bodies.freeing = null;
    });
    await bodies.freeing;
  }

  /** Each deletion is followed by a read: other processes delete, too, and a deletion that waited for theirs has deleted nothing. */
  private async deleteUntilFree(projectId: number, bodies: ProjectBodies, bytes: number): Promise<void> {
    for (let deletions = 0; deletions < DELETIONS_MAX && bodies.bytes + bytes > this.max; deletions++) {
      const startedMs = performance.now();
      const missing = Math.ceil(bodies.bytes + bytes - this.max + this.max * FREED_FRACTION);
      const hasDeleted =
        (await this.delete(DELETE_FAILED, [projectId, missing])) || (await this.deleteAbandoned(projectId, bodies));
      // A read that is under way may have begun before the deletion.
      await bodies.reading;
      await this.readStored(projectId, bodies);
      if (hasDeleted) continue;
      bodies.isExhausted = true;
      bodies.freshUntilMs = freshUntilMs(startedMs);
      return;
    }
  }

  private async deleteAbandoned(projectId: number, bodies: ProjectBodies): Promise<boolean> {
    if (performance.now() < bodies.searchAfterMs) return false;
    // Before it runs: also one that fails is not repeated.
    bodies.searchAfterMs = performance.now() + ABANDONED_EVERY_MS;
    const hasDeleted = await this.delete(DELETE_ABANDONED, [projectId]);
    if (hasDeleted) bodies.searchAfterMs = 0;
    return hasDeleted;
  }

  /** @returns whether it found something to delete, which another process may have deleted at the same time */
  private async delete(statement: { name: string; text: string }, values: readonly number[]): Promise<boolean> {
    const [row] = await this.database.retrying(() => this.database.query<{ found: number }>(statement, values));
    return (row?.found ?? 0) > 0;
  }
}

function freshUntilMs(startedMs: number): number {
  const endedMs = performance.now();
  return endedMs + Math.min(Math.max(FRESH_MS, FRESH_TIMES * (endedMs - startedMs)), FRESH_MAX_MS);
}
