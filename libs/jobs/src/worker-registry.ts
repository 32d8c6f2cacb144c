import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';

/** A worker that has not been heard of for so long is taken for dead; it beats four times in it. */
const DEAD_AFTER_S = 20;

const BEAT = `
  INSERT INTO job_workers (worker_id, beat_at) SELECT unnest($1::text[]), now()
  ON CONFLICT (worker_id) DO UPDATE SET beat_at = excluded.beat_at`;

/** Of several that look at once only one takes a dead worker's row. */
const TAKE_DEAD = `
  DELETE FROM job_workers WHERE worker_id IN (
    SELECT worker_id FROM job_workers WHERE beat_at < now() - $1 * interval '1 second' FOR UPDATE SKIP LOCKED)
  RETURNING worker_id`;

/**
 * Workers that were killed between their first job and their first beat. Reads the whole queue, because graphile-worker has
 * no index of what is locked.
 */
const UNKNOWN = `
  SELECT DISTINCT locked_by FROM graphile_worker._private_jobs AS j
  WHERE locked_at < now() - $1 * interval '1 second'
    AND NOT EXISTS (SELECT FROM job_workers WHERE worker_id = j.locked_by)`;
const UNKNOWN_AFTER_S = 30;

const REQUEUE = `
  UPDATE jobs SET status = 'queued', worker_id = NULL, attempts = attempts - $2
  WHERE status = 'running' AND worker_id = ANY ($1)`;

const UNLOCK = `SELECT graphile_worker.force_unlock_workers($1)`;

/** What graphile-worker's own `add_job` sends, so that idle workers look. */
const NOTIFY = `SELECT pg_notify('jobs:insert', '{"count":10}')`;

/**
 * Which workers live. graphile-worker leaves the jobs of a dead one locked for four hours. Here they are free after half a
 * minute; that a worker was taken for dead which only slept does no harm, because a job's effect carries its own receipt.
 */
@Injectable()
export class WorkerRegistry {
  constructor(private readonly database: Database) {}

  async beat(workerIds: readonly string[]): Promise<void> {
    await this.database.query(BEAT, [workerIds]);
  }

  /** Frees what dead workers held. @returns who was dead */
  async freeDead(): Promise<string[]> {
    return this.database.transaction(async (tx) => {
      const dead = (await tx.query<{ worker_id: string }>(TAKE_DEAD, [DEAD_AFTER_S])).map((row) => row.worker_id);
      if (dead.length > 0) await free(tx, dead, 0);
      return dead;
    });
  }

  /** Frees what is held by workers that never said that they live. To be called once a minute. */
  async freeUnknown(): Promise<void> {
    await this.database.transaction(async (tx) => {
      const rows = await tx.query<{ locked_by: string }>(UNKNOWN, [UNKNOWN_AFTER_S]);
      if (rows.length === 0) return;
      await free(
        tx,
        rows.map((row) => row.locked_by),
        0,
      );
    });
  }

  /** Frees what a worker of this process still holds that has ended, or cannot wait for its jobs. */
  async leave(workerId: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.query('DELETE FROM job_workers WHERE worker_id = $1', [workerId]);
      // An attempt that was broken off by a stop was none of the job's own.
      await free(tx, [workerId], 1);
    });
  }

  async notify(): Promise<void> {
    await this.database.query(NOTIFY);
  }
}

async function free(tx: Queryable, workerIds: readonly string[], attempts: number): Promise<void> {
  await tx.query(REQUEUE, [workerIds, attempts]);
  await tx.query(UNLOCK, [workerIds]);
  await tx.query(NOTIFY);
}
