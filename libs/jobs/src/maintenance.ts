import { describeError } from '#platform';
import { Database, isConnectionLoss } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { deleteAbandonedSql } from './abandoned-uploads.js';
import { WorkerRegistry } from './worker-registry.js';

const EVERY_MS = 60_000;

/** How long a job that has ended is kept. */
const JOBS_KEPT_DAYS = 30;

/** Rows deleted by one statement, so that none holds many locks or runs long. */
export const MAINTENANCE_ROWS = 10_000;

/** Projects that one run of a task visits. */
export const MAINTENANCE_PROJECTS = 1_000;

/** Time after which a run repeats no statement; the next run continues. */
const REPEAT_FOR_MS = 30_000;

/** A statement, or a function, that runs every minute in every process that runs jobs. */
export type MaintenanceTask = TaskFacts & (SqlTask | ProjectTask | { run: () => Promise<unknown> });

interface SqlTask {
  /**
   * Costs no more than an index lookup where there is nothing to do. Where it returns a row with `has_more` true, it runs again
   * in the same run.
   */
  sql: string;
}

/** Statements of one project, such as those that lock rows: a cluster refuses them across projects. */
interface ProjectTask {
  /** Lists projects, as `project_id`, that have something to do; at most `MAINTENANCE_PROJECTS`. Costs as little as `sql` of a `SqlTask`. */
  projectsSql: string;
  /** Runs for each of them, as $1. Where it returns a row with `has_more` true, both run again in the same run. */
  projectSql: string;
}

interface TaskFacts {
  /** For operators, in the imperative; unique. */
  name: string;
  /** Returns the earliest time at which a row was or will be due, from an index; null without rows. */
  dueSql?: string;
}

/** What this process knows of a task. */
export interface TaskState {
  ranAt: Date;
  /** Whether it had more to do when it stopped. */
  hasMore: boolean;
  lastError: { at: Date; message: string } | null;
}

const DELETE_EXPIRED_KEYS: MaintenanceTask = {
  name: 'delete expired idempotency keys',
  sql: `
    WITH expired AS (
      DELETE FROM idempotency_keys WHERE (project_id, key_hash) IN (
        SELECT project_id, key_hash FROM idempotency_keys WHERE expires_at < now() LIMIT ${String(MAINTENANCE_ROWS)})
      RETURNING 1)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM expired`,
  dueSql: 'SELECT min(expires_at) FROM idempotency_keys',
};

const JOBS_KEPT = `interval '${String(JOBS_KEPT_DAYS)} days'`;
/**
 * It may deadlock with `JobBodyRoom`, which locks failed jobs in another order: the request repeats its statement, the maintenance runs
 * again in a minute. A cluster refuses to lock the rows of several projects in an order.
 */
const DELETE_OLD_JOBS: MaintenanceTask = {
  name: 'delete old jobs',
  sql: `
    WITH old AS (
      DELETE FROM jobs WHERE (project_id, job_id) IN (
        SELECT project_id, job_id FROM jobs
        WHERE finished_at < now() - ${JOBS_KEPT} LIMIT ${String(MAINTENANCE_ROWS)})
      RETURNING project_id, job_id),
    parts AS (
      DELETE FROM job_parts AS p USING old WHERE p.project_id = old.project_id AND p.job_id = old.job_id)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM old`,
  dueSql: `SELECT min(finished_at) + ${JOBS_KEPT} FROM jobs`,
};

/** Reads all stored parts, so it runs once an hour. */
const DELETE_ABANDONED: MaintenanceTask = {
  name: 'delete abandoned uploads',
  sql: deleteAbandonedSql('all projects'),
};
const RUNS_PER_HOUR = 60;

const FREE_JOBS = 'free jobs of unknown workers';

/** Deletes expired rows and frees locked jobs, every minute in every process that runs jobs. */
@Injectable()
export class Maintenance {
  private readonly log = new Logger('jobs');
  private readonly everyMinute: MaintenanceTask[] = [DELETE_EXPIRED_KEYS, DELETE_OLD_JOBS];
  private readonly background: string[] = [];
  private readonly states = new Map<string, TaskState>();
  private readonly startCallbacks: (() => void)[] = [];
  private runs = 0;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly database: Database,
    private readonly registry: WorkerRegistry,
  ) {}

  /** Adds tasks of other libs. */
  add(...tasks: readonly MaintenanceTask[]): void {
    this.everyMinute.push(...tasks);
  }

  /** Lists work that this process does by itself, not every minute, among the tasks. It calls `record`. */
  addBackground(name: string): void {
    this.background.push(name);
  }

  /** Records a run of such work. @param failure the error; undefined where nothing failed */
  record(name: string, hasMore: boolean, failure?: string): void {
    const ranAt = new Date();
    const lastError =
      failure === undefined ? (this.states.get(name)?.lastError ?? null) : { at: ranAt, message: failure };
    this.states.set(name, { ranAt, hasMore, lastError });
  }

  /** Calls back when this process starts to run jobs: for background work that is not a statement. */
  whenStarted(callback: () => void): void {
    this.startCallbacks.push(callback);
  }

  /** All tasks, each with its state; null before its first run, and in a process that runs no jobs. */
  list(): { name: string; dueSql?: string; state: TaskState | null }[] {
    const background = this.background.map((name): TaskFacts => ({ name }));
    return [{ name: FREE_JOBS }, ...this.everyMinute, DELETE_ABANDONED, ...background].map((task) => ({
      ...task,
      state: this.states.get(task.name) ?? null,
    }));
  }

  /** Runs now and every minute, with a timer of its own, so that a slow run does not delay the heartbeat. */
  start(): void {
    for (const callback of this.startCallbacks.splice(0)) callback();
    if (!this.isStopped) this.running = this.turn();
  }

  /** Resolves when the current run has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /**
   * Runs everything that is due, and repeats in turn the tasks that have more to do. A task that fails is logged and does not
   * stop the others. Nor does a project whose statement fails: the next run tries it again.
   */
  async run(repeatForMs = REPEAT_FOR_MS): Promise<void> {
    await this.attempt(FREE_JOBS, async () => {
      await this.registry.freeUnknown();
      return false;
    });
    const isHourly = this.runs++ % RUNS_PER_HOUR === 0;
    let due = isHourly ? [...this.everyMinute, DELETE_ABANDONED] : this.everyMinute;
    const repeatUntil = performance.now() + repeatForMs;
    const failed = new Map(due.map((task) => [task, new Set<number>()]));
    do {
      const unfinished: MaintenanceTask[] = [];
      for (const task of due) {
        if (await this.attempt(task.name, () => this.runTask(task, failed.get(task)))) unfinished.push(task);
      }
      due = unfinished;
    } while (due.length > 0 && !this.isStopped && performance.now() < repeatUntil);
    if (due.length > 0 && !this.isStopped) {
      const names = due.map(({ name }) => name).join(', ');
      this.log.warn(
        `maintenance stopped after ${String(repeatForMs / 1000)} s with more to do; it continues in a minute: ${names}`,
      );
    }
  }

  /** @param failed projects that this run skips; receives those that fail */
  private async runTask(task: MaintenanceTask, failed = new Set<number>()): Promise<boolean> {
    if ('run' in task) {
      await task.run();
      return false;
    }
    if ('sql' in task) return this.hasMore(task.sql);
    let [hasMore, hasFailed] = [false, false];
    for (const { project_id: projectId } of await this.database.query<{ project_id: number }>(task.projectsSql)) {
      if (this.isStopped) break;
      if (failed.has(projectId)) continue;
      try {
        if (await this.hasMore(task.projectSql, [projectId])) hasMore = true;
      } catch (error) {
        if (isConnectionLoss(error)) throw error;
        failed.add(projectId);
        // Others probably fail for the same reason.
        if (!hasFailed) this.fail(task.name, error, ` of project ${String(projectId)}`);
        hasFailed = true;
      }
    }
    return hasMore;
  }

  private async hasMore(sql: string, values: readonly unknown[] = []): Promise<boolean> {
    const [row] = await this.database.query<{ has_more?: boolean }>(sql, values);
    return row?.has_more === true;
  }

  /** @param work returns whether there is more to do @returns the same, and false where it failed */
  private async attempt(name: string, work: () => Promise<boolean>): Promise<boolean> {
    try {
      const hasMore = await work();
      this.record(name, hasMore);
      return hasMore;
    } catch (error) {
      this.fail(name, error);
      return false;
    }
  }

  private fail(name: string, error: unknown, ofProject = ''): void {
    this.record(name, false, describeError(error));
    // The heartbeat logs an outage of the database.
    if (!isConnectionLoss(error)) this.log.warn(`maintenance failed: ${name}${ofProject}: ${describeError(error)}`);
  }

  private async turn(): Promise<void> {
    await this.run();
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.start();
    }, EVERY_MS);
  }
}
