import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { filterSql, isEverything, parseFilter, type Filter } from '#filter';
import {
  compareSorted,
  compareSortValues,
  indexQuery,
  IndexReadStore,
  IndexSearch,
  isAtPlace,
  SegmentBuilder,
  SegmentStore,
  SortedSearch,
  type SortedObject,
} from '#inverted-index';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { filter, pairs, type Data, type Pair } from '../objects/generated-filters.js';

const seed = Math.floor(Math.random() * 2 ** 31);
/** The same objects and filters in each run, for shares. */
const FIXED_SEED = 1;
const OBJECTS = 600;
const SEGMENTS = 30;
const FILTERS = 320;
const FILTERS_AT_ONCE = 40;
const SORTED_FILTERS = 42;
const SORT_KEYS = ['a', 'b', 'owner.city', 'a.b', 'owner', 'owner.tags', 'never'];
/** A project with pending, changed and deleted objects, and two with segments only. */
const [CHANGED, UNCHANGED, FIXED] = [7, 8, 9];
const COLUMNS = { data: 'o.data', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };

let db: TestDatabase;
let search: IndexSearch;
let sorted: SortedSearch;
beforeAll(async () => {
  db = await cloneDatabase();
  search = new IndexSearch(new IndexReadStore(db.database));
  sorted = new SortedSearch(db.database, new IndexReadStore(db.database));
  const lists = fc.sample(pairs, { numRuns: 2 * OBJECTS, seed });
  await store(UNCHANGED, lists, lists);
  await store(CHANGED, lists.slice(0, OBJECTS), lists.slice(OBJECTS));
  await change();
  const fixed = fc.sample(pairs, { numRuns: OBJECTS, seed: FIXED_SEED });
  await store(FIXED, fixed, fixed);
});
afterAll(() => db.close());

const textOf = (list: Pair[]): string => JSON.stringify(list.map(([key, value]) => ({ key, value })));
const seqOf = (index: number): bigint => BigInt(index + 1) * 1024n;

/** Stores objects in segments whose ranges overlap; every seventh is indexed with other data. */
async function store(projectId: number, lists: Pair[][], indexed: Pair[][]): Promise<void> {
  const segments = new SegmentStore(db.database);
  await db.database.transactionOnce(async (tx) => {
    const insert = `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
      SELECT ${String(projectId)}, 'b', i::text, (i + 1) * 1024, now(), d, 1
      FROM jsonb_to_recordset($1::jsonb) AS o (i int, d jsonb)`;
    const rows = Array.from({ length: OBJECTS }, (_, i) => `{"i":${String(i)},"d":${textOf(lists[i] ?? [])}}`);
    await tx.query(insert, [`[${rows.join()}]`]);
    for (let number = 0; number < SEGMENTS; number++) {
      const own = Array.from({ length: OBJECTS }, (_, i) => i).filter(
        (i) => segmentOf(i) === number && (projectId !== CHANGED || i % 11 !== 0),
      );
      const builder = new SegmentBuilder();
      builder.add(
        own.map(seqOf),
        own.map((i) => textOf((i % 7 === 0 ? indexed[i] : lists[i]) ?? [])),
      );
      await segments.insertNew(tx, projectId, builder);
    }
  });
}

/** Makes the objects pending that are in no segment, and those that were indexed with other data; deletes some. */
async function change(): Promise<void> {
  const every = (n: number): string => `project_id = ${String(CHANGED)} AND (seq / 1024 - 1) % ${String(n)} = 0`;
  const from = (n: number): string => `SELECT project_id, seq FROM objects WHERE ${every(n)}`;
  await db.sql(`INSERT INTO index_pending (project_id, seq) ${from(11)} UNION ${from(7)}`);
  await db.sql(`
    INSERT INTO index_outdated (project_id, seq, before_segment)
    SELECT project_id, seq, 9223372036854775807 FROM (${from(7)} UNION ${from(13)}) AS o`);
  await db.sql(`DELETE FROM objects WHERE ${every(13)}`);
  await db.sql(`DELETE FROM index_pending WHERE ${every(13)}`);
}

function segmentOf(index: number): number {
  return Math.min(SEGMENTS - 1, Math.floor((index + (index % 5) * 9) / (OBJECTS / SEGMENTS)));
}

/** The filter as a query of the index, if it is one. */
function queryOf(one: Data): ReturnType<typeof indexQuery> {
  return indexQuery(parseFilter({ data: JSON.stringify(one) }), COLUMNS);
}

/** Whether the filter, or one that it combines, is `{}`, which every object matches. */
function hasEverything(filter: Filter): boolean {
  if (filter.kind === 'not') return hasEverything(filter.of);
  if (filter.kind !== 'and' && filter.kind !== 'or') return false;
  return isEverything(filter) || filter.of.some(hasEverything);
}

/** The sequence numbers of the objects that each filter matches, by one statement for all. */
async function expectedOf(projectId: number, filters: readonly Data[]): Promise<bigint[][]> {
  const values: unknown[] = [projectId];
  const conditions = filters.map(
    (one) => `(${filterSql(parseFilter({ data: JSON.stringify(one) }), COLUMNS, values)})::int`,
  );
  const rows = await db.sql<{ seq: string; found: string }>(
    `SELECT o.seq, concat(${conditions.join(', ')}) AS found FROM objects AS o WHERE o.project_id = $1 ORDER BY o.seq`,
    values,
  );
  return filters.map((_, i) => rows.filter(({ found }) => found[i] === '1').map(({ seq }) => BigInt(seq)));
}

describe(`the index of generated objects (seed ${String(seed)})`, () => {
  it.each([
    ['of segments', UNCHANGED],
    ['of segments, pending and outdated entries', CHANGED],
  ])('finds and counts the same objects as PostgreSQL, for 320 filters: %s', async (_, projectId) => {
    const filters = fc.sample(filter, { numRuns: FILTERS, seed });
    for (let at = 0; at < filters.length; at += FILTERS_AT_ONCE) {
      const some = filters.slice(at, at + FILTERS_AT_ONCE);
      const expected = await expectedOf(projectId, some);
      for (const [i, one] of some.entries()) {
        const query = queryOf(one);
        if (query === null) {
          // The index answers all others.
          expect(hasEverything(parseFilter({ data: JSON.stringify(one) }))).toBe(true);
          continue;
        }
        const wanted = expected[i] ?? [];
        const all = await search.find(projectId, query, { isAscending: true, beyondSeq: null, wanted: OBJECTS });
        const count = await search.count(projectId, query, null);
        if (all === null || count === null) throw new Error('the index is not usable');
        const found = all.isExact ? all.seqs : all.seqs.filter((seq) => wanted.includes(seq));
        expect({ filter: JSON.stringify(one), seqs: found }).toEqual({ filter: JSON.stringify(one), seqs: wanted });
        expect(all.isAll).toBe(true);
        expect(count.must).toBeLessThanOrEqual(wanted.length);
        expect(count.may).toBeGreaterThanOrEqual(wanted.length);
        if (!all.isExact) continue;
        expect(count).toEqual({ must: wanted.length, may: wanted.length, isAll: true });
        const middle = seqOf(OBJECTS / 2);
        const range = { isAscending: false, beyondSeq: middle, wanted: 5 };
        const older = wanted.filter((seq) => seq < middle).reverse();
        const page = await search.find(projectId, query, range);
        expect(page).toMatchObject({
          seqs: older.slice(0, 5),
          isExact: page?.isExact,
          // Where as many are found as are wanted, the search need not find out whether these are all.
          isAll: older.length === 5 ? page?.isAll : older.length < 5,
          count: page?.count,
        });
      }
    }
  });

  it('answers most filters of a fixed list, and decides many of them without the objects', async () => {
    const filters = fc.sample(filter, { numRuns: FILTERS, seed: FIXED_SEED });
    const queries = filters.map(queryOf).filter((query) => query !== null);
    let exact = 0;
    for (const query of queries) {
      const found = await search.find(FIXED, query, { isAscending: true, beyondSeq: null, wanted: OBJECTS });
      if (found?.isExact === true) exact++;
    }
    expect(queries.length / FILTERS).toBeGreaterThan(0.5);
    // Not those of texts where an object has one that the index does not hold.
    expect(exact / queries.length).toBeGreaterThan(0.2);
  });

  it.each([
    ['of segments', UNCHANGED],
    ['of segments, pending and outdated entries', CHANGED],
  ])('finds objects in the order of their values, as PostgreSQL sorts them: %s', async (_, projectId) => {
    const filters = [null, ...fc.sample(filter, { numRuns: SORTED_FILTERS, seed })];
    const expected = await expectedOf(
      projectId,
      filters.map((one) => one ?? {}),
    );
    const seqs = (await db.sql<{ seq: string }>(`SELECT seq FROM objects WHERE project_id = $1`, [projectId])).map(
      ({ seq }) => BigInt(seq),
    );
    for (const [i, one] of filters.entries()) {
      const query = one === null ? null : queryOf(one);
      if (one !== null && query === null) continue;
      const place = i % 2 === 0 ? 'lowest' : 'highest';
      const key = { key: SORT_KEYS[i % SORT_KEYS.length] ?? '', place } as const;
      const isAscending = i % 3 === 0;
      const places = await sorted.valuesOf(projectId, seqs, key);
      const wanted = places
        .filter(({ seq }) => expected[i]?.includes(seq))
        .sort((a, b) => compareSorted(a, b, isAscending));

      const found: SortedObject[] = [];
      let beyond: SortedObject | null = null;
      for (let isAll = false; !isAll;) {
        const range: Parameters<SortedSearch['find']>[2] = { key, isAscending, beyond, wanted: 40, few: 0 };
        const matches = await sorted.find(projectId, query, range);
        if (matches === null || 'few' in matches) {
          expect(expected[i]).toEqual([]);
          break;
        }
        // Objects with several values are found at each of them, but from the start of the list at their place only.
        const ofFilter = matches.objects.filter(({ seq }) => matches.isExact || expected[i]?.includes(seq));
        const atPlace = ofFilter.filter((object) =>
          places.some(({ seq, value }) => seq === object.seq && compareSortValues(value, object.value) === 0),
        );
        if (isAtPlace(range)) expect(atPlace).toEqual(ofFilter);
        found.push(...atPlace);
        isAll = matches.isAll;
        beyond = matches.objects.at(-1) ?? beyond;
      }
      expect({ one, key, isAscending, seqs: found.map(({ seq }) => seq) }).toEqual({
        one,
        key,
        isAscending,
        seqs: wanted.map(({ seq }) => seq),
      });
    }
  });
});
