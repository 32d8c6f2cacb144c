import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { filterSql, parseFilter } from '#filter';
import {
  indexQuery,
  IndexReadStore,
  IndexSearch,
  SegmentBuilder,
  SegmentStore,
  type PendingReader,
} from '#inverted-index';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { filter, pairs, type Data, type Pair } from '../objects/generated-filters.js';

const seed = Math.floor(Math.random() * 2 ** 31);
const OBJECTS = 600;
const SEGMENTS = 30;
const FILTERS = 1_500;
const FILTERS_AT_ONCE = 40;
const PROJECT = 7;
const COLUMNS = { data: 'o.data', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };

let db: TestDatabase;
let search: IndexSearch;
beforeAll(async () => {
  db = await cloneDatabase();
  search = new IndexSearch(new IndexReadStore(db.database));
  await store(fc.sample(pairs, { numRuns: 2 * OBJECTS, seed }));
});
afterAll(() => db.close());

const textOf = (list: Pair[]): string => JSON.stringify(list.map(([key, value]) => ({ key, value })));
const seqOf = (index: number): bigint => BigInt(index + 1) * 1024n;

/**
 * Stores objects in segments whose ranges overlap, and among them objects that are pending, that were changed after they were indexed,
 * and that were deleted.
 */
async function store(lists: Pair[][]): Promise<void> {
  const segments = new SegmentStore(db.database);
  await db.database.transactionOnce(async (tx) => {
    const insert = `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
      SELECT ${String(PROJECT)}, 'b', i::text, (i + 1) * 1024, now(), d, 1
      FROM jsonb_to_recordset($1::jsonb) AS o (i int, d jsonb)`;
    const rows = Array.from({ length: OBJECTS }, (_, i) => `{"i":${String(i)},"d":${textOf(lists[i] ?? [])}}`);
    await tx.query(insert, [`[${rows.join()}]`]);
    for (let number = 0; number < SEGMENTS; number++) {
      const own = Array.from({ length: OBJECTS }, (_, i) => i).filter((i) => i % 11 !== 0 && segmentOf(i) === number);
      const builder = new SegmentBuilder();
      builder.add(
        own.map(seqOf),
        own.map((i) => textOf((i % 7 === 0 ? lists[i + OBJECTS] : lists[i]) ?? [])),
      );
      await segments.insertNew(tx, PROJECT, builder);
    }
    const pending = `INSERT INTO index_pending (project_id, seq) SELECT $1, seq FROM objects
      WHERE (seq / 1024 - 1) % 11 = 0 OR (seq / 1024 - 1) % 7 = 0`;
    await tx.query(pending, [PROJECT]);
    const outdated = `INSERT INTO index_outdated (project_id, seq, before_segment)
      SELECT $1, seq, 9223372036854775807 FROM objects WHERE (seq / 1024 - 1) % 7 = 0 OR (seq / 1024 - 1) % 13 = 0`;
    await tx.query(outdated, [PROJECT]);
    await tx.query(`DELETE FROM objects WHERE (seq / 1024 - 1) % 13 = 0`);
    await tx.query(`DELETE FROM index_pending WHERE (seq / 1024 - 1) % 13 = 0`);
  });
}

function segmentOf(index: number): number {
  return Math.min(SEGMENTS - 1, Math.floor((index + (index % 5) * 9) / (OBJECTS / SEGMENTS)));
}

/** The sequence numbers of the objects that each filter matches, by one statement for all. */
async function expectedOf(filters: readonly Data[]): Promise<bigint[][]> {
  const values: unknown[] = [];
  const conditions = filters.map(
    (one) => `(${filterSql(parseFilter({ data: JSON.stringify(one) }), COLUMNS, values)})::int`,
  );
  const rows = await db.sql<{ seq: string; found: string }>(
    `SELECT o.seq, concat(${conditions.join(', ')}) AS found FROM objects AS o ORDER BY o.seq`,
    values,
  );
  return filters.map((_, i) => rows.filter(({ found }) => found[i] === '1').map(({ seq }) => BigInt(seq)));
}

describe(`the index of generated objects (seed ${String(seed)})`, () => {
  it('finds and counts the same objects as PostgreSQL, for 1,500 filters', async () => {
    const filters = fc.sample(filter, { numRuns: FILTERS, seed });
    let [useful, exact] = [0, 0];
    for (let at = 0; at < filters.length; at += FILTERS_AT_ONCE) {
      const some = filters.slice(at, at + FILTERS_AT_ONCE);
      const expected = await expectedOf(some);
      for (const [i, one] of some.entries()) {
        const query = indexQuery(parseFilter({ data: JSON.stringify(one) }));
        if (query === null) continue;
        useful++;
        const wanted = expected[i] ?? [];
        const reader: PendingReader = {
          matching: (seqs) => Promise.resolve(seqs.filter((seq) => wanted.includes(seq))),
        };
        const all = await search.find(PROJECT, query, { isAscending: true, beyondSeq: null, wanted: OBJECTS }, reader);
        const count = await search.count(PROJECT, query, null, reader);
        if (all === null || count === null) throw new Error('the index is not usable');
        const found = all.isExact ? all.seqs : all.seqs.filter((seq) => wanted.includes(seq));
        expect({ filter: JSON.stringify(one), seqs: found }).toEqual({ filter: JSON.stringify(one), seqs: wanted });
        expect(all.isAll).toBe(true);
        expect(count.must).toBeLessThanOrEqual(wanted.length);
        expect(count.may).toBeGreaterThanOrEqual(wanted.length);
        if (!all.isExact) continue;
        exact++;
        expect(count).toEqual({ must: wanted.length, may: wanted.length, isAll: true });
        const middle = seqOf(OBJECTS / 2);
        const range = { isAscending: false, beyondSeq: middle, wanted: 5 };
        const older = wanted.filter((seq) => seq < middle).reverse();
        const page = await search.find(PROJECT, query, range, reader);
        expect(page).toEqual({ seqs: older.slice(0, 5), isExact: page?.isExact, isAll: older.length <= 5 });
      }
    }
    // Most filters are decided by the index alone.
    expect(exact / useful).toBeGreaterThan(0.5);
    expect(useful / FILTERS).toBeGreaterThan(0.5);
  });
});
