import { Database, isConnectionLoss } from '#platform';
import { Injectable, Logger } from '@nestjs/common';
import { WorkerRegistry } from './worker-registry.js';

const EVERY_MS = 60_000;

/** How long a job that has ended can be looked up. */
const JOBS_KEPT_DAYS = 30;

/** Deleted at a time, so that no statement holds many locks or lasts. */
const CHUNK_ROWS = 10_000;

/** Every minute: each is a look at an index where there is nothing to do, so it does not matter how many workers do it. */
const STATEMENTS = [
  `DELETE FROM idempotency_keys WHERE (project_id, key_hash) IN (
     SELECT project_id, key_hash FROM idempotency_keys WHERE expires_at < now() LIMIT ${String(CHUNK_ROWS)})`,
  `WITH old AS (
     DELETE FROM jobs WHERE (project_id, job_id) IN (
       SELECT project_id, job_id FROM jobs
       WHERE finished_at < now() - interval '${String(JOBS_KEPT_DAYS)} days' LIMIT ${String(CHUNK_ROWS)})
     RETURNING project_id, job_id)
   DELETE FROM job_parts AS p USING old WHERE p.project_id = old.project_id AND p.job_id = old.job_id`,
  // A mark says that a sum by the hour holds no more. It is needed as long as the sum is there, or somebody who does not see
  // the mark may write one, which takes minutes at most.
  `WITH old AS (
     SELECT project_id, subject, hour, marked_at FROM rollup_marks
     WHERE marked_at < now() - interval '1 day' ORDER BY marked_at LIMIT ${String(CHUNK_ROWS)}),
   gone AS (
     DELETE FROM rollups AS r USING old
     WHERE r.project_id = old.project_id AND r.subject = old.subject AND r.hour = old.hour)
   DELETE FROM rollup_marks AS m USING old
   WHERE m.project_id = old.project_id AND m.subject = old.subject AND m.hour = old.hour AND m.marked_at = old.marked_at`,
  // What was inserted since the last time waits in a list that every filter reads through, which costs it up to 5 ms.
  `SELECT gin_clean_pending_list('objects_data_idx')`,
];

/**
 * Of uploads that broke off with their server: those whose newest part is old. How long ago an upload began says nothing, it
 * may last for days. Looks at all parts that are kept, so it runs once an hour.
 */
const DELETE_ORPHANS = `
  DELETE FROM job_parts WHERE (project_id, job_id) IN (
    SELECT project_id, job_id FROM job_parts AS p
    WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.project_id = p.project_id AND j.job_id = p.job_id)
    GROUP BY project_id, job_id HAVING max(kept_at) < now() - interval '1 day')`;
const RUNS_PER_HOUR = 60;

/** What nobody waits for and has to be done all the same; every process that runs jobs does it. */
@Injectable()
export class Maintenance {
  private readonly log = new Logger('jobs');
  private runs = 0;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly registry: WorkerRegistry,
  ) {}

  /** Runs now and every minute. On its own, so that a slow run does not make this process look dead. */
  start(): void {
    if (!this.isStopped) this.running = this.turn();
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** Once; everything that is due. */
  async run(): Promise<void> {
    await this.registry.freeUnknown();
    for (const statement of STATEMENTS) await this.database.query(statement);
    if (this.runs++ % RUNS_PER_HOUR === 0) await this.database.query(DELETE_ORPHANS);
  }

  private async turn(): Promise<void> {
    try {
      await this.run();
    } catch (error) {
      // That the database is away is told by the beat.
      if (!isConnectionLoss(error)) this.log.warn(`housekeeping failed: ${String(error)}`);
    }
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.start();
    }, EVERY_MS);
  }
}
