import { EventEmitter } from 'node:events';
import { run, Logger as QueueLogger, type Runner, type WorkerEvents, type WorkerPool } from 'graphile-worker';
import type { Pool } from 'pg';
import { TASK, type JobKey } from './job.store.js';

/** Notifications make idle workers look at once; this is for attempts that were put off, and for notifications that were lost. */
const POLL_MS = 2_000;

interface QueueWorkerOptions {
  connections: Pool;
  concurrency: number;
  work: (key: JobKey, workerId: string) => Promise<void>;
  warn: (message: string) => void;
}

/**
 * One of graphile-worker's pools of workers. It ends by itself when it could not write down that a job is done, as when the
 * database restarts; then another one has to take its place.
 */
export class QueueWorker {
  /** Takes no more jobs; what it has begun goes on. */
  isLeaving = false;
  /** Resolves when it has ended and nothing of it runs. */
  readonly ended: Promise<void>;

  private constructor(
    private readonly pool: WorkerPool,
    private readonly runner: Runner,
  ) {
    this.ended = runner.promise.catch(() => undefined);
  }

  static async start({ connections, concurrency, work, warn }: QueueWorkerOptions): Promise<QueueWorker> {
    const events = new EventEmitter() as WorkerEvents;
    // Neither returned nor resolved with: it is a promise itself, of its own end.
    let pool: WorkerPool | undefined;
    events.once('pool:create', ({ workerPool }) => {
      pool = workerPool;
    });
    const task = (payload: unknown): Promise<void> => work(payload as JobKey, pool?.id ?? '');
    const options = {
      pgPool: connections,
      concurrency,
      pollInterval: POLL_MS,
      noHandleSignals: true,
      events,
      logger: queueLogger(warn),
      // In batches: one commit for what ends within some milliseconds. And an error of a batch ends the pool, where that of
      // a single job would end the process.
      preset: { worker: { completeJobBatchDelay: 20, failJobBatchDelay: 0 } },
    };
    const runner = await run(options, { [TASK]: task }, []);
    if (pool === undefined) throw new Error('graphile-worker made no pool');
    const worker = new QueueWorker(pool, runner);
    events.once('pool:gracefulShutdown', () => {
      worker.isLeaving = true;
    });
    return worker;
  }

  /** What it locks jobs with. */
  get id(): string {
    return this.pool.id;
  }

  /** Makes an idle worker look for a job. */
  nudge(): void {
    if (!this.isLeaving) this.pool.nudge(1);
  }

  /** Resolves when what it had begun has ended. */
  async leave(): Promise<void> {
    if (!this.isLeaving) {
      this.isLeaving = true;
      await this.runner.stop().catch(() => undefined);
    }
    await this.ended;
  }
}

/** Jobs that failed are logged by us, with what they are; the rest of what it says at level info is of no use to anybody. */
function queueLogger(warn: (message: string) => void): QueueLogger {
  return new QueueLogger(() => (level, message, meta) => {
    const isOfJob = meta !== undefined && 'failure' in meta;
    if ((level === 'error' || level === 'warning') && !isOfJob) warn(message.split('\n')[0] ?? '');
  });
}
