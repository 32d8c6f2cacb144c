import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Database } from '#database';
import { createClient } from '@redis/client';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { allowConnections } from '../../../test/harness/tables.js';
import { CountCombiner } from './count-combiner.js';
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
  combiner: CountCombiner;
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
  for (const { combiner } of processes) await combiner.stop();
});
afterAll(async () => {
  await redis.stop();
  await db.close();
});

function startProcess(store: CountStore): Process {
  const limit = new RateLimit({ name: 'key', max: MAX, times, combineFrom: 1 });
  const warnings: string[] = [];
  const warn = (message: string): void => void warnings.push(message);
  const combiner = new CountCombiner([limit], store, times, { warn });
  const one = { limit, combiner, store, warnings };
  processes.push(one);
  return one;
}

/** Charges an item and combines it until the store is used, or not. */
async function combineUntil(process: Process, isDone: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS && !isDone(); attempt++) {
    process.limit.charge('probe', 1);
    await process.combiner.combine();
    await sleep(50);
  }
  expect(isDone()).toBe(true);
}

/** Waits for the connection to Redis, which is opened in the background. */
async function startConnected(store: CountStore): Promise<Process> {
  const one = startProcess(store);
  for (let attempt = 1; ; attempt++) {
    try {
      await addOne(store, 'first', 1);
      return one;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(50);
    }
  }
}

/** Returns the combined items of an id. */
async function addOne(store: CountStore, id: string | number, items: number): Promise<number | undefined> {
  const [one] = await store.add([{ limit: 'key', id, items, endsInMs: times.windowMs }]);
  return one?.items;
}

function isConnected({ warnings }: Process): boolean {
  return warnings.length % 2 === 0;
}

const STORES = [
  {
    name: 'PostgreSQL',
    open: () => new PostgresCountStore(db.database),
    takeAway: () => allowConnections(db.address, false),
    bringBack: () => allowConnections(db.address, true),
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
    await first.combiner.combine();
    second.limit.charge(id, 30);
    await second.combiner.combine();
    expect(second.limit.stateOf(id).remaining).toBe(10);
    first.limit.charge(id, 10);
    await first.combiner.combine();
    expect([first.limit.isExhausted(id), second.limit.isExhausted(id)]).toEqual([true, false]);
    second.limit.charge(id, 1);
    await second.combiner.combine();
    expect(second.limit.isExhausted(id)).toBe(true);
  });

  it('end a window that only one of them combines when it began in that process', async () => {
    times.windowMs = 20_000;
    first.limit.charge(id, 1);
    times.windowMs = 60_000;
    await first.combiner.combine();
    expect(first.limit.stateOf(id).endsInMs).toBeLessThanOrEqual(20_000);
  });

  it('have the same window', async () => {
    first.limit.charge(id, 1);
    await first.combiner.combine();
    times.windowMs = 120_000;
    second.limit.charge(id, 1);
    expect(second.limit.stateOf(id).endsInMs).toBeGreaterThan(110_000);
    await second.combiner.combine();
    expect(second.limit.stateOf(id).endsInMs).toBeLessThanOrEqual(60_000);
  });

  it('limit by their own counts while it is unavailable, log that once, and count those items when it is back', async () => {
    await takeAway();
    try {
      await combineUntil(first, () => !isConnected(first));
      first.limit.charge(id, 60);
      await first.combiner.combine();
      expect([first.limit.isExhausted(id), first.limit.stateOf(id).remaining]).toEqual([false, 40]);
      first.limit.charge(id, 40);
      await first.combiner.combine();
      expect(first.limit.isExhausted(id)).toBe(true);
      expect(second.limit.isExhausted(id)).toBe(false);
      expect(first.warnings).toEqual([expect.stringMatching(/is unavailable: each process limits by its own count/)]);
    } finally {
      await bringBack();
    }
    await combineUntil(first, () => isConnected(first));
    expect(first.warnings).toHaveLength(2);
    expect(first.warnings[1]).toMatch(/is available again/);
    expect(first.limit.isExhausted(id)).toBe(true);
    await combineUntil(second, () => isConnected(second));
    second.limit.charge(id, 1);
    await combineUntil(second, () => second.limit.isExhausted(id));
  });
});

describe('a Redis that has never responded', () => {
  it('fails no start and no stop', async () => {
    const away = await TestRedis.stopped();
    const one = startProcess(new RedisCountStore(away.url));
    one.limit.charge(id, 1);
    await one.combiner.combine();
    await one.combiner.stop();
    expect(one.warnings).toEqual([expect.stringMatching(/^Redis is unavailable/)]);
    processes.pop();
  });
});

describe('the counts', () => {
  it('begin again in the shared store when the window ends', async () => {
    const client = createClient({ url: redis.url });
    await client.connect();
    // The windows end in the stores: both counts before it must be in one window, however slow the machine is.
    const inPostgres = async (): Promise<number> => {
      const key = `key:${String(id)}`;
      const [row] = await db.sql<{ expire: string }>('SELECT expire FROM rate_limit_counts WHERE key = $1', [key]);
      await db.sql('UPDATE rate_limit_counts SET expire = 0 WHERE key = $1', [key]);
      return Number(row?.expire) - Date.now();
    };
    const inRedis = async (): Promise<number> => {
      const key = `stowage:limit:key:${String(id)}`;
      const endsInMs = await client.pTTL(key);
      await client.pExpire(key, 0);
      return endsInMs;
    };
    for (const [store, endWindow] of [
      [new PostgresCountStore(db.database), inPostgres],
      [new RedisCountStore(redis.url), inRedis],
    ] as const) {
      await startConnected(store);
      const count = async (): Promise<number> => (await addOne(store, id, 1)) ?? NaN;
      expect([await count(), await count()]).toEqual([1, 2]);
      const endsInMs = await endWindow();
      expect([endsInMs > 0, endsInMs <= times.windowMs]).toEqual([true, true]);
      expect(await count()).toBe(1);
    }
    client.destroy();
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
      for (let n = 1; n <= 3; n++) expect(await addOne(store, id, 1e9)).toBe(n * 1e9);
    }
  });

  it('are combined, also where one of them fails, which is sent again', async () => {
    const one = await startConnected(new RedisCountStore(redis.url));
    const client = createClient({ url: redis.url });
    await client.connect();
    // A command on a value of another type fails.
    const broken = `stowage:limit:key:broken-${String(id)}`;
    await client.lPush(broken, 'text');
    const ids = [`broken-${String(id)}`, ...Array.from({ length: 20 }, (_, n) => `${String(id)}-${String(n)}`)];
    for (let round = 0; round < 2; round++) {
      for (const each of ids) one.limit.charge(each, 5);
      await one.combiner.combine();
    }
    await client.del(broken);
    client.destroy();
    await one.combiner.combine();
    for (const each of ids) expect([each, await addOne(one.store, each, 1)]).toEqual([each, 11]);
    expect(one.warnings).toEqual([]);
  });

  it('of 1,000 ids are one statement of PostgreSQL, also for two processes that send the same ids at once', async () => {
    const statements: string[] = [];
    const { reserved } = db.database;
    const counted: Pick<Database, 'reserved'> = {
      reserved: {
        query: (statement, values) => {
          statements.push(typeof statement === 'string' ? statement : (statement.name ?? statement.text));
          return reserved.query(statement, values);
        },
      },
    };
    const [first, second] = [
      startProcess(new PostgresCountStore(counted)),
      startProcess(new PostgresCountStore(counted)),
    ];
    const ids = Array.from({ length: 1_000 }, (_, n) => `${String(id)}-${String(n)}`);
    for (const each of ids) first.limit.charge(each, 2);
    for (const each of ids.reverse()) second.limit.charge(each, 3);
    await Promise.all([first.combiner.combine(), second.combiner.combine()]);
    expect([...first.warnings, ...second.warnings]).toEqual([]);
    expect(statements).toEqual(['limits.add', 'limits.add']);
    for (const { limit } of [first, second]) limit.charge(ids[0] ?? '', 1);
    await first.combiner.combine();
    await second.combiner.combine();
    expect(second.limit.stateOf(ids[0] ?? '').remaining).toBe(MAX - 2 - 3 - 2);
  });

  it('that are left are combined when the process stops', async () => {
    const store = new PostgresCountStore(db.database);
    const one = startProcess(store);
    one.limit.charge(id, 7);
    await one.combiner.stop();
    expect(await addOne(store, id, 1)).toBe(8);
  });
});
