import { Database } from '#database';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';

/** The same notification as graphile-worker's `add_job`, which makes idle workers fetch jobs. */
export const NOTIFY_WORKERS = `SELECT pg_notify('jobs:insert', '{"count":10}')`;

/** One notification is sent for all jobs that are accepted within this time. */
const NOTIFY_DELAY_MS = 5;

/**
 * Wakes a worker after a job is accepted. The side that accepts jobs and the side that runs them both depend on this class,
 * so neither depends on the other.
 */
@Injectable()
export class JobNotifier implements OnModuleDestroy {
  private acceptsInProgress = 0;
  private wakeLocalWorker: () => boolean = () => false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly database: Database) {}

  onModuleDestroy(): void {
    clearTimeout(this.timer);
  }

  /** Number of requests that are being accepted as jobs in this process. */
  get accepting(): number {
    return this.acceptsInProgress;
  }

  /** @param wake wakes a worker of this process; returns false where none takes jobs */
  useLocalWorker(wake: () => boolean): void {
    this.wakeLocalWorker = wake;
  }

  beginAccept(): void {
    this.acceptsInProgress++;
  }

  endAccept(): void {
    this.acceptsInProgress--;
  }

  /** Wakes a worker of this process, else notifies other processes. Never fails: workers also poll. */
  wake(): void {
    if (this.wakeLocalWorker()) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.database.query(NOTIFY_WORKERS).catch(() => undefined);
    }, NOTIFY_DELAY_MS);
  }
}
