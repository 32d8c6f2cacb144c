import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import type { CopyIn } from './copy-in.js';
import type { Database } from './database.js';
import type { Transaction } from './transaction.js';
import type { Queryable } from './queryable.js';

const COPY = `COPY things (name, note) FROM STDIN (FORMAT csv)`;
/** More rows than the buffers of a socket and a server hold. */
const MANY = 60_000;

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await cloneDatabase();
  database = db.database;
  await database.query('CREATE TABLE things (name text PRIMARY KEY, note text)');
});
afterAll(() => db.close());
beforeEach(() => database.query('TRUNCATE things'));

const count = async (on: Queryable = database): Promise<number> => {
  const [row] = await on.query<{ count: string }>('SELECT count(*) FROM things');
  return Number(row?.count);
};
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  );

/** Runs a copy that fails, with a pause after each write in which the error of the server can arrive. Returns the error code. */
async function runFailingCopy(
  pauseMs: number,
  rows: string[],
  work: (tx: Transaction) => Promise<unknown>,
): Promise<unknown> {
  return database.transactionOnce(async (tx) => {
    await tx.query('SAVEPOINT before');
    const copy = tx.copyIn(COPY);
    const code = await codeOf(writeAll(copy, pauseMs, rows));
    await tx.query('ROLLBACK TO SAVEPOINT before');
    await work(tx);
    return code;
  });
}

async function writeAll(copy: CopyIn, pauseMs: number, rows: string[]): Promise<void> {
  for (const row of rows) {
    await copy.write(row);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  await copy.end();
}

describe('a copy into the database', () => {
  it('is visible in its own transaction when it has ended, and in others after COMMIT', async () => {
    await database.transactionOnce(async (tx) => {
      const copy = tx.copyIn(COPY);
      await copy.write('a,1\nb,2\n');
      await copy.write('c,"3\n4"\n');
      await copy.end();
      expect([await count(tx), await count()]).toEqual([3, 0]);
    });
    expect(await count()).toBe(3);
  });

  it('can be empty, and another copy can follow', async () => {
    await database.transactionOnce(async (tx) => {
      await tx.copyIn(COPY).end();
      await writeAll(tx.copyIn(COPY), 0, ['a,1\n']);
    });
    expect(await count()).toBe(1);
  });

  it('makes a writer wait for the database, so at most 5 MB are buffered', async () => {
    const row = `${'x'.repeat(10_000)}\n`;
    let written = 0;
    let copying: Promise<void> | undefined;
    await database.transactionOnce(async (holding) => {
      // The copy waits at its first row until this transaction ends.
      await holding.query(`INSERT INTO things VALUES ('0')`);
      copying = database.transactionOnce(async (tx) => {
        const copy = tx.copyIn(COPY);
        for (; written < 2_000; written++) await copy.write(`${String(written)},${row}`);
        await copy.end();
      });
      await sleep(300);
      expect(written * row.length).toBeLessThan(5_000_000);
      await holding.query('DELETE FROM things');
    });
    await copying;
    expect([written, await count()]).toEqual([2_000, 2_000]);
  });
});

describe('a database error caused by a row', () => {
  const validRow = (i: number): string => `n${String(i)},x\n`;

  it.each([
    ['is thrown by end() when no row follows', 0, ['a,1\n', 'a,2\n']],
    ['is thrown by end() when it arrived earlier', 50, ['a,1\n', 'a,2\n']],
    ['is thrown by the next write() after it has arrived', 50, ['a,1\na,2\n', 'b,1\n', 'c,1\n']],
    ['is thrown to a writer that continues', 0, ['a,1\na,2\n', ...Array.from({ length: MANY }, (_, i) => validRow(i))]],
  ])('%s, and the transaction can continue from its savepoint', async (_, pauseMs, rows) => {
    const code = await runFailingCopy(pauseMs, rows, (tx) => writeAll(tx.copyIn(COPY), 0, ['a,3\n']));
    expect(code).toBe('23505');
    expect(await database.query('SELECT * FROM things')).toEqual([{ name: 'a', note: '3' }]);
  });

  it.each([0, 50])('has the SQLSTATE 22P04 when the text is not a row (after %d ms)', async (pauseMs) => {
    expect(await runFailingCopy(pauseMs, ['a,1,2,3\n', 'b,1\n'], () => Promise.resolve())).toBe('22P04');
  });

  it('is thrown when the statement is invalid, before or after rows are written', async () => {
    for (const pauseMs of [0, 50]) {
      const work = database.transactionOnce((tx) =>
        writeAll(tx.copyIn('COPY nothing FROM STDIN'), pauseMs, ['a,1\n', 'b,1\n']),
      );
      expect(await codeOf(work)).toBe('42P01');
    }
  });
});

describe('an aborted copy', () => {
  it.each([0, 50])('stores nothing, and its connection can be used again (after %d ms)', async (pauseMs) => {
    for (let round = 0; round < 25; round++) {
      const work = database.transactionOnce(async (tx) => {
        const copy = tx.copyIn(COPY);
        await copy.write(`a,${'x'.repeat(round * 10_000)}\n`);
        if (round < 3) await sleep(pauseMs);
        copy.abort();
        throw new Error('of the work');
      });
      await expect(work).rejects.toThrow('of the work');
    }
    expect(await count()).toBe(0);
    const [row] = await database.query<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'`,
    );
    expect(row?.count).toBe('1');
  });

  it('stores nothing when no row was written', async () => {
    const work = database.transactionOnce((tx) => {
      tx.copyIn(COPY).abort();
      return Promise.reject(new Error('of the work'));
    });
    await expect(work).rejects.toThrow('of the work');
    expect(await count()).toBe(0);
  });

  it('does not throw when the copy has already failed', async () => {
    const work = database.transactionOnce(async (tx) => {
      const copy = tx.copyIn(COPY);
      await copy.write('a,1\na,2\n');
      await sleep(50);
      copy.abort();
      throw new Error('of the work');
    });
    await expect(work).rejects.toThrow('of the work');
  });
});

describe('a copy that has not ended when its transaction ends', () => {
  it('is aborted when the work fails', async () => {
    const work = database.transactionOnce(async (tx) => {
      await tx.copyIn(COPY).write('a,1\n');
      throw new Error('of the work');
    });
    await expect(work).rejects.toThrow('of the work');
    expect(await count()).toBe(0);
  });

  it('is aborted when the transaction is rolled back without an error', async () => {
    const result = await database.transactionOnce(async (tx) => {
      await tx.copyIn(COPY).write('a,1\n');
      tx.setRollbackOnly();
      return 'the result';
    });
    expect([result, await count()]).toEqual(['the result', 0]);
  });
});

describe('a connection that breaks during a copy', () => {
  it.each([
    ['between two writes', 100],
    ['during a write', 0],
  ])('is retried when it breaks %s', async (_, pauseMs) => {
    let attempts = 0;
    await database.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const copy = tx.copyIn(COPY);
      try {
        await copy.write('a,1\n');
        if (++attempts === 1) await database.query('SELECT pg_terminate_backend($1)', [row?.pid]);
        if (attempts === 1) await sleep(pauseMs);
        for (let i = 0; i < MANY; i++) await copy.write(`n${String(i)},x\n`);
        await copy.end();
      } catch (error) {
        copy.abort();
        throw error;
      }
    });
    expect([attempts, await count()]).toEqual([2, MANY + 1]);
  });
});
