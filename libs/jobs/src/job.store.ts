import { Database, type Queryable } from '#database';
import { type ListSql } from '#http';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Outcome } from './operation.js';

/** What graphile-worker calls our one kind of task. */
export const TASK = 'stowage.job';

export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed';
export const JOB_STATUSES: readonly JobStatus[] = ['queued', 'running', 'succeeded', 'failed'];

/** Which job; as graphile-worker keeps it, so it is JSON. */
export interface JobKey {
  projectId: number;
  jobId: string;
}

/** A job as its readers see it. */
export interface JobRow {
  /** job_id: when it was accepted, and its place in lists. */
  seq: string;
  status: JobStatus;
  attempts: number;
  finished_at: string | null;
  /** The HTTP status of its outcome; of a job that succeeded. */
  result_status?: number | null;
  /** JSON; only where it was asked for. */
  result?: string | null;
  problem: string | null;
}

/** What was kept of a request, to be run. */
export interface ClaimedJob {
  operation: string;
  input: string;
  media_type: string;
  /** This one included. */
  attempts: number;
  /** How many parts its body was kept in; 0 for an empty stream. */
  parts: number;
  /** A JSON body; null for a stream. */
  body: Buffer | null;
}

/** A request to be kept. `body` is null where its `parts` are kept already. */
export interface NewJob extends JobKey {
  keyId: string;
  operation: string;
  input: string;
  mediaType: string;
  parts: number;
  body: Buffer | null;
}

/**
 * One round trip, and one commit, for the job, its body and its place in the queue. graphile-worker's own `add_job` would
 * be the way in, but it notifies, and PostgreSQL commits transactions that notify one after the other: 2,100 a second here
 * with 20 clients, against 8,500; docs/decisions/010. Repeated after a lost connection it does nothing.
 */
const ACCEPT = {
  name: 'job.accept',
  text: `
    WITH job AS (
      INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
      VALUES ($1, $2, $3, $4, $5, $6, $12, 'queued', 0) ON CONFLICT DO NOTHING
    ), part AS (
      INSERT INTO job_parts (project_id, job_id, part, bytes)
      SELECT $1::integer, $2::bigint, 0, $7::bytea WHERE $7::bytea IS NOT NULL ON CONFLICT DO NOTHING
    )
    INSERT INTO graphile_worker._private_jobs (task_id, payload, key, max_attempts)
    VALUES ((SELECT id FROM graphile_worker._private_tasks WHERE identifier = $8), $9::json, $10, $11)
    ON CONFLICT (key) DO NOTHING`,
};

/** We count the attempts ourselves: graphile-worker would keep a job that killed its last worker for ever, and say nothing. */
const QUEUE_ATTEMPTS_MAX = 32_767;

const ADD_PART = {
  name: 'job.add-part',
  text: `INSERT INTO job_parts (project_id, job_id, part, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
};

/**
 * Does not wait for the disk: a claim that a crash of the database forgets is made again, and costs nothing but the attempt.
 * A job of an operation that this process does not know is not begun, so it costs that job no attempt.
 */
const CLAIM = {
  name: 'job.claim',
  text: `
    WITH setting AS (SELECT set_config('synchronous_commit', 'off', true) AS value)
    UPDATE jobs SET status = 'running', attempts = attempts + 1, worker_id = $3
    FROM setting WHERE project_id = $1 AND job_id = $2 AND status IN ('queued', 'running') AND operation = ANY ($4)
    RETURNING operation, input, media_type, attempts, parts, CASE WHEN media_type = 'application/json' THEN
      (SELECT bytes FROM job_parts AS p WHERE p.project_id = $1 AND p.job_id = $2 AND part = 0) END AS body`,
};

const STATUS = `SELECT status FROM jobs WHERE project_id = $1 AND job_id = $2`;

const PART = {
  name: 'job.part',
  text: `SELECT bytes FROM job_parts WHERE project_id = $1 AND job_id = $2 AND part = $3`,
};

/** Waits for another worker that does the same job, and gives no row when that one was first. */
const SUCCEED = {
  name: 'job.succeed',
  text: `
    WITH job AS (
      UPDATE jobs SET status = 'succeeded', worker_id = NULL, finished_at = $3, result_status = $4, result = $5, problem = NULL
      WHERE project_id = $1 AND job_id = $2 AND status <> 'succeeded'
      RETURNING project_id, job_id
    ), parts AS (
      DELETE FROM job_parts AS p USING job WHERE p.project_id = job.project_id AND p.job_id = job.job_id
    )
    SELECT job_id FROM job`,
};

const FAIL = `
  UPDATE jobs SET status = 'failed', worker_id = NULL, finished_at = $3, problem = $4
  WHERE project_id = $1 AND job_id = $2 AND status IN ('queued', 'running')`;

const GIVE_BACK = `
  UPDATE jobs SET status = 'queued', worker_id = NULL
  WHERE project_id = $1 AND job_id = $2 AND status = 'running' AND worker_id = $3`;

const RETRY = `
  UPDATE jobs SET status = 'queued', attempts = 0, finished_at = NULL, problem = NULL
  WHERE project_id = $1 AND job_id = $2 AND status = 'failed'
  RETURNING job_id`;

/** Unlike `ACCEPT` this copes with the job's earlier entry, should a worker be about to delete it. */
const ADD_AGAIN = `SELECT graphile_worker.add_job($1, $2::json, job_key => $3, max_attempts => $4)`;

const COLUMNS = 'job_id AS seq, status, attempts, finished_at, result_status, problem';

/** The rows of jobs, and what was sent with them. */
@Injectable()
export class JobStore implements OnModuleInit {
  constructor(private readonly database: Database) {}

  async onModuleInit(): Promise<void> {
    await this.database.query(
      `INSERT INTO graphile_worker._private_tasks (identifier) VALUES ($1) ON CONFLICT DO NOTHING`,
      [TASK],
    );
  }

  async accept(
    on: Queryable,
    { projectId, jobId, keyId, operation, input, mediaType, parts, body }: NewJob,
  ): Promise<void> {
    const job = [projectId, jobId, keyId, operation, input, mediaType, body];
    await on.query(ACCEPT, [...job, TASK, ...queueEntry({ projectId, jobId }), parts]);
  }

  async addPart({ projectId, jobId }: JobKey, part: number, bytes: Buffer): Promise<void> {
    await this.database.retrying(() => this.database.query(ADD_PART, [projectId, jobId, part, bytes]));
  }

  async deleteParts({ projectId, jobId }: JobKey): Promise<void> {
    await this.database.query('DELETE FROM job_parts WHERE project_id = $1 AND job_id = $2', [projectId, jobId]);
  }

  /** Null for a job that has ended, is no more, or is of none of these operations. */
  async claim(
    { projectId, jobId }: JobKey,
    workerId: string,
    operations: readonly string[],
  ): Promise<ClaimedJob | null> {
    const [row] = await this.database.query<ClaimedJob>(CLAIM, [projectId, jobId, workerId, operations]);
    return row ?? null;
  }

  /** Null for a job that is no more. */
  async statusOf({ projectId, jobId }: JobKey): Promise<JobStatus | null> {
    const [row] = await this.database.query<{ status: JobStatus }>(STATUS, [projectId, jobId]);
    return row?.status ?? null;
  }

  /** Null for a part that is not there. */
  async part({ projectId, jobId }: JobKey, part: number): Promise<Buffer | null> {
    const [row] = await this.database.query<{ bytes: Buffer }>(PART, [projectId, jobId, part]);
    return row?.bytes ?? null;
  }

  /** @returns false where the job had succeeded before */
  async succeed(on: Queryable, { projectId, jobId }: JobKey, { status, text }: Outcome): Promise<boolean> {
    return (await on.query(SUCCEED, [projectId, jobId, now(), status, text])).length > 0;
  }

  async fail({ projectId, jobId }: JobKey, problem: object): Promise<void> {
    await this.database.query(FAIL, [projectId, jobId, now(), JSON.stringify(problem)]);
  }

  /** Queued again, unless another worker has it by now. */
  async giveBack({ projectId, jobId }: JobKey, workerId: string): Promise<void> {
    await this.database.query(GIVE_BACK, [projectId, jobId, workerId]);
  }

  /** Queues a failed job again, its attempts counted anew. @returns false where it had not failed */
  async retry(key: JobKey): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      if ((await tx.query(RETRY, [key.projectId, key.jobId])).length === 0) return false;
      await tx.query(ADD_AGAIN, [TASK, ...queueEntry(key)]);
      return true;
    });
  }

  /** @param keyId of whoever may see the jobs of this key only; null sees all of the project */
  async find({ projectId, jobId }: JobKey, keyId: string | null): Promise<JobRow | null> {
    const [row] = await this.database.query<JobRow>(
      `SELECT ${COLUMNS}, result FROM jobs WHERE project_id = $1 AND job_id = $2 AND key_id = coalesce($3, key_id)`,
      [projectId, jobId, keyId],
    );
    return row ?? null;
  }

  list(projectId: number, keyId: string | null, status: string | undefined): ListSql {
    const values: unknown[] = [projectId];
    const where = ['project_id = $1'];
    if (keyId !== null) where.push(`key_id = $${String(values.push(keyId))}`);
    if (status !== undefined) where.push(`status = $${String(values.push(status))}`);
    return { select: COLUMNS, from: 'jobs', where: where.join(' AND '), seq: 'job_id', values };
  }
}

/** payload, key and attempts of a job in graphile-worker's queue */
function queueEntry({ projectId, jobId }: JobKey): unknown[] {
  return [JSON.stringify({ projectId, jobId }), `${String(projectId)}/${jobId}`, QUEUE_ATTEMPTS_MAX];
}

function now(): string {
  return new Date().toISOString();
}
