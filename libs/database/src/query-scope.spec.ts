import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { QueryScope } from './query-scope.js';

const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };
/** Two of them are reserved. */
const POOL_MAX = 6;
const SLEEP = 'SELECT pg_sleep(60)';
const LOCK = 'SELECT pg_advisory_xact_lock(1), 1 AS one';

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

/** Waits until so many statements wait for this event. @returns the ids of their backends */
async function untilWaiting(event: 'PgSleep' | 'advisory', count: number): Promise<number[]> {
  for (;;) {
    const rows = await database.reserved.query<{ pid: number }>(
      'SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1',
      [event],
    );
    if (rows.length === count) return rows.map(({ pid }) => pid);
  }
}

describe('the queries of a scope', () => {
  it('end with the reason in the database too when they are cancelled, and their connections are not used again', async () => {
    const scope = new QueryScope();
    let other: Promise<object[]> = Promise.resolve([]);
    await db.transaction(async (tx) => {
      await tx.query(LOCK);
      const failures = Promise.allSettled([1, 2].map(() => database.within(scope).query(SLEEP)));
      other = database.within(new QueryScope()).query(LOCK);
      const pids = await untilWaiting('PgSleep', 2);
      await untilWaiting('advisory', 1);
      scope.cancel(new Error('of the test'));
      for (const result of await failures) expect(result).toMatchObject({ reason: new Error('of the test') });
      await untilWaiting('PgSleep', 0);
      await untilWaiting('advisory', 1);
      const used = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      expect(pids).not.toContain(used[0]?.pid);
    });
    expect(await other).toMatchObject([{ one: 1 }]);
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

describe('the queries of a child scope', () => {
  it('are cancelled alone, and the queries of its parent go on', async () => {
    const scope = new QueryScope();
    const child = scope.child();
    const counting = database.within(child).query(SLEEP);
    child.cancel(new Error('of the child'));
    await expect(counting).rejects.toThrow('of the child');
    expect(await database.within(scope).query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('are cancelled with its parent, also where the parent was cancelled before', async () => {
    const scope = new QueryScope();
    const counting = database.within(scope.child()).query(SLEEP);
    scope.cancel(new Error('of the parent'));
    await expect(counting).rejects.toThrow('of the parent');
    await expect(database.within(scope.child()).query('SELECT 1')).rejects.toThrow('of the parent');
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
