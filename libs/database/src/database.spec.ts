import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import type { Queryable } from './queryable.js';
import { errorCode } from './error-code.js';
import { isConnectionLoss } from './sqlstates.js';
import type { PoolClient } from 'pg';
import { QueryFailedError } from 'typeorm';
import { StartupError } from '#platform';

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await cloneDatabase();
  database = db.database;
  await database.query('CREATE TABLE counters (name text PRIMARY KEY, value bigint NOT NULL)');
  await database.query(`INSERT INTO counters VALUES ('a', 0), ('b', 0)`);
});
afterAll(() => db.close());

const value = async (name: string): Promise<number> => {
  const [row] = await database.query<{ value: string }>('SELECT value FROM counters WHERE name = $1', [name]);
  return Number(row?.value);
};
const add = (tx: Queryable, name: string): Promise<object[]> =>
  tx.query('UPDATE counters SET value = value + 1 WHERE name = $1', [name]);
const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as { code?: unknown }).code,
  );

/** Returns a barrier: its calls resolve when `parties` calls have been made. */
function barrier(parties: number): () => Promise<void> {
  const waiting: (() => void)[] = [];
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (waiting.length === parties) for (const go of waiting) go();
    });
}

/** Terminates the server's side of a transaction's connection, like a restart or a failover. */
async function breakConnection(tx: Queryable): Promise<void> {
  const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await database.query('SELECT pg_terminate_backend($1)', [row?.pid]);
}

describe('query', () => {
  it('returns times in RFC 3339 with microseconds, and every digit of bigint and jsonb', async () => {
    const [row] = await database.query(`
      SELECT timestamptz '2024-05-01 12:00:00.123456+02' AS at, timestamptz '0001-01-01 00:00:00Z' AS first,
        9223372036854775807::bigint AS large, '{"n": 0.1000}'::jsonb AS data, NULL::jsonb AS nothing`);
    expect(row).toEqual({
      at: '2024-05-01T10:00:00.123456Z',
      first: '0001-01-01T00:00:00Z',
      large: '9223372036854775807',
      data: '{"n": 0.1000}',
      nothing: null,
    });
  });

  it('prepares a frequent statement of a project from the third time on', async () => {
    // It finds itself, on the connection that runs it.
    const text = `SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'pg_prepared'`;
    const counts: unknown[] = [];
    for (const preparedFor of [undefined, undefined, undefined, 1, 2, 3]) {
      counts.push(...(await database.query({ text, preparedFor })));
    }
    expect(counts).toEqual(['0', '0', '0', '0', '0', '1'].map((count) => ({ count })));
  });
});

describe('transaction', () => {
  it('commits and returns the result of its work', async () => {
    const before = await value('a');
    const result = await database.transaction(async (tx) => {
      await add(tx, 'a');
      return 'result';
    });
    expect([result, await value('a')]).toEqual(['result', before + 1]);
  });

  it('rolls back when the work fails, and does not retry it', async () => {
    const before = await value('a');
    let attempts = 0;
    const work = database.transaction(async (tx) => {
      attempts++;
      await add(tx, 'a');
      throw new Error('of the work');
    });
    await expect(work).rejects.toThrow('of the work');
    expect([attempts, await value('a')]).toEqual([1, before]);
  });

  it.each([
    ['23505', `INSERT INTO counters VALUES ('a', 0)`],
    ['22P02', `SELECT 'x'::int`],
    ['42601', 'SELEC'],
  ])('does not retry work that fails permanently (%s)', async (code, sql) => {
    let attempts = 0;
    const work = database.transaction(async (tx) => {
      attempts++;
      await tx.query(sql);
    });
    expect([await codeOf(work), attempts]).toEqual([code, 1]);
  });

  it('throws instead of reporting a commit when the work ignores the error of a statement', async () => {
    const before = await value('a');
    const work = database.transaction(async (tx) => {
      await add(tx, 'a');
      await tx.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(work).rejects.toThrow('rolled back instead of committed');
    expect(await value('a')).toBe(before);
  });

  it('returns the result of work that setRollbackOnly rolls back', async () => {
    const before = await value('a');
    const seen = await database.transaction(async (tx) => {
      await add(tx, 'a');
      tx.setRollbackOnly();
      const [row] = await tx.query<{ value: string }>(`SELECT value FROM counters WHERE name = 'a'`);
      return Number(row?.value);
    });
    expect([seen, await value('a')]).toEqual([before + 1, before]);
  });

  it('is retried after a serialization failure (40001), and both transactions take effect', async () => {
    const before = await value('a');
    const met = barrier(2);
    let attempts = 0;
    const increment = (): Promise<void> =>
      database.transaction(async (tx) => {
        await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
        const isFirst = attempts++ < 2;
        await tx.query('SELECT value FROM counters');
        if (isFirst) await met();
        await add(tx, 'a');
      });
    await Promise.all([increment(), increment()]);
    expect([attempts, await value('a')]).toEqual([3, before + 2]);
  });

  it('is retried after a deadlock (40P01), and both transactions take effect', async () => {
    const before = [await value('a'), await value('b')];
    const met = barrier(2);
    let attempts = 0;
    const both = (first: string, second: string): Promise<void> =>
      database.transaction(async (tx) => {
        const isFirst = attempts++ < 2;
        await add(tx, first);
        if (isFirst) await met();
        await add(tx, second);
      });
    await Promise.all([both('a', 'b'), both('b', 'a')]);
    expect(attempts).toBe(3);
    expect([await value('a'), await value('b')]).toEqual(before.map((one) => one + 2));
  });

  it('fails when every attempt has a serialization failure', async () => {
    let attempts = 0;
    const work = database.transaction(async (tx) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      attempts++;
      await tx.query('SELECT value FROM counters');
      await add(database, 'a');
      await add(tx, 'a');
    });
    expect(await codeOf(work)).toBe('40001');
    expect(attempts).toBe(4);
  });

  it('is retried on another connection when its connection breaks', async () => {
    const before = await value('a');
    let attempts = 0;
    await database.transaction(async (tx) => {
      attempts++;
      await add(tx, 'a');
      if (attempts === 1) await breakConnection(tx);
      await add(tx, 'a');
    });
    expect([attempts, await value('a')]).toEqual([2, before + 2]);
  });

  it('is retried when its connection breaks between two queries', async () => {
    let attempts = 0;
    await database.transaction(async (tx) => {
      if (attempts++ > 0) return;
      await breakConnection(tx);
      // The error of the server arrives while no query is running.
      await new Promise((resolve) => setTimeout(resolve, 50));
    });
    expect(attempts).toBe(2);
  });

  it('leaves no broken connection and no open transaction in the pool', async () => {
    for (let round = 0; round < 5; round++) {
      const broken = database.transaction(async (tx) => {
        await breakConnection(tx);
        throw new Error('of the work');
      });
      await expect(broken).rejects.toThrow();
    }
    const rows = await Promise.all(
      Array.from({ length: 30 }, () =>
        database.query<{ is_clean: boolean }>('SELECT pg_current_xact_id_if_assigned() IS NULL AS is_clean'),
      ),
    );
    expect(rows.flat().every((row) => row.is_clean)).toBe(true);
    const idle = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
    );
    expect(idle).toHaveLength(0);
  });

  it('replaces connections that broke while idle', async () => {
    await Promise.all(Array.from({ length: 10 }, () => database.query('SELECT pg_sleep(0.01)')));
    const [row] = await database.query<{ count: string }>(`
      SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ '^stowage [A-Z]'`);
    expect(Number(row?.count)).toBeGreaterThan(0);
    const queries = Array.from({ length: 20 }, () => database.retrying(() => value('a')));
    await expect(Promise.all(queries)).resolves.toHaveLength(20);
  });
});

describe('an error', () => {
  it("of a connection's socket is a lost connection, even when TypeORM wraps it", async () => {
    const client = (await database.connections.connect()) as PoolClient & { connection: { stream: Socket } };
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
    const query = client.query('SELECT pg_sleep(0.1)').catch((error: unknown) => error);
    client.connection.stream.destroy(reset);
    const error = await query;
    client.release(true);
    expect([error, isConnectionLoss(error)]).toEqual([reset, true]);
    const wrapped = new QueryFailedError('SELECT', [], error as Error);
    expect([errorCode(wrapped), isConnectionLoss(wrapped)]).toEqual(['ECONNRESET', true]);
  });

  it('of an HTTP client or a file is not a lost connection', async () => {
    const file: unknown = await readFile('/no/such/file').catch((error: unknown) => error);
    const aborted = Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    const pipe = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
    expect(errorCode(file)).toBe('ENOENT');
    expect([file, aborted, pipe].map(isConnectionLoss)).toEqual([false, false, false]);
  });
});

describe('connect', () => {
  it('keeps the process alive when its first connection breaks between two queries', async () => {
    const options = { poolMax: 4, entities: [], migrations: [], logger: { log() {}, warn() {}, error() {} } };
    const fresh = await Database.connect({ ...options, at: db.address });
    const client = await fresh.connections.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const ended = new Promise((resolve) => client.once('end', resolve));
    await database.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await ended;
    client.release(true);
    await fresh.close();
  });

  it('reports in one line that the server cannot be reached', async () => {
    const options = { poolMax: 4, entities: [], migrations: [], logger: { log() {}, warn() {}, error() {} } };
    const connecting = Database.connect({ ...options, at: 'postgresql://nobody@127.0.0.1:1/none' });
    await expect(connecting).rejects.toThrow(StartupError);
    await expect(connecting).rejects.toThrow(/^cannot use the database: .*ECONNREFUSED[^\n]*$/);
    const error: unknown = await connecting.catch((reason: unknown) => reason);
    expect(isConnectionLoss((error as StartupError).cause)).toBe(true);
  });
});

describe('openSnapshot', () => {
  const valueIn = async (snapshot: Queryable): Promise<number> => {
    const [row] = await snapshot.query<{ value: string }>(`SELECT value FROM counters WHERE name = 'a'`);
    return Number(row?.value);
  };

  it('reads one state until it is closed, even if other transactions commit', async () => {
    const snapshot = await database.openSnapshot();
    const before = await valueIn(snapshot);
    await add(database, 'a');
    expect([await valueIn(snapshot), await value('a')]).toEqual([before, before + 1]);
    await snapshot.close();
  });

  it('rejects writes', async () => {
    const snapshot = await database.openSnapshot();
    expect(await codeOf(add(snapshot, 'a'))).toBe('25006');
    await snapshot.close();
  });

  it('rejects statements after it was closed, because its connection may have another owner', async () => {
    const snapshot = await database.openSnapshot();
    await snapshot.close();
    await expect(snapshot.query('SELECT 1')).rejects.toThrow('the snapshot is closed');
    expect(() => snapshot.copyOut('SELECT 1', [])).toThrow('the snapshot is closed');
  });

  it.each(['after complete use', 'after a failed statement', 'on a broken connection'])(
    'leaves no transaction open when closed %s',
    async (how) => {
      const snapshot = await database.openSnapshot();
      if (how === 'after a failed statement') expect(await codeOf(snapshot.query('SELECT 1 / 0'))).toBe('22012');
      if (how === 'on a broken connection') await breakConnection(snapshot);
      await snapshot.close();
      await snapshot.close();
      const [row] = await database.query<{ count: string }>(
        `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
      );
      expect(row?.count).toBe('0');
    },
  );
});
