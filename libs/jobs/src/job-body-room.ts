import { Database } from '#database';
import { Problem } from '#http';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import { MAINTENANCE_ROWS } from './maintenance.js';

/** The size of a stored value is in its row: no body is read. */
const STORED = {
  name: 'job.stored-bytes',
  text: 'SELECT coalesce(sum(octet_length(bytes)), 0) AS bytes FROM job_parts WHERE project_id = $1',
};

/**
 * Deletes the bodies of failed jobs, the oldest first, until $2 bytes are free. A job that is being retried has the lock of its row, and
 * keeps its body.
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
      WHERE project_id = $1 AND status = 'failed' AND job_id IN (SELECT o.job_id FROM oldest AS o)
      FOR UPDATE SKIP LOCKED
    ),
    deleted AS (
      DELETE FROM job_parts AS p USING locked AS l WHERE p.project_id = $1 AND p.job_id = l.job_id
      RETURNING octet_length(p.bytes) AS bytes
    )
    SELECT coalesce(sum(bytes), 0) AS bytes FROM deleted`,
};

/** How long the sum is used again: this long, or this many times as long as it took to read where that is more. */
const FRESH_MS = 250;
const FRESH_TIMES = 20;
const PROJECTS_MAX = 1_000;
/** The part of the limit that is freed at a time, so that not every job of a project at its limit deletes bodies of others. */
const FREED_FRACTION = 1 / 8;

interface ProjectBodies {
  /** What was stored when it was read, and what this process has stored since then. */
  bytes: number;
  freshUntilMs: number;
  reading: Promise<void> | null;
  /** The deletion of bodies of failed jobs that is under way. */
  freeing: Promise<void> | null;
  /** Whether no failed job had a body since `bytes` was read. */
  isExhausted: boolean;
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
   * Takes room for a part of a body before it is stored; where there is none, bodies of failed jobs are deleted.
   * @param bodyBytes the size of the body up to the end of this part
   * @throws Problem too-large; unavailable where the bodies of jobs that have not ended take all of the room
   */
  async take(projectId: number, bytes: number, bodyBytes: number): Promise<void> {
    if (bodyBytes > this.max) {
      throw new Problem('too-large', {
        detail: `The body of a job has at most ${String(this.max)} bytes (JOB_BODIES_BYTES_MAX); divide it, or send it without Prefer: respond-async.`,
      });
    }
    const bodies = await this.read(projectId);
    if (bodies.bytes + bytes > this.max) await this.free(projectId, bodies, bodies.bytes + bytes - this.max);
    if (bodies.bytes + bytes > this.max) {
      throw new Problem('unavailable', {
        detail: `The bodies of the project's jobs that have not ended take up to ${String(this.max)} bytes (JOB_BODIES_BYTES_MAX), which leaves no room for this one; nothing was stored. Retry later, or send it without Prefer: respond-async.`,
      });
    }
    bodies.bytes += bytes;
  }

  private async read(projectId: number): Promise<ProjectBodies> {
    const bodies = this.projects.get(projectId) ?? this.add(projectId);
    if (performance.now() >= bodies.freshUntilMs) {
      bodies.reading ??= this.refresh(projectId, bodies).finally(() => {
        bodies.reading = null;
      });
      await bodies.reading;
    }
    return bodies;
  }

  private async refresh(projectId: number, bodies: ProjectBodies): Promise<void> {
    const startedMs = performance.now();
    bodies.bytes = await this.bytesOf(STORED, [projectId]);
    bodies.isExhausted = false;
    const endedMs = performance.now();
    bodies.freshUntilMs = endedMs + Math.max(FRESH_MS, FRESH_TIMES * (endedMs - startedMs));
  }

  private add(projectId: number): ProjectBodies {
    const [oldest] = this.projects.keys();
    if (oldest !== undefined && this.projects.size >= PROJECTS_MAX) this.projects.delete(oldest);
    const bodies: ProjectBodies = { bytes: 0, freshUntilMs: 0, reading: null, freeing: null, isExhausted: false };
    this.projects.set(projectId, bodies);
    return bodies;
  }

  private async free(projectId: number, bodies: ProjectBodies, missing: number): Promise<void> {
    if (bodies.isExhausted) return;
    bodies.freeing ??= this.deleteFailed(projectId, bodies, missing).finally(() => {
      bodies.freeing = null;
    });
    await bodies.freeing;
  }

  private async deleteFailed(projectId: number, bodies: ProjectBodies, missing: number): Promise<void> {
    const freed = await this.bytesOf(DELETE_FAILED, [projectId, Math.ceil(missing + this.max * FREED_FRACTION)]);
    bodies.bytes -= freed;
    bodies.isExhausted = freed === 0;
  }

  private async bytesOf(statement: { name: string; text: string }, values: readonly unknown[]): Promise<number> {
    const [row] = await this.database.retrying(() => this.database.query<{ bytes: string }>(statement, values));
    return Number(row?.bytes);
  }
}
