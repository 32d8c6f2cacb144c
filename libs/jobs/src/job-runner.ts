import { setTimeout as sleep } from 'node:timers/promises';
import { Config } from '#platform';
import { Database, isConnectionLoss } from '#database';
import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { JobWork } from './job-work.js';
import { Maintenance } from './maintenance.js';
import { QueueWorker } from './queue-worker.js';
import { WorkerRegistry } from './worker-registry.js';

const BEAT_MS = 5_000;
/** What is at work when a stop begins gets so long to end, else it is given back; HTTP drains meanwhile for 5 s. */
const STOP_WITHIN_MS = 4_000;
/** Workers of other processes are told of all that was accepted in this time by one notification. */
const NOTIFY_AFTER_MS = 5;
/** A job waits so many turns, 0.2 s in all, while more than so many requests are being accepted in the same process. */
const WAY_TURNS = 10;
const WAY_TURN_MS = 20;
const WAY_ACCEPTS = 4;
/** LISTEN takes one connection, and requests, or the beat, need some too. */
const CONNECTIONS_LEFT = 3;

/** Runs jobs in this process, and sees to it that those of dead workers are run. */
@Injectable()
export class JobRunner implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  private readonly log = new Logger('jobs');
  /** At most one of them takes jobs; the others finish what they began. */
  private readonly workers = new Set<QueueWorker>();
  private isAway = false;
  private timer: NodeJS.Timeout | undefined;
  private beating: Promise<void> = Promise.resolve();
  private notifying: NodeJS.Timeout | undefined;
  private acceptsUnderWay = 0;
  private state: 'idle' | 'running' | 'stopping' = 'idle';
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly work: JobWork,
    private readonly registry: WorkerRegistry,
    private readonly maintenance: Maintenance,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.jobs.worker === 'inline') await this.start();
  }

  /** Begins the stop, which ends while HTTP drains: both have to fit into the ten seconds of a stop. */
  onModuleDestroy(): void {
    void this.stop();
  }

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  /** Takes jobs from now on. Idempotent. */
  async start(): Promise<void> {
    if (this.state !== 'idle') return;
    this.state = 'running';
    this.beating = this.beat();
    await this.beating;
    this.maintenance.start();
  }

  /** Accepts a job, and makes somebody look for it. */
  async accepting(accept: () => Promise<void>): Promise<void> {
    this.acceptsUnderWay++;
    try {
      await accept();
    } finally {
      this.acceptsUnderWay--;
    }
    this.wake();
  }

  /** Many who wait for an answer go before what can wait on disk: at most for a moment, so that jobs are never starved. */
  private async giveWay(): Promise<void> {
    for (let turn = 0; turn < WAY_TURNS && this.acceptsUnderWay > WAY_ACCEPTS; turn++) await sleep(WAY_TURN_MS);
  }

  /** Makes somebody look for a job. Never fails: whoever polls finds it too. */
  wake(): void {
    const worker = this.taking();
    if (worker !== undefined) worker.nudge();
    else
      this.notifying ??= setTimeout(() => {
        this.notifying = undefined;
        this.registry.notify().catch(() => undefined);
      }, NOTIFY_AFTER_MS);
  }

  private stop(): Promise<void> {
    return (this.stopped ??= this.stopOnce());
  }

  private async stopOnce(): Promise<void> {
    this.state = 'stopping';
    clearTimeout(this.timer);
    clearTimeout(this.notifying);
    const late = new AbortController();
    const left = this.beating.then(() => Promise.all(Array.from(this.workers, (worker) => worker.leave())));
    await Promise.race([
      Promise.all([left, this.maintenance.stop()]),
      sleep(STOP_WITHIN_MS, undefined, late).catch(() => undefined),
    ]);
    late.abort();
    for (const worker of this.workers) await this.registry.leave(worker.id).catch(this.tell);
  }

  private taking(): QueueWorker | undefined {
    return [...this.workers].find((worker) => !worker.isLeaving);
  }

  /** Every five seconds: tells that its workers live, frees what dead ones held, and replaces its own when they end. */
  private async beat(): Promise<void> {
    try {
      // While the database was away graphile-worker put its own attempts off, for up to minutes; a new worker asks at once.
      if (this.isAway) void this.taking()?.leave();
      if (this.taking() === undefined) await this.addWorker();
      await this.registry.beat(Array.from(this.workers, (worker) => worker.id));
      const dead = await this.registry.freeDead();
      if (dead.length > 0) this.log.warn(`took over the jobs of ${String(dead.length)} workers that are gone`);
      this.isAway = false;
    } catch (error) {
      this.tell(error);
    }
    if (this.state !== 'running') return;
    this.timer = setTimeout(() => {
      this.beating = this.beat();
    }, BEAT_MS);
  }

  private async addWorker(): Promise<void> {
    const { jobs, database } = this.config;
    const worker = await QueueWorker.start({
      connections: this.database.connections,
      concurrency: Math.max(1, Math.min(jobs.concurrency, database.poolMax - CONNECTIONS_LEFT)),
      work: async (key, workerId) => {
        await this.giveWay();
        await this.work.run(key, workerId);
      },
      warn: (message) => {
        this.log.warn(message);
      },
    });
    this.workers.add(worker);
    void worker.ended().then(() => this.bury(worker));
  }

  /** A worker that ended by itself may have left jobs locked. One that cannot be buried now is found dead later. */
  private async bury(worker: QueueWorker): Promise<void> {
    if (this.state === 'stopping') return;
    this.workers.delete(worker);
    await this.registry.leave(worker.id).catch(() => undefined);
  }

  /** Once for each time that the database is away. */
  private readonly tell = (error: unknown): void => {
    if (!this.isAway) this.log.warn(`looking after the jobs failed: ${String(error)}`);
    this.isAway = isConnectionLoss(error);
  };
}
