import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { QueryScope } from './query-scope.js';

const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };
/** Two of them are reserved. */
const POOL_MAX = 6;
const SLEEP = 'SELECT pg_sleep(60)';

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());
beforeEach(async () => {
  database = await Database.connect({
    at: db.address,
    poolMax: POOL_MAX,
    entities: [],
    migrations: [],
    logger: SILENT,
  });
});
afterEach(() => database.close());

async function pidsOfSleepers(): Promise<number[]> {
  const rows = await database.reserved.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
  );
  return rows.map(({ pid }) => pid);
}

async function untilSleeping(count: number): Promise<number[]> {
  for (;;) {
    const pids = await pidsOfSleepers();
    if (pids.length === count) return pids;
  }
}

describe('the queries of a scope', () => {
  it('end with the reason in the database too when they are cancelled, and their connections are not used again', async () => {
    const scope = new QueryScope();
    const queries = [1, 2].map(() => database.within(scope).query(SLEEP));
    const other = database.within(new QueryScope()).query('SELECT pg_sleep(0.5), 1 AS one');
    const failures = Promise.allSettled(queries);
    const pids = await untilSleeping(3);
    scope.cancel(new Error('of the test'));
    for (const result of await failures) expect(result).toMatchObject({ reason: new Error('of the test') });
    expect(await other).toMatchObject([{ one: 1 }]);
    await untilSleeping(0);
    const left = await database.query<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1)', [pids]);
    expect(left.length).toBeLessThanOrEqual(1);
  });

  it('fail at once after it was cancelled', async () => {
    const scope = new QueryScope();
    scope.cancel(new Error('of the test'));
    await expect(database.within(scope).query('SELECT 1')).rejects.toThrow('of the test');
  });

  it('are cancelled also where they wait for a connection', async () => {
    const ends: (() => void)[] = [];
    const holding = Array.from({ length: POOL_MAX - 2 }, () =>
      database.transactionOnce(() => new Promise<void>((resolve) => ends.push(resolve))),
    );
    while (ends.length < POOL_MAX - 2) await database.reserved.query('SELECT 1');
    const scope = new QueryScope();
    const waiting = database.within(scope).query(SLEEP);
    scope.cancel(new Error('of the test'));
    for (const end of ends) end();
    await expect(waiting).rejects.toThrow('of the test');
    await Promise.all(holding);
  });

  it('give their connection back when they fail or succeed', async () => {
    for (let round = 0; round < 2 * POOL_MAX; round++) {
      const queries = database.within(new QueryScope());
      await expect(queries.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
      expect(await queries.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    }
  });
});

describe('the reserved connections', () => {
  it('work while all others are in use', async () => {
    const ends: (() => void)[] = [];
    const holding = Array.from({ length: POOL_MAX - 2 }, () =>
      database.transactionOnce(() => new Promise<void>((resolve) => ends.push(resolve))),
    );
    while (ends.length < POOL_MAX - 2) await database.reserved.query('SELECT 1');
    expect(await database.reserved.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    for (const end of ends) end();
    await Promise.all(holding);
  });
});
