import { Database, isConnectionLoss } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { WorkerRegistry } from './worker-registry.js';

const EVERY_MS = 60_000;

/** How long a job that has ended is kept. */
const JOBS_KEPT_DAYS = 30;

/** Rows deleted by one statement, so that none holds many locks or runs long. */
export const MAINTENANCE_ROWS = 10_000;

/** Time after which a run repeats no statement; the next run continues. */
const REPEAT_FOR_MS = 30_000;

const STATEMENTS = [
  `WITH expired AS (
     DELETE FROM idempotency_keys WHERE (project_id, key_hash) IN (
       SELECT project_id, key_hash FROM idempotency_keys WHERE expires_at < now() LIMIT ${String(MAINTENANCE_ROWS)})
     RETURNING 1)
   SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM expired`,
  `WITH old AS (
     DELETE FROM jobs WHERE (project_id, job_id) IN (
       SELECT project_id, job_id FROM jobs
       WHERE finished_at < now() - interval '${String(JOBS_KEPT_DAYS)} days' LIMIT ${String(MAINTENANCE_ROWS)})
     RETURNING project_id, job_id),
   parts AS (
     DELETE FROM job_parts AS p USING old WHERE p.project_id = old.project_id AND p.job_id = old.job_id)
   SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM old`,
];

/** Uploads deleted by one statement; each may have thousands of parts. */
const ORPHANS = 100;

/**
 * Deletes the parts of uploads whose server died: those without a job whose newest part is old. The age of the first part
 * does not matter, because an upload may last for days. Reads all stored parts, so it runs once an hour.
 */
const DELETE_ORPHANS = `
  WITH orphans AS (
    SELECT project_id, job_id FROM job_parts AS p
    WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.project_id = p.project_id AND j.job_id = p.job_id)
    GROUP BY project_id, job_id HAVING max(kept_at) < now() - interval '1 day' LIMIT ${String(ORPHANS)}),
  parts AS (
    DELETE FROM job_parts AS p USING orphans AS o WHERE p.project_id = o.project_id AND p.job_id = o.job_id)
  SELECT count(*) >= ${String(ORPHANS)} AS has_more FROM orphans`;
const RUNS_PER_HOUR = 60;

/** Deletes expired rows and frees locked jobs, every minute in every process that runs jobs. */
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
   * Adds SQL statements of other libs. Each runs every minute in every process that runs jobs, so where there is nothing to do
   * it must cost no more than an index lookup. A statement that returns a row with `has_more` true runs again in the same run.
   */
  add(...statements: readonly string[]): void {
    this.statements.push(...statements);
  }

  /** Runs now and every minute, with a timer of its own, so that a slow run does not delay the heartbeat. */
  start(): void {
    if (!this.isStopped) this.running = this.turn();
  }

  /** Resolves when the current run has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /**
   * Runs everything that is due, and repeats in turn the statements that have more to do, for up to half a minute. A statement
   * that fails is logged and does not stop the others.
   */
  async run(): Promise<void> {
    await this.attempt(this.registry.freeUnknown());
    const isHourly = this.runs++ % RUNS_PER_HOUR === 0;
    let due = isHourly ? [...this.statements, DELETE_ORPHANS] : this.statements;
    const repeatUntil = performance.now() + REPEAT_FOR_MS;
    do {
      const unfinished: string[] = [];
      for (const statement of due) {
        const rows = await this.attempt(this.database.query<{ has_more?: boolean }>(statement));
        if (rows?.[0]?.has_more === true) unfinished.push(statement);
      }
      due = unfinished;
    } while (due.length > 0 && !this.isStopped && performance.now() < repeatUntil);
  }

  /** @returns undefined where the work failed */
  private async attempt<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      // The heartbeat logs an outage of the database.
      if (!isConnectionLoss(error)) this.log.warn(`maintenance failed: ${String(error)}`);
      return undefined;
    }
  }

  private async turn(): Promise<void> {
    await this.run();
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.start();
    }, EVERY_MS);
  }
}
