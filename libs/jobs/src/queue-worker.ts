import { describeError } from '#platform';
import { EventEmitter } from 'node:events';
import { Logger as QueueLogger, run, type Runner, type WorkerEvents, type WorkerPool } from 'graphile-worker';
import type { Pool } from 'pg';
import { JobShares, WorkerStoppedError } from './job-shares.js';
import type { JobKey } from './job-key.js';
import { projectFlag, TASK } from './job-queue.store.js';

/** Notifications wake idle workers at once; polls find delayed attempts and jobs whose notification was lost. */
const POLL_MS = 2_000;

/**
 * After errors graphile-worker 0.17.3 may never end, because it counts failed batches wrong. A pool that
 * takes no more jobs and has run none for this time counts as ended.
 */
const IDLE_MS = 2_000;
const IDLE_CHECK_MS = 100;

interface QueueWorkerOptions {
  connections: Pool;
  /** Jobs that run at a time, and those of one project. */
  concurrency: number;
  perProject: number;
  /** The number of jobs of each project that run in this process, also in other pools. */
  running?: Map<number, number>;
  /** Whether a job of any other project than these can run now. */
  hasWaiting: (projectIds: readonly number[]) => Promise<boolean>;
  /** Projects whose jobs this process must not run now. */
  excluded?: () => Iterable<number>;
  work: (key: JobKey, workerId: string) => Promise<void>;
  warn: (message: string) => void;
}

/**
 * A pool of graphile-worker's workers. It ends by itself when it could not record that a job is done, as when the database
 * restarts; then it has to be replaced by another pool.
 */
export class QueueWorker {
  private stopping = false;
  /** Number of running jobs. */
  private busy = 0;
  /** Never return it from an async function or resolve with it: it is itself a promise, of its own end. */
  private pool: WorkerPool | undefined;
  private runner: Runner | undefined;
  private end: Promise<unknown> = Promise.resolve();

  private readonly shares: JobShares;

  private constructor(private readonly options: QueueWorkerOptions) {
    this.shares = new JobShares(options.perProject, options.hasWaiting, options.running);
  }

  static async start(options: QueueWorkerOptions): Promise<QueueWorker> {
    const worker = new QueueWorker(options);
    await worker.begin();
    return worker;
  }

  /** Whether it takes no more jobs; running jobs continue. */
  get isStopping(): boolean {
    return this.stopping;
  }

  /** The id that it locks jobs with. */
  get id(): string {
    return this.pool?.id ?? '';
  }

  /** Wakes an idle worker. */
  wakeOne(): void {
    if (!this.stopping) this.pool?.nudge(1);
  }

  /** Takes no more jobs. Resolves when the running ones have ended. */
  async stop(): Promise<void> {
    this.beginStop();
    await this.ended();
  }

  /** Resolves when it has ended, by `stop` or by itself. */
  async ended(): Promise<void> {
    await this.end;
  }

  private async begin(): Promise<void> {
    const { connections, concurrency, excluded = () => [], warn } = this.options;
    const events = new EventEmitter() as WorkerEvents;
    events.once('pool:create', ({ workerPool }) => {
      this.pool = workerPool;
    });
    events.once('pool:gracefulShutdown', () => {
      this.beginStop();
    });
    // When a query fails while a worker stops, graphile-worker prints the error with console.trace, unless the worker has been
    // released before.
    events.on('worker:getJob:error', ({ worker, error }) => {
      this.shares.endTurn();
      if (!this.stopping) return;
      if (!(error instanceof WorkerStoppedError)) warn(`Failed to acquire a job: ${describeError(error)}`);
      void worker.release(true);
    });
    events.on('worker:getJob:empty', () => {
      this.shares.endTurn();
    });
    events.on('job:start', ({ job }) => {
      this.shares.addJob((job.payload as JobKey).projectId);
    });
    const options = {
      pgPool: connections,
      concurrency,
      pollInterval: POLL_MS,
      noHandleSignals: true,
      forbiddenFlags: async () => [...(await this.shares.waitForTurn()), ...excluded()].map(projectFlag),
      events,
      logger: queueLogger(warn),
      // In batches: one commit for all jobs that end within 20 ms. An error of a batch ends the pool, where that of a single
      // job would end the process.
      preset: { worker: { completeJobBatchDelay: 20, failJobBatchDelay: 0 } },
    };
    const runner = await run(options, { [TASK]: (payload) => this.work(payload as JobKey) }, []);
    this.runner = runner;
    if (this.stopping) this.beginStop();
    this.end = Promise.race([runner.promise.catch(() => undefined), this.idle()]);
  }

  /** Also for a pool that ends by itself: it would go on to check its empty crontab every minute. */
  private beginStop(): void {
    this.stopping = true;
    this.shares.stop();
    this.runner?.stop().catch(() => undefined);
  }

  private async work(key: JobKey): Promise<void> {
    this.busy++;
    try {
      await this.options.work(key, this.id);
    } finally {
      this.busy--;
      this.shares.removeJob(key.projectId);
    }
  }

  private idle(): Promise<void> {
    return new Promise((resolve) => {
      let idleMs = 0;
      const timer = setInterval(() => {
        idleMs = this.stopping && this.busy === 0 ? idleMs + IDLE_CHECK_MS : 0;
        if (idleMs < IDLE_MS) return;
        clearInterval(timer);
        resolve();
      }, IDLE_CHECK_MS).unref();
    });
  }
}

/** Failed jobs are logged by JobExecutor; messages at level info say nothing to an operator. */
function queueLogger(warn: (message: string) => void): QueueLogger {
  return new QueueLogger(() => (level, message, meta) => {
    const isOfJob = meta !== undefined && 'failure' in meta;
    if (/^(error|warning)$/.test(level) && !isOfJob) warn(message.split('\n')[0] ?? '');
  });
}
