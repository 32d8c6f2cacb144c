import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { RUN } from '../../../test/harness/run.js';
import { CountSharing } from './count-sharing.js';
import type { CountStore } from './count-store.js';
import { LimitTimes } from './limit-times.js';
import { PostgresCountStore } from './postgres-count-store.js';
import { RateLimit } from './rate-limit.js';
import { RedisCountStore } from './redis-count-store.js';

const MAX = 100;
/** Bounded: a store is away for at most its timeout of 2 s and its longest wait of 2 s for the next connection. */
const ATTEMPTS = 200;

/** A process with a limit of its own, on a shared store. */
interface Process {
  limit: RateLimit;
  sharing: CountSharing;
  store: CountStore;
  warnings: string[];
}

let db: TestDatabase;
let redis: TestRedis;
let times: LimitTimes;
let processes: Process[];
let id = 0;

beforeAll(async () => {
  db = await cloneDatabase();
  redis = await TestRedis.start();
});
beforeEach(() => {
  times = new LimitTimes();
  processes = [];
  id++;
});
afterEach(async () => {
  for (const { sharing } of processes) await sharing.stop();
});
afterAll(async () => {
  await redis.stop();
  await db.close();
});

function startProcess(store: CountStore): Process {
  const limit = new RateLimit({ name: 'key', max: MAX, times, shareFrom: 1 });
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const sharing = new CountSharing([limit], store, times, { warn });
  const one = { limit, sharing, store, warnings };
  processes.push(one);
  return one;
}

/** Charges an item and shares it until the store is used, or not. */
async function shareUntil(process: Process, isShared: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS && !isShared(); attempt++) {
    process.limit.charge('probe', 1);
    await process.sharing.share();
    await sleep(50);
  }
  expect(isShared()).toBe(true);
}

/** Waits for the connection to Redis, which is opened in the background. */
async function startConnected(store: CountStore): Promise<Process> {
  const one = startProcess(store);
  for (let attempt = 1; ; attempt++) {
    try {
      await store.add('key', 'first', 1, times.windowMs);
      return one;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(50);
    }
  }
}

function isConnected({ warnings }: Process): boolean {
  return warnings.length % 2 === 0;
}

/** Allows connections to the database, or rejects new ones and terminates those that are open. */
async function allowConnections(isAllowed: boolean): Promise<void> {
  const { database } = db.address;
  const admin = new pg.Client({ ...RUN.superuser, ssl: false });
  await admin.connect();
  try {
    await admin.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS ${String(isAllowed)}`);
    if (!isAllowed)
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
  } finally {
    await admin.end();
  }
}

const STORES = [
  {
    name: 'PostgreSQL',
    open: () => new PostgresCountStore(db.database),
    takeAway: () => allowConnections(false),
    bringBack: () => allowConnections(true),
  },
  {
    name: 'Redis',
    open: () => new RedisCountStore(redis.url),
    takeAway: () => redis.stop(),
    bringBack: () => redis.run(),
  },
  {
    name: 'a Redis that responds to nothing',
    open: () => new RedisCountStore(redis.url),
    takeAway: () => {
      redis.pause();
      return Promise.resolve();
    },
    bringBack: () => {
      redis.resume();
      return Promise.resolve();
    },
  },
];

describe.each(STORES)('two processes that share $name', ({ open, takeAway, bringBack }) => {
  let first: Process;
  let second: Process;

  beforeEach(async () => {
    [first, second] = [await startConnected(open()), await startConnected(open())];
  });

  it('count the items of both', async () => {
    first.limit.charge(id, 60);
    await first.sharing.share();
    second.limit.charge(id, 30);
    await second.sharing.share();
    expect(second.limit.stateOf(id).remaining).toBe(10);
    first.limit.charge(id, 10);
    await first.sharing.share();
    expect([first.limit.isExhausted(id), second.limit.isExhausted(id)]).toEqual([true, false]);
    second.limit.charge(id, 1);
    await second.sharing.share();
    expect(second.limit.isExhausted(id)).toBe(true);
  });

  it('end a window that only one of them shares when it began in that process', async () => {
    times.windowMs = 20_000;
    first.limit.charge(id, 1);
    times.windowMs = 60_000;
    await first.sharing.share();
    expect(first.limit.stateOf(id).endsInMs).toBeLessThanOrEqual(20_000);
  });

  it('have the same window', async () => {
    first.limit.charge(id, 1);
    await first.sharing.share();
    times.windowMs = 120_000;
    second.limit.charge(id, 1);
    expect(second.limit.stateOf(id).endsInMs).toBeGreaterThan(110_000);
    await second.sharing.share();
    expect(second.limit.stateOf(id).endsInMs).toBeLessThanOrEqual(60_000);
  });

  it('limit by their own counts while it is unavailable, log that once, and count those items when it is back', async () => {
    await takeAway();
    try {
      await shareUntil(first, () => !isConnected(first));
      first.limit.charge(id, 60);
      await first.sharing.share();
      expect([first.limit.isExhausted(id), first.limit.stateOf(id).remaining]).toEqual([false, 40]);
      first.limit.charge(id, 40);
      await first.sharing.share();
      expect(first.limit.isExhausted(id)).toBe(true);
      expect(second.limit.isExhausted(id)).toBe(false);
      expect(first.warnings).toEqual([expect.stringMatching(/is unavailable: each process limits by its own count/)]);
    } finally {
      await bringBack();
    }
    await shareUntil(first, () => isConnected(first));
    expect(first.warnings).toHaveLength(2);
    expect(first.warnings[1]).toMatch(/is available again/);
    expect(first.limit.isExhausted(id)).toBe(true);
    await shareUntil(second, () => isConnected(second));
    second.limit.charge(id, 1);
    await shareUntil(second, () => second.limit.isExhausted(id));
  });
});

describe('a Redis that has never responded', () => {
  it('fails no start and no stop', async () => {
    const away = await TestRedis.stopped();
    const one = startProcess(new RedisCountStore(away.url));
    one.limit.charge(id, 1);
    await one.sharing.share();
    await one.sharing.stop();
    expect(one.warnings).toEqual([expect.stringMatching(/^Redis is unavailable/)]);
    processes.pop();
  });
});

describe('the counts', () => {
  it('begin again in the shared store when the window ends', async () => {
    times.windowMs = 1_000;
    for (const store of [new PostgresCountStore(db.database), new RedisCountStore(redis.url)]) {
      await startConnected(store);
      const count = async (): Promise<number> => (await store.add('key', id, 1, times.windowMs)).items;
      expect([await count(), await count()]).toEqual([1, 2]);
      let last = 2;
      for (let attempt = 0; attempt < ATTEMPTS && last > 1; attempt++) {
        await sleep(20);
        last = await count();
      }
      expect(last).toBe(1);
    }
  });

  it('of windows that have ended are deleted from PostgreSQL', async () => {
    const store = new PostgresCountStore(db.database);
    startProcess(store);
    await db.sql(`INSERT INTO rate_limit_counts VALUES ('old', 1, $1), ('recent', 1, $2)`, [
      Date.now() - 120_000,
      Date.now(),
    ]);
    await store.deleteExpired();
    const rows = await db.sql<{ key: string }>(`SELECT key FROM rate_limit_counts WHERE key IN ('old', 'recent')`);
    expect(rows).toEqual([{ key: 'recent' }]);
  });

  it('can exceed the range of a 32-bit integer', async () => {
    for (const store of [new PostgresCountStore(db.database), new RedisCountStore(redis.url)]) {
      await startConnected(store);
      for (let n = 1; n <= 3; n++) expect((await store.add('key', id, 1e9, times.windowMs)).items).toBe(n * 1e9);
    }
  });

  it('that are left are shared when the process stops', async () => {
    const store = new PostgresCountStore(db.database);
    const one = startProcess(store);
    one.limit.charge(id, 7);
    await one.sharing.stop();
    expect((await store.add('key', id, 1, times.windowMs)).items).toBe(8);
  });
});
