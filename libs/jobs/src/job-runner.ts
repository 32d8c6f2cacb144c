import { setTimeout as sleep } from 'node:timers/promises';
import { Config, describeError } from '#platform';
import { Database, DiskReserve, isConnectionLoss } from '#database';
import { EncryptedKeys } from '#encryption';
import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { JobExecutor } from './job-executor.js';
import { JobNotifier } from './job-notifier.js';
import { JobQueueStore } from './job-queue.store.js';
import { Maintenance } from './maintenance.js';
import { QueueWorker } from './queue-worker.js';
import { WorkerRegistry } from './worker-registry.js';

const BEAT_MS = 5_000;
/** Time for running jobs to end when a stop begins; then they are released. HTTP drains meanwhile, for up to 5 s. */
const STOP_WITHIN_MS = 4_000;
/** While more requests than this are being accepted in this process, a job waits for up to 10 turns, 0.2 s in all. */
const ACCEPTING_MAX = 4;
const YIELD_TURNS = 10;
const YIELD_TURN_MS = 20;
/** Such a search, and the pick that follows, read the whole queue of the projects that they leave out. */
const SEARCH_ALL_EVERY_MS = 250;
/** LISTEN takes one connection; requests and the heartbeat need some. */
const OTHER_CONNECTIONS = 3;

/** Runs jobs in this process and frees the jobs of dead workers. */
@Injectable()
export class JobRunner implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  private readonly log = new Logger('jobs');
  /** At most one of them takes jobs; the others finish the jobs they have. */
  private readonly workers = new Set<QueueWorker>();
  /** The number of running jobs of each project. */
  private readonly running = new Map<number, number>();
  private searchedAllAtMs = -Infinity;
  private isDatabaseUnavailable = false;
  private timer: NodeJS.Timeout | undefined;
  private beating: Promise<void> = Promise.resolve();
  private state: 'idle' | 'running' | 'stopping' = 'idle';
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly executor: JobExecutor,
    private readonly queue: JobQueueStore,
    private readonly notifier: JobNotifier,
    private readonly registry: WorkerRegistry,
    private readonly maintenance: Maintenance,
    private readonly database: Database,
    private readonly disk: DiskReserve,
    private readonly encryption: EncryptedKeys,
    private readonly config: Config,
  ) {
    disk.onChange(() => {
      if (disk.isLow) void this.activeWorker()?.stop();
    });
    notifier.useLocalWorker(() => this.wakeWorker());
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.jobs.worker === 'inline') await this.start();
  }

  /** Begins the stop while HTTP drains: both have to fit into the ten seconds of a shutdown. */
  onModuleDestroy(): void {
    void this.stop();
  }

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  get runningJobs(): number {
    let jobs = 0;
    for (const ofProject of this.running.values()) jobs += ofProject;
    return jobs;
  }

  /** Jobs that this process runs at a time; 0 where it runs none. */
  get concurrency(): number {
    const { jobs, database } = this.config;
    if (this.state !== 'running') return 0;
    return Math.max(1, Math.min(jobs.concurrency, database.sharedMax - OTHER_CONNECTIONS));
  }

  /** Starts to take jobs. Idempotent. */
  async start(): Promise<void> {
    if (this.state !== 'idle') return;
    this.state = 'running';
    this.beating = this.beat();
    await this.beating;
    this.maintenance.start();
  }

  /** @returns false where no worker of this process takes jobs */
  private wakeWorker(): boolean {
    const worker = this.activeWorker();
    worker?.wakeOne();
    return worker !== undefined;
  }

  /** Gives requests that wait for a response priority over jobs, for a bounded time, so that jobs are never starved. */
  private async yieldToRequests(): Promise<void> {
    for (let turn = 0; turn < YIELD_TURNS && this.notifier.accepting > ACCEPTING_MAX; turn++) {
      await sleep(YIELD_TURN_MS);
    }
  }

  private stop(): Promise<void> {
    return (this.stopped ??= this.stopOnce());
  }

  private async stopOnce(): Promise<void> {
    this.state = 'stopping';
    clearTimeout(this.timer);
    const timeout = new AbortController();
    const ended = this.beating.then(() => Promise.all(Array.from(this.workers, (worker) => worker.stop())));
    await Promise.race([
      Promise.all([ended, this.maintenance.stop()]),
      sleep(STOP_WITHIN_MS, undefined, timeout).catch(() => undefined),
    ]);
    timeout.abort();
    for (const worker of this.workers) await this.registry.freeStopped(worker.id).catch(this.logFailure);
  }

  private activeWorker(): QueueWorker | undefined {
    return [...this.workers].find((worker) => !worker.isStopping);
  }

  /** Every five seconds: records that the workers live, frees the jobs of dead workers, and replaces workers that ended. */
  private async beat(): Promise<void> {
    try {
      // During an outage of the database graphile-worker delays its polls by up to minutes; a new worker polls at once. While the
      // disk is nearly full, no worker takes jobs.
      if (this.isDatabaseUnavailable || this.disk.isLow) void this.activeWorker()?.stop();
      if (this.activeWorker() === undefined && !this.disk.isLow) await this.addWorker();
      await this.registry.beat(Array.from(this.workers, (worker) => worker.id));
      const dead = await this.registry.freeDead();
      if (dead.length > 0) this.log.warn(`freed the jobs of ${String(dead.length)} dead workers`);
      this.isDatabaseUnavailable = false;
    } catch (error) {
      this.logFailure(error);
    }
    if (this.state !== 'running') return;
    this.timer = setTimeout(() => {
      this.beating = this.beat();
    }, BEAT_MS);
  }

  /** Searches the front of the queue, and now and then all of it. */
  private async hasWaiting(full: readonly number[]): Promise<boolean> {
    const projectIds = [...full, ...this.encryption.unreadableProjects];
    if (await this.queue.hasWaiting(projectIds)) return true;
    if (performance.now() - this.searchedAllAtMs < SEARCH_ALL_EVERY_MS) return false;
    this.searchedAllAtMs = performance.now();
    return this.queue.hasQueued(projectIds);
  }

  private async addWorker(): Promise<void> {
    const { concurrency } = this;
    const worker = await QueueWorker.start({
      connections: this.database.connections,
      concurrency,
      perProject: Math.max(1, Math.floor(concurrency / 2)),
      running: this.running,
      hasWaiting: (projectIds) => this.hasWaiting(projectIds),
      excluded: () => this.encryption.unreadableProjects,
      work: async (key, workerId) => {
        await this.yieldToRequests();
        await this.executor.run(key, workerId);
      },
      warn: (message) => {
        this.log.warn(message);
      },
    });
    this.workers.add(worker);
    void worker.ended().then(() => this.remove(worker));
  }

  /** A worker that ended by itself may have left jobs locked. Where this fails, the heartbeat of another worker frees them. */
  private async remove(worker: QueueWorker): Promise<void> {
    if (this.state === 'stopping') return;
    this.workers.delete(worker);
    await this.registry.freeEnded(worker.id).catch(() => undefined);
  }

  /** Logs once per outage of the database. */
  private readonly logFailure = (error: unknown): void => {
    if (!this.isDatabaseUnavailable) this.log.warn(`the heartbeat of the job workers failed: ${describeError(error)}`);
    this.isDatabaseUnavailable = isConnectionLoss(error);
  };
}
