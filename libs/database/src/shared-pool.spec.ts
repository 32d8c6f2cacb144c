import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { ConnectionsBusyError } from './shared-pool.js';
import { QueryTimeoutError, WorkScope } from './work-scope.js';

const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };
/** Two of them are reserved; of the other four, two are for projects, one for each. */
const POOL_MAX = 6;
const LONG_MS = 60_000;

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

const scopeOf = (projectId: number, waitMs = LONG_MS): WorkScope => new WorkScope(projectId, { waitMs });

/** A transaction of a project that holds its connection until `end` is called. */
class Holder {
  isOpen = false;
  end: () => void = () => undefined;
  readonly ended: Promise<void>;

  constructor(scope: WorkScope, work: () => Promise<unknown> = () => Promise.resolve()) {
    this.ended = scope.run(() =>
      database.transactionOnce(async () => {
        await work();
        this.isOpen = true;
        await new Promise<void>((resolve) => (this.end = resolve));
      }),
    );
  }

  async opened(): Promise<this> {
    while (!this.isOpen) await database.reserved.query('SELECT 1');
    return this;
  }
}

describe('the connections of a pool that projects share', () => {
  it('leave one project half of them, and the other half to another project', async () => {
    const first = await new Holder(scopeOf(1)).opened();
    const second = new Holder(scopeOf(1));
    const other = await new Holder(scopeOf(2)).opened();
    expect(second.isOpen).toBe(false);
    first.end();
    await second.opened();
    for (const holder of [second, other]) holder.end();
    await Promise.all([first.ended, second.ended, other.ended]);
  });

  it('go to the projects that wait by turns', async () => {
    const holders = [await new Holder(scopeOf(1)).opened(), await new Holder(scopeOf(2)).opened()];
    const order: number[] = [];
    const waiting = [1, 1, 3, 3, 4].map((projectId) =>
      scopeOf(projectId).run(() => database.query('SELECT 1').then(() => order.push(projectId))),
    );
    holders[0]?.end();
    await Promise.all(waiting);
    expect(order.slice(0, 3).sort()).toEqual([1, 3, 4]);
    holders[1]?.end();
    await Promise.all(holders.map(({ ended }) => ended));
  });

  it('are refused to work whose project holds its share for too long', async () => {
    const holder = await new Holder(scopeOf(1)).opened();
    await expect(scopeOf(1, 1).run(() => database.query('SELECT 1'))).rejects.toThrow(ConnectionsBusyError);
    holder.end();
    await holder.ended;
    expect(await scopeOf(1, 1).run(() => database.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
  });

  it('are given at once to work that holds one already, which could wait for itself otherwise', async () => {
    const rows = await scopeOf(1).run(() => database.transactionOnce(() => database.query('SELECT 1 AS one')));
    expect(rows).toEqual([{ one: 1 }]);
  });

  it('are given back by work that fails, and when a connection breaks', async () => {
    for (let round = 0; round < 3; round++) {
      const failing = scopeOf(1).run(() => database.query('SELECT 1 / 0'));
      await expect(failing).rejects.toThrow('division by zero');
      const broken = scopeOf(1).run(() => database.query('SELECT pg_terminate_backend(pg_backend_pid())'));
      await expect(broken).rejects.toThrow();
    }
    expect(await scopeOf(1).run(() => database.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
  });

  it('are not counted for work without a project, or after the end of a request', async () => {
    const holder = await new Holder(scopeOf(1)).opened();
    expect(await database.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const over = scopeOf(1);
    over.end();
    expect(await over.run(() => database.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
    expect(await scopeOf(1).run(() => WorkScope.outside(() => database.query('SELECT 1 AS one')))).toEqual([
      { one: 1 },
    ]);
    holder.end();
    await holder.ended;
  });
});

const pidOf = async (): Promise<number | undefined> =>
  (await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]?.pid;

async function untilNoneSleeps(): Promise<void> {
  const sleeping = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
  while ((await database.reserved.query(sleeping)).length > 0);
}

describe('the statements of cancelled work', () => {
  it('end with the reason, in the database too, and their connection is not used again', async () => {
    const scope = scopeOf(1);
    let pid: number | undefined;
    const work = scope.run(() =>
      database.transactionOnce(async (tx) => {
        [{ pid }] = (await tx.query('SELECT pg_backend_pid() AS pid')) as [{ pid: number }];
        const sleeping = tx.query(`SELECT pg_sleep(${String(LONG_MS)})`);
        scope.cancel(new Error('of the test'));
        await sleeping;
      }),
    );
    await expect(work).rejects.toThrow('of the test');
    await untilNoneSleeps();
    for (let i = 0; i < 5; i++) expect(await scopeOf(1).run(pidOf)).not.toBe(pid);
  });

  it('end when they take longer than the deadline', async () => {
    const scope = new WorkScope(1, { timeoutMs: 50 });
    const work = scope.run(() => database.query(`SELECT pg_sleep(${String(LONG_MS)})`));
    await expect(work).rejects.toThrow(new QueryTimeoutError(50));
    await expect(scope.run(() => database.query('SELECT 1'))).rejects.toThrow(QueryTimeoutError);
    await untilNoneSleeps();
  });

  it('are not cancelled by a deadline that has ended', async () => {
    const scope = new WorkScope(1, { timeoutMs: 50 });
    await scope.run(() => database.query('SELECT 1'));
    scope.endDeadline();
    await scope.run(() => database.query('SELECT pg_sleep(0.1)'));
  });

  it('leave the queue while they wait for a connection', async () => {
    const holder = await new Holder(scopeOf(1)).opened();
    const scope = scopeOf(1);
    const waiting = scope.run(() => database.query('SELECT 1'));
    scope.cancel(new Error('of the test'));
    await expect(waiting).rejects.toThrow('of the test');
    holder.end();
    await holder.ended;
    expect(await scopeOf(1, 1).run(() => database.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
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
