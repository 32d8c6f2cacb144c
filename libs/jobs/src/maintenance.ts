import { Database, isConnectionLoss } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { WorkerRegistry } from './worker-registry.js';

const EVERY_MS = 60_000;

/** How long a job that has ended can be looked up. */
const JOBS_KEPT_DAYS = 30;

/** Deleted at a time, so that no statement holds many locks or lasts. */
export const MAINTENANCE_ROWS = 10_000;

const STATEMENTS = [
  `DELETE FROM idempotency_keys WHERE (project_id, key_hash) IN (
     SELECT project_id, key_hash FROM idempotency_keys WHERE expires_at < now() LIMIT ${String(MAINTENANCE_ROWS)})`,
  `WITH old AS (
     DELETE FROM jobs WHERE (project_id, job_id) IN (
       SELECT project_id, job_id FROM jobs
       WHERE finished_at < now() - interval '${String(JOBS_KEPT_DAYS)} days' LIMIT ${String(MAINTENANCE_ROWS)})
     RETURNING project_id, job_id)
   DELETE FROM job_parts AS p USING old WHERE p.project_id = old.project_id AND p.job_id = old.job_id`,
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
  private readonly statements = [...STATEMENTS];
  private runs = 0;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly registry: WorkerRegistry,
  ) {}

  /**
   * For libs above, as they are made: SQL to be run every minute, by every process that runs jobs. So it has to be no more than a
   * look at an index where there is nothing to do.
   */
  add(...statements: readonly string[]): void {
    this.statements.push(...statements);
  }

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
    for (const statement of this.statements) await this.database.query(statement);
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
