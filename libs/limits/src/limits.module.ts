import { Database } from '#database';
import { Config } from '#platform';
import { Module } from '@nestjs/common';
import { CountCombiner } from './count-combiner.js';
import type { CountStore } from './count-store.js';
import { LimitTimes } from './limit-times.js';
import { RateLimit, type LimitName } from './rate-limit.js';
import { RateLimits } from './rate-limits.js';

/** The part of a limit that may be pending in a process: 600 of 600,000 items, 6 of 60 failures. */
const PENDING: Readonly<Record<LimitName, number>> = { key: 0.001, project: 0.001, address: 0.1 };

@Module({
  providers: [
    LimitTimes,
    { provide: RateLimits, inject: [Config, Database, LimitTimes], useFactory: createRateLimits },
  ],
  exports: [RateLimits],
})
export class LimitsModule {}

async function createRateLimits(config: Config, database: Database, times: LimitTimes): Promise<RateLimits> {
  const { keyItems, projectItems, failures } = config.rateLimits;
  const store = keyItems + projectItems + failures === 0 ? null : await openStore(config, database);
  const create = (name: LimitName, max: number): RateLimit | null => {
    const combineFrom = store === null ? Infinity : Math.max(1, Math.floor(max * PENDING[name]));
    return max === 0 ? null : new RateLimit({ name, max, times, combineFrom });
  };
  const limits = {
    key: create('key', keyItems),
    project: create('project', projectItems),
    address: create('address', failures),
  };
  const inUse = Object.values(limits).filter((limit) => limit !== null);
  return new RateLimits(limits, times, store === null ? null : new CountCombiner(inUse, store, times));
}

/**
 * Null where this is the only process that counts: a server with one process, which runs the jobs too. The libraries are loaded
 * only where they are used.
 */
async function openStore(config: Config, database: Database): Promise<CountStore | null> {
  const { redisUrl } = config.rateLimits;
  if (redisUrl !== null) {
    const { RedisCountStore } = await import('./redis-count-store.js');
    return new RedisCountStore(redisUrl);
  }
  const isAlone = config.database.url === null && config.jobs.worker === 'inline' && config.http.processes === 1;
  if (isAlone) return null;
  const { PostgresCountStore } = await import('./postgres-count-store.js');
  return new PostgresCountStore(database);
}
