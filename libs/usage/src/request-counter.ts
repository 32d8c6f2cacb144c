import { describeError } from '#platform';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { UsageStore } from './usage.store.js';

const STORE_EVERY_MS = 5_000;

/**
 * Counts the requests of each project, in memory, and stores the counts every five seconds and when the server stops. A crash
 * loses the counts since then, and counts whose acknowledgement was lost with the connection are stored twice. No request waits for it or
 * fails because of it. Memory is bounded by the number of projects.
 */
@Injectable()
export class RequestCounter implements OnApplicationShutdown {
  private readonly log = new Logger('usage');
  private counts = new Map<number, number>();
  private timer: NodeJS.Timeout | undefined;
  private storing: Promise<void> = Promise.resolve();

  constructor(private readonly store: UsageStore) {}

  /** Counts every request with a key of a project, whatever its response. */
  guard(fastify: FastifyInstance): void {
    fastify.addHook('onResponse', ({ principal }, _reply, done) => {
      if (principal?.projectId != null) this.add(principal.projectId, 1);
      done();
    });
  }

  /** Stores the counts. Never fails: counts that could not be stored are stored the next time. */
  flush(): Promise<void> {
    // One after the other, so that the last one is over when this returns.
    this.storing = this.storing.then(() => this.storeCounts());
    return this.storing;
  }

  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.timer);
    await this.flush();
  }

  private add(projectId: number, requests: number): void {
    this.counts.set(projectId, (this.counts.get(projectId) ?? 0) + requests);
    // Not an interval, so that an idle server sends no statements.
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, STORE_EVERY_MS).unref();
  }

  private async storeCounts(): Promise<void> {
    const { counts } = this;
    if (counts.size === 0) return;
    this.counts = new Map();
    try {
      await this.store.addRequests(counts);
    } catch (error) {
      this.log.warn(`the numbers of requests could not be stored: ${describeError(error)}`);
      for (const [projectId, requests] of counts) this.add(projectId, requests);
    }
  }
}
