import { SealedJobs } from '#encryption';
import { Database, type Queryable, readPage, type Count, type ListSql, type Slice } from '#database';
import { Problem, PROJECT_DELETED, type PageRequest } from '#http';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import type { JobKey } from './job-key.js';
import { ADD_ENTRY_AGAIN, entryValues, insertEntrySql } from './job-queue.store.js';
import type { WriteResponse } from './write-operation.js';

export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed';
export const JOB_STATUSES: readonly JobStatus[] = ['queued', 'running', 'succeeded', 'failed'];

/** A job as the API returns it. */
export interface JobRow {
  /** job_id. It contains the time of acceptance and orders lists. */
  seq: string;
  status: JobStatus;
  attempts: number;
  finished_at: string | null;
  /** HTTP status of the response of a job that succeeded. */
  result_status?: number | null;
  /** JSON text; lists leave it out. */
  result?: string | null;
  problem: string | null;
}

/** Selects the jobs of a list. */
export interface JobFilter {
  /** Only jobs of this key; null for the jobs of all keys. */
  keyId: string | null;
  status: JobStatus | undefined;
}

/** The stored request of a job that a worker has claimed. */
export interface ClaimedJob {
  /** The key that sent the request. */
  key_id: string;
  operation: string;
  input: string;
  media_type: string;
  /** Number of attempts, this one included. */
  attempts: number;
  /** Number of parts of the body. Only jobs of earlier versions have none, for an empty stream. */
  parts: number;
  /** The JSON body; null for a large one, and for a stream, whose parts are read one by one. */
  body: Buffer | null;
  /** The size of the JSON body; null for a stream. */
  body_bytes: number | null;
}

/** A JSON body up to this size is read with its job; a larger one when there is memory for it. */
const BODY_WITH_JOB_BYTES = 1024 ** 2;

/** A job to be stored with its JSON body, or with the parts that a stream has stored before. */
export interface NewJob extends JobKey {
  keyId: string;
  operation: string;
  input: string;
  mediaType: string;
  parts: number;
  /** The JSON body; null for a stream. */
  body: Buffer | null;
  /** See `JobPlaces`. */
  place: number;
  /** The number that the parts of a stream are stored under while it arrives; for a JSON body, the job's own number. */
  bodyId: string;
}

/** The job, from $1 on, without its body. */
const JOB_ROW = `
  INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
  VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0)`;

/**
 * One round trip, and one commit, for the job, its body and its entry in the queue. graphile-worker's own `add_job` would be
 * the usual way in, but it notifies, and PostgreSQL commits transactions that notify one after the other: 2,100 a second
 * with 20 clients instead of 8,500; docs/decisions/010. A number that exists is a unique violation.
 */
const INSERT = {
  name: 'job.insert',
  text: `
    WITH job AS (${JOB_ROW}), part AS (
      INSERT INTO job_parts (project_id, job_id, part, bytes)
      SELECT $1::integer, $2::bigint, 0, $8::bytea WHERE $8::bytea IS NOT NULL
    )
    ${insertEntrySql(9)}`,
};

/** The same on a cluster, where the queue is on another machine than the job, and a statement inserts into one of them. */
const INSERT_JOB = { name: 'job.insert-job', text: JOB_ROW };
const INSERT_BODY = {
  name: 'job.insert-body',
  text: 'INSERT INTO job_parts (project_id, job_id, part, bytes) VALUES ($1, $2, 0, $3)',
};
const INSERT_ENTRY = { name: 'job.insert-entry', text: insertEntrySql(1) };

/** `input` contains the id of the request, so no other job has the same. */
const IS_STORED = `SELECT FROM jobs WHERE project_id = $1 AND job_id = $2 AND input = $3`;

const MOVE_PARTS = `UPDATE job_parts SET job_id = $3 WHERE project_id = $1 AND job_id = $2 RETURNING part`;

/** Stores a part of a stream, unless its project was deleted since the stream began. */
const addPartSql = (onConflict: string): string => `
  WITH deleted AS MATERIALIZED (SELECT 1 FROM deleted_projects WHERE project_id = $1::int), part AS (
    INSERT INTO job_parts (project_id, job_id, part, bytes)
    SELECT $1::int, $2::bigint, $3::int, $4::bytea WHERE NOT EXISTS (SELECT FROM deleted) ${onConflict}
  )
  SELECT EXISTS (SELECT FROM deleted) AS is_deleted`;

/** A unique violation where another upload uses the number. */
const ADD_PART = { name: 'job.add-part', text: addPartSql('') };

/** Repeatable: a part other than the first belongs to the upload that stored the first. */
const ADD_NEXT_PART = { name: 'job.add-next-part', text: addPartSql('ON CONFLICT DO NOTHING') };

const IS_DELETED = `SELECT FROM deleted_projects WHERE project_id = $1`;

/** A job of a project that was deleted does not run; its row is deleted later. */
const HAS_PROJECT = `NOT EXISTS (SELECT FROM deleted_projects AS d WHERE d.project_id = jobs.project_id)`;

/**
 * Does not wait for the disk: a claim that is lost in a crash of the database is made again and costs one attempt.
 * A job of an operation that this version does not know is not claimed and loses no attempt.
 */
const CLAIM = {
  name: 'job.claim',
  text: `
    WITH setting AS (SELECT set_config('synchronous_commit', 'off', true) AS value)
    UPDATE jobs SET status = 'running', attempts = attempts + 1, worker_id = $3
    FROM setting WHERE project_id = $1 AND job_id = $2 AND status IN ('queued', 'running') AND operation = ANY ($4)
      AND ${HAS_PROJECT}
    RETURNING key_id, operation, input, media_type, attempts, parts,
      CASE WHEN media_type = 'application/json' THEN
        (SELECT CASE WHEN octet_length(bytes) <= ${String(BODY_WITH_JOB_BYTES)} THEN bytes END FROM job_parts AS p
         WHERE p.project_id = $1 AND p.job_id = $2 AND part = 0) END AS body,
      CASE WHEN media_type = 'application/json' THEN
        (SELECT octet_length(bytes) FROM job_parts AS p
         WHERE p.project_id = $1 AND p.job_id = $2 AND part = 0) END AS body_bytes`,
};

const STATUS = `SELECT status FROM jobs WHERE project_id = $1 AND job_id = $2 AND ${HAS_PROJECT}`;

const PART = {
  name: 'job.part',
  text: `SELECT bytes FROM job_parts WHERE project_id = $1 AND job_id = $2 AND part = $3`,
};

/** Waits for another worker that runs the same job; returns no row where that worker was first. */
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
  WHERE project_id = $1 AND job_id = $2 AND status IN ('queued', 'running') RETURNING job_id`;

const RELEASE = `
  UPDATE jobs SET status = 'queued', worker_id = NULL
  WHERE project_id = $1 AND job_id = $2 AND status = 'running' AND worker_id = $3`;

const RETRY = `
  UPDATE jobs SET status = 'queued', attempts = 0, finished_at = NULL, problem = NULL
  WHERE project_id = $1 AND job_id = $2 AND status = 'failed'
  RETURNING parts`;

/** A statement of its own: the one that locks the job does not see what another transaction has deleted while it waited. */
const COUNT_PARTS = `SELECT count(*)::int AS parts FROM job_parts WHERE project_id = $1 AND job_id = $2`;

const COLUMNS = 'job_id AS seq, status, attempts, finished_at, result_status, problem';

/** Jobs, and their stored requests and bodies. */
@Injectable()
export class JobStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
    private readonly sealed: SealedJobs,
  ) {}

  /**
   * Stores a job and queues it; on a cluster, and where its body has another number, only in a transaction.
   * @throws a unique violation where its number, or that of its body, exists; Problem unavailable where parts of its body were deleted
   */
  async insert(on: Queryable, job: NewJob): Promise<void> {
    const { projectId, jobId, keyId, operation, input, mediaType, parts, bodyId } = job;
    const body = job.body === null ? null : await this.sealed.sealBody({ projectId, part: 0 }, job.body);
    const isMoved = bodyId !== jobId && body === null;
    const moved = isMoved ? await on.query(MOVE_PARTS, [projectId, bodyId, jobId]) : [];
    const row = [projectId, jobId, keyId, operation, input, mediaType, parts];
    const entry = entryValues(job, job.place);
    if (this.database.isDistributed) {
      await on.query(INSERT_JOB, row);
      if (body !== null) await on.query(INSERT_BODY, [projectId, jobId, body]);
      await on.query(INSERT_ENTRY, entry);
    } else {
      await on.query(INSERT, [...row, body, ...entry]);
    }
    // Only now: where an earlier attempt has stored the job, and moved its parts, its number exists.
    if (isMoved && moved.length < parts) throw partsDeleted();
  }

  /** Whether `insert` needs a transaction. */
  get insertsInSteps(): boolean {
    return this.database.isDistributed;
  }

  /** Whether this job is stored; false where another job has its number. */
  async isStored({ projectId, jobId, input }: NewJob): Promise<boolean> {
    return (await this.database.query(IS_STORED, [projectId, jobId, input])).length > 0;
  }

  /**
   * Stores a part of a stream's body.
   * @throws a unique violation where the first part of another upload has the number; Problem not-found for a deleted project
   */
  async addPart({ projectId, jobId }: JobKey, part: number, bytes: Buffer): Promise<void> {
    const statement = part === 0 ? ADD_PART : ADD_NEXT_PART;
    const sealed = await this.sealed.sealBody({ projectId, part }, bytes);
    const [row] = await this.database.retrying(() =>
      this.database.query<{ is_deleted: boolean }>(statement, [projectId, jobId, part, sealed]),
    );
    if (row?.is_deleted === true) throw projectDeleted();
  }

  /** @throws Problem not-found for a deleted project, whose jobs and parts of streams are deleted */
  async requireProject(projectId: number): Promise<void> {
    if ((await this.database.query(IS_DELETED, [projectId])).length > 0) throw projectDeleted();
  }

  async deleteParts({ projectId, jobId }: JobKey): Promise<void> {
    await this.database.query('DELETE FROM job_parts WHERE project_id = $1 AND job_id = $2', [projectId, jobId]);
  }

  /** Null where the job has ended, it or its project was deleted, or it is of another operation. */
  async claim(
    { projectId, jobId }: JobKey,
    workerId: string,
    operations: readonly string[],
  ): Promise<ClaimedJob | null> {
    const [row] = await this.database.query<ClaimedJob>(CLAIM, [projectId, jobId, workerId, operations]);
    if (row === undefined) return null;
    return { ...row, body: row.body && (await this.sealed.openBody({ projectId, part: 0 }, row.body)) };
  }

  /** Null for a job that does not exist, or whose project was deleted. */
  async statusOf({ projectId, jobId }: JobKey): Promise<JobStatus | null> {
    const [row] = await this.database.query<{ status: JobStatus }>(STATUS, [projectId, jobId]);
    return row?.status ?? null;
  }

  /** Null for a missing part. */
  async part({ projectId, jobId }: JobKey, part: number): Promise<Buffer | null> {
    const [row] = await this.database.query<{ bytes: Buffer }>(PART, [projectId, jobId, part]);
    return row === undefined ? null : this.sealed.openBody({ projectId, part }, row.bytes);
  }

  /** @returns false where the job had succeeded before */
  async succeed(on: Queryable, { projectId, jobId }: JobKey, { status, text }: WriteResponse): Promise<boolean> {
    const result = await this.sealed.sealResult(projectId, jobId, text);
    return (await on.query(SUCCEED, [projectId, jobId, now(), status, result])).length > 0;
  }

  async fail(tx: Queryable, { projectId, jobId }: JobKey, problem: object): Promise<boolean> {
    return (await tx.query(FAIL, [projectId, jobId, now(), JSON.stringify(problem)])).length > 0;
  }

  /** Queues the job again, unless another worker has claimed it. */
  async release({ projectId, jobId }: JobKey, workerId: string): Promise<void> {
    await this.database.query(RELEASE, [projectId, jobId, workerId]);
  }

  /**
   * Queues a failed job again and resets its attempts.
   * @param place see `JobPlaces`
   * @returns false where it had not failed
   * @throws Problem conflict where its body was deleted; see `JobBodyRoom`
   */
  async retry(key: JobKey, place: number): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      const values = [key.projectId, key.jobId];
      const [job] = await tx.query<{ parts: number }>(RETRY, values);
      if (job === undefined) return false;
      const [stored] = await tx.query<{ parts: number }>(COUNT_PARTS, values);
      if ((stored?.parts ?? 0) < job.parts) throw bodyDeleted();
      await tx.query(ADD_ENTRY_AGAIN, entryValues(key, place));
      return true;
    });
  }

  /** @param keyId finds only jobs of this key; null finds all jobs of the project */
  async find(
    { projectId, jobId }: JobKey,
    keyId: string | null,
    on: Queryable = this.database,
  ): Promise<JobRow | null> {
    const [row] = await on.query<JobRow>(
      `SELECT ${COLUMNS}, result FROM jobs WHERE project_id = $1 AND job_id = $2 AND key_id = coalesce($3, key_id)`,
      [projectId, jobId, keyId],
    );
    if (row?.result == null) return row ?? null;
    return { ...row, result: this.sealed.openResult(projectId, jobId, row.result) };
  }

  /** A page of the jobs without their results, and their number. */
  list(projectId: number, filter: JobFilter, page: PageRequest): Promise<{ slice: Slice<JobRow>; count: Count }> {
    return readPage(this.database, listSql(projectId, filter), page, this.config.limits.countCap);
  }
}

function listSql(projectId: number, { keyId, status }: JobFilter): ListSql {
  const values: unknown[] = [projectId];
  const where = ['project_id = $1'];
  if (keyId !== null) where.push(`key_id = $${String(values.push(keyId))}`);
  if (status !== undefined) where.push(`status = $${String(values.push(status))}`);
  return { select: COLUMNS, from: 'jobs', where: where.join(' AND '), seq: 'job_id', values };
}

function bodyDeleted(): Problem {
  return new Problem('conflict', {
    detail:
      "The body of this job was deleted, because the bodies of the project's jobs took more than JOB_BODIES_BYTES_MAX. Send the request again.",
  });
}

export function partsDeleted(): Problem {
  return new Problem('unavailable', {
    detail: 'The stream took so long that parts of it were deleted; nothing was stored. Send it again.',
  });
}

function projectDeleted(): Problem {
  return new Problem('not-found', { detail: PROJECT_DELETED });
}

function now(): string {
  return new Date().toISOString();
}
