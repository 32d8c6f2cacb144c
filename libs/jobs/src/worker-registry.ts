import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { NOTIFY_WORKERS } from './job-notifier.js';
import { TASK } from './job-queue.store.js';

/** A worker without a heartbeat for this time counts as dead; it sends four in it. */
const DEAD_AFTER_S = 20;

const BEAT = `
  INSERT INTO job_workers (worker_id, beat_at) SELECT unnest($1::text[]), now()
  ON CONFLICT (worker_id) DO UPDATE SET beat_at = excluded.beat_at`;

/** If several processes run it at once, only one gets the row of a dead worker. */
const TAKE_DEAD = `
  DELETE FROM job_workers WHERE worker_id IN (
    SELECT worker_id FROM job_workers WHERE beat_at < now() - $1 * interval '1 second' FOR UPDATE SKIP LOCKED)
  RETURNING worker_id`;

/**
 * Workers that were killed between their first job and their first heartbeat. Only jobs of our own task: another application
 * may use the same graphile-worker schema. Reads the whole queue, because graphile-worker has no index of locked jobs.
 */
const UNKNOWN = `
  SELECT DISTINCT j.locked_by FROM graphile_worker._private_jobs AS j
  JOIN graphile_worker._private_tasks AS t ON t.id = j.task_id AND t.identifier = $2
  WHERE j.locked_at < now() - $1 * interval '1 second'
    AND NOT EXISTS (SELECT FROM job_workers WHERE worker_id = j.locked_by)`;
const UNKNOWN_AFTER_S = 30;

const REQUEUE = `
  UPDATE jobs SET status = 'queued', worker_id = NULL, attempts = attempts - $2
  WHERE status = 'running' AND worker_id = ANY ($1)`;

const UNLOCK = `SELECT graphile_worker.force_unlock_workers($1)`;

/**
 * Records which workers are alive. graphile-worker keeps the jobs of a dead worker locked for four hours; the registry frees them
 * after half a minute. A worker that was only asleep does no harm, because the receipt of a job lets only one attempt commit.
 */
@Injectable()
export class WorkerRegistry {
  constructor(private readonly database: Database) {}

  async beat(workerIds: readonly string[]): Promise<void> {
    await this.database.query(BEAT, [workerIds]);
  }

  /** Frees the jobs of dead workers. @returns the ids of these workers */
  async freeDead(): Promise<string[]> {
    return this.database.transaction(async (tx) => {
      const dead = (await tx.query<{ worker_id: string }>(TAKE_DEAD, [DEAD_AFTER_S])).map((row) => row.worker_id);
      if (dead.length > 0) await free(tx, dead, 0);
      return dead;
    });
  }

  /** Frees the jobs of workers that never sent a heartbeat. */
  async freeUnknown(): Promise<void> {
    await this.database.transaction(async (tx) => {
      const rows = await tx.query<{ locked_by: string }>(UNKNOWN, [UNKNOWN_AFTER_S, TASK]);
      const workerIds = rows.map((row) => row.locked_by);
      if (workerIds.length > 0) await free(tx, workerIds, 0);
    });
  }

  /**
   * Frees the jobs of a worker that ended by itself. Their attempts count: a job that crashes PostgreSQL has to become a dead
   * letter.
   */
  async freeEnded(workerId: string): Promise<void> {
    await this.remove(workerId, 0);
  }

  /** Frees the jobs of a worker that a shutdown stops. The attempts that it interrupts do not count. */
  async freeStopped(workerId: string): Promise<void> {
    await this.remove(workerId, 1);
  }

  private async remove(workerId: string, attempts: number): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.query('DELETE FROM job_workers WHERE worker_id = $1', [workerId]);
      await free(tx, [workerId], attempts);
    });
  }
}

/** @param attempts to subtract from each job */
async function free(tx: Queryable, workerIds: readonly string[], attempts: number): Promise<void> {
  await tx.query(REQUEUE, [workerIds, attempts]);
  await tx.query(UNLOCK, [workerIds]);
  await tx.query(NOTIFY_WORKERS);
}
