import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import type { Transaction } from './transaction.js';
import { pageSql, readSlice, type ListSql, type PagePosition } from './page-sql.js';

const ROWS = 5_000;
const LIST: ListSql = {
  select: 'r.seq',
  from: 'listed AS r',
  where: 'r.owner = $1',
  seq: 'r.seq',
  values: [1],
};
const PREPARED: ListSql = { ...LIST, name: 'listed' };

const POSITIONS: PagePosition[] = [
  { kind: 'offset', offset: 0 },
  { kind: 'offset', offset: 7 },
  ...(['after', 'before'] as const).flatMap((kind) =>
    [true, false].flatMap((oldestFirst) => ['0', '1', '2500', '5000'].map((seq) => ({ kind, seq, oldestFirst }))),
  ),
];

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
  await db.sql('CREATE TABLE listed (owner integer, seq bigint, PRIMARY KEY (owner, seq))');
  await db.sql('INSERT INTO listed SELECT o, s FROM generate_series(1, 2) AS o, generate_series(1, $1::int) AS s', [
    ROWS,
  ]);
  await db.sql('ANALYZE listed');
});
afterAll(() => db.close());

const onOneConnection = (work: (tx: Transaction) => Promise<void>): Promise<void> => db.database.transaction(work);

describe('a list with prepared statements', () => {
  it.each([1, 99, 100, 101, 1_000])('has the same pages of %d rows as one without', (size) =>
    onOneConnection(async (tx) => {
      for (const position of POSITIONS) {
        const range = { position, size };
        expect([position, await readSlice(tx, PREPARED, range)]).toEqual([position, await readSlice(tx, LIST, range)]);
      }
    }),
  );

  it('keeps the plans of its small pages, of which there are four at most', () =>
    onOneConnection(async (tx) => {
      for (const size of [1, 2, 10, 50, 100, 200]) {
        for (const position of POSITIONS) await readSlice(tx, PREPARED, { position, size });
      }
      const rows = await tx.query<{ name: string; is_planned_again: boolean }>(
        `SELECT name, custom_plans > 5 AS is_planned_again FROM pg_prepared_statements WHERE starts_with(name, 'listed.')`,
      );
      expect(rows.map(({ name }) => name).sort()).toEqual([
        'listed.beyond.ASC',
        'listed.beyond.DESC',
        'listed.end.ASC',
        'listed.end.DESC',
      ]);
      expect(rows.filter((row) => row.is_planned_again)).toEqual([]);
    }));

  it('names no statement of a large page or of a page by number', () => {
    expect(pageSql(PREPARED, { position: { kind: 'offset', offset: 7 }, size: 10 }).name).toBeUndefined();
    expect(pageSql(PREPARED, { position: { kind: 'offset', offset: 0 }, size: 101 }).name).toBeUndefined();
  });
});
