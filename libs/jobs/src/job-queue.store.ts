import { INSTALLATION } from '#audit';
import { Database, firstSeqAt } from '#database';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { JobKey } from './job-key.js';

/** The identifier of our one kind of task in graphile-worker. */
export const TASK = 'stowage.job';

/** We count the attempts ourselves: graphile-worker would keep a job that killed its last worker forever, without an error. */
const QUEUE_ATTEMPTS_MAX = 32_767;

/** A statement that adds the entry of a job, with the values of `entryValues` from this parameter on. */
export const insertEntrySql = (first: number): string => {
  const [task, payload, key, attempts, flag, place] = [0, 1, 2, 3, 4, 5].map((n) => `$${String(first + n)}`);
  return `
    INSERT INTO graphile_worker._private_jobs (task_id, payload, key, max_attempts, flags, priority)
    VALUES ((SELECT id FROM graphile_worker._private_tasks WHERE identifier = ${String(task)}), ${String(payload)}::json,
      ${String(key)}, ${String(attempts)}, jsonb_build_object(${String(flag)}::text, true), ${String(place)})`;
};

/**
 * Queued jobs after the one with the number $2 of the project $1, in the order of an index that has only queued jobs; not those that are
 * being accepted at this time.
 */
const QUEUED = `
  SELECT project_id AS "projectId", job_id AS "jobId" FROM jobs
  WHERE status = 'queued' AND (project_id, job_id) > ($1::int, $2::bigint) AND job_id < $3::bigint
  ORDER BY project_id, job_id LIMIT $4`;

const WITHOUT_ENTRY = `
  SELECT key FROM unnest($1::text[]) AS queued (key)
  WHERE NOT EXISTS (SELECT FROM graphile_worker._private_jobs AS j WHERE j.key = queued.key)`;

/** Unlike `insertEntrySql` this also works while a worker is deleting the job's earlier entry. Values: those of `entryValues`. */
export const ADD_ENTRY_AGAIN = `SELECT graphile_worker.add_job($1, $2::json, job_key => $3, max_attempts => $4, flags => ARRAY[$5], priority => $6)`;

const LOCK_QUEUED = `SELECT FROM jobs WHERE project_id = $1 AND job_id = $2 AND status = 'queued' FOR UPDATE`;

/**
 * Changes nothing where the job has an entry, also while a worker runs it: the other modes add a second one then. A new entry has
 * revision 0.
 */
const ADD_LOST = `
  SELECT revision = 0 AS is_added FROM graphile_worker.add_job(
    $1, $2::json, job_key => $3, max_attempts => $4, flags => ARRAY[$5], priority => $6, job_key_mode => 'unsafe_dedupe')`;

/**
 * Whether a job of other projects can run now. It is near the front of the queue, if there is one, because projects run in turn
 * (`JobPlaces`): a search of the first jobs costs 0.2 ms.
 */
const SEARCHED_JOBS = 500;
const HAS_WAITING = {
  name: 'job.has-waiting',
  text: `
    SELECT FROM (
      SELECT task_id, flags FROM graphile_worker._private_jobs
      WHERE is_available AND run_at <= now() ORDER BY priority, run_at LIMIT ${String(SEARCHED_JOBS)}
    ) AS first
    WHERE (flags ?| $1::text[]) IS NOT TRUE
      AND task_id = (SELECT id FROM graphile_worker._private_tasks WHERE identifier = $2)
    LIMIT 1`,
};

/**
 * The same for a job that is not near the front, because more than 1,000 jobs of a project are queued. One look-up for each
 * project; the job that it finds may have to wait for its next attempt.
 */
const HAS_QUEUED = {
  name: 'job.has-queued',
  text: `
    SELECT FROM (SELECT project_id FROM projects UNION ALL SELECT ${String(INSTALLATION)}) AS p
    CROSS JOIN LATERAL (
      SELECT FROM jobs AS j WHERE j.project_id = p.project_id AND j.status = 'queued' LIMIT 1
    ) AS queued
    WHERE p.project_id <> ALL ($1::integer[])
    LIMIT 1`,
};

/** The same on a cluster, which has no LIMIT for each project: it reads past the queued jobs of these projects. */
const HAS_QUEUED_DISTRIBUTED = {
  name: 'job.has-queued-distributed',
  text: `
    SELECT FROM jobs WHERE status = 'queued' AND project_id <> ALL ($1::integer[]) ORDER BY project_id, job_id LIMIT 1`,
};

/** The entries of jobs in graphile-worker's queue, in its private tables. */
@Injectable()
export class JobQueueStore implements OnModuleInit {
  constructor(private readonly database: Database) {}

  async onModuleInit(): Promise<void> {
    await this.database.query(
      `INSERT INTO graphile_worker._private_tasks (identifier) VALUES ($1) ON CONFLICT DO NOTHING`,
      [TASK],
    );
  }

  /** The next queued jobs after one, accepted before a time. @param beforeMs milliseconds since 1970 */
  queuedAfter({ projectId, jobId }: JobKey, beforeMs: number, limit: number): Promise<JobKey[]> {
    return this.database.query<JobKey>(QUEUED, [projectId, jobId, firstSeqAt(beforeMs), limit]);
  }

  /** Those of the jobs that have no entry in the queue. */
  async withoutEntry(jobs: readonly JobKey[]): Promise<JobKey[]> {
    const rows = await this.database.query<{ key: string }>(WITHOUT_ENTRY, [jobs.map(entryKey)]);
    const missing = new Set(rows.map(({ key }) => key));
    return jobs.filter((job) => missing.has(entryKey(job)));
  }

  /**
   * Adds a job to the queue if it is still queued and has no entry.
   * @param place see `JobPlaces`
   * @returns whether it was added
   */
  async addLostEntry(key: JobKey, place: number): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      // A worker that claims the job meanwhile waits for this lock.
      if ((await tx.query(LOCK_QUEUED, [key.projectId, key.jobId])).length === 0) return false;
      const [row] = await tx.query<{ is_added: boolean }>(ADD_LOST, entryValues(key, place));
      return row?.is_added === true;
    });
  }

  /** Whether a job of any other project than these can run now, among the first jobs of the queue. */
  async hasWaiting(projectIds: readonly number[]): Promise<boolean> {
    return (await this.database.query(HAS_WAITING, [projectIds.map(projectFlag), TASK])).length > 0;
  }

  /** Whether a job of any other project than these is queued, wherever in the queue. */
  async hasQueued(projectIds: readonly number[]): Promise<boolean> {
    const statement = this.database.isDistributed ? HAS_QUEUED_DISTRIBUTED : HAS_QUEUED;
    return (await this.database.query(statement, [projectIds])).length > 0;
  }
}

/** Task, payload, key, maximum attempts, flag and priority of a job in graphile-worker's queue. @param place see `JobPlaces` */
export function entryValues({ projectId, jobId }: JobKey, place: number): unknown[] {
  const payload = JSON.stringify({ projectId, jobId });
  return [TASK, payload, entryKey({ projectId, jobId }), QUEUE_ATTEMPTS_MAX, projectFlag(projectId), place];
}

/** The key of a job in graphile-worker's queue. */
function entryKey({ projectId, jobId }: JobKey): string {
  return `${String(projectId)}/${jobId}`;
}

/** The flag of a project's jobs in graphile-worker's queue. Jobs of earlier versions have none. */
export function projectFlag(projectId: number): string {
  return `project:${String(projectId)}`;
}
