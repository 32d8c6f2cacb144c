import { EventEmitter } from 'node:events';
import { Logger as QueueLogger, run, type Runner, type WorkerEvents, type WorkerPool } from 'graphile-worker';
import type { Pool } from 'pg';
import { TASK, type JobKey } from './job.store.js';

/** Notifications make idle workers look at once; this is for attempts that were put off, and for notifications that were lost. */
const POLL_MS = 2_000;

/**
 * After errors graphile-worker may wait for ever for its own end: 0.17.3 counts the batches that failed wrong. So one that
 * takes no more jobs and has done nothing for so long counts as ended.
 */
const IDLE_MS = 2_000;
const LOOK_MS = 100;

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
  private leaving = false;
  /** Jobs that run. */
  private busy = 0;
  /** Not to be returned from what is async, nor resolved with: it is a promise itself, of its own end. */
  private pool: WorkerPool | undefined;
  private runner: Runner | undefined;
  private over: Promise<unknown> = Promise.resolve();

  private constructor(private readonly options: QueueWorkerOptions) {}

  static async start(options: QueueWorkerOptions): Promise<QueueWorker> {
    const worker = new QueueWorker(options);
    await worker.begin();
    return worker;
  }

  /** Whether it takes no more jobs; what it has begun goes on. */
  get isLeaving(): boolean {
    return this.leaving;
  }

  /** What it locks jobs with. */
  get id(): string {
    return this.pool?.id ?? '';
  }

  /** Makes an idle worker look for a job. */
  nudge(): void {
    if (!this.leaving) this.pool?.nudge(1);
  }

  /** Begins no more jobs. Resolves when those that it had begun have ended. */
  async leave(): Promise<void> {
    this.stop();
    await this.ended();
  }

  /** Resolves when nothing of it runs any more, whoever ended it. */
  async ended(): Promise<void> {
    await this.over;
  }

  private async begin(): Promise<void> {
    const { connections, concurrency, warn } = this.options;
    const events = new EventEmitter() as WorkerEvents;
    events.once('pool:create', ({ workerPool }) => {
      this.pool = workerPool;
    });
    events.once('pool:gracefulShutdown', () => {
      this.stop();
    });
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
    const runner = await run(options, { [TASK]: (payload) => this.work(payload as JobKey) }, []);
    this.runner = runner;
    if (this.leaving) this.stop();
    this.over = Promise.race([runner.promise.catch(() => undefined), this.idle()]);
  }

  /** Also of one that ends by itself: its timetable, which is empty, would be looked at every minute for ever. */
  private stop(): void {
    this.leaving = true;
    this.runner?.stop().catch(() => undefined);
  }

  private async work(key: JobKey): Promise<void> {
    this.busy++;
    try {
      await this.options.work(key, this.id);
    } finally {
      this.busy--;
    }
  }

  private idle(): Promise<void> {
    return new Promise((resolve) => {
      let idleMs = 0;
      const timer = setInterval(() => {
        idleMs = this.leaving && this.busy === 0 ? idleMs + LOOK_MS : 0;
        if (idleMs < IDLE_MS) return;
        clearInterval(timer);
        resolve();
      }, LOOK_MS).unref();
    });
  }
}

/** Jobs that failed are logged by us, with what they are; the rest of what it says at level info is of no use to anybody. */
function queueLogger(warn: (message: string) => void): QueueLogger {
  return new QueueLogger(() => (level, message, meta) => {
    const isOfJob = meta !== undefined && 'failure' in meta;
    if (/^(error|warning)$/.test(level) && !isOfJob) warn(message.split('\n')[0] ?? '');
  });
}
