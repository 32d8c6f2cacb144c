import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { filterSql, parseFilter } from '#filter';
import {
  indexQuery,
  IndexReadStore,
  IndexSearch,
  SegmentBuilder,
  SegmentStore,
  type IndexQuery,
} from '#inverted-index';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';

/** Objects of a segment whose numbers are all different: 16 blocks of 128. */
const OBJECTS = 2_048;
const COLUMNS = { data: 'o.data', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };

/** Each is a project with one segment. */
const SINGLE = numbered((n) => [{ key: 'price', value: n }]);
const PROJECTS: [name: string, objects: object[][]][] = [
  ['single values', SINGLE],
  ['a repeated key', [...SINGLE, [5, 900].map((value) => ({ key: 'price', value }))]],
  ['a repeated key with the same value', [...SINGLE, [5, 5].map((value) => ({ key: 'price', value }))]],
  ['a list', [...SINGLE, [{ key: 'price', value: [5, 900] }]]],
  ['a list with one element', [...SINGLE, [{ key: 'price', value: [150] }]]],
  ['other types', [...SINGLE, ...[null, true, '150', { a: 150 }, []].map((value) => [{ key: 'price', value }])]],
  ['a number with many digits', [...SINGLE, [{ key: 'price', value: '1'.repeat(300) }]]],
];
/** `a.b` is a key and a member of the same object, one outside of the bounds at each side. */
const DOTTED: typeof PROJECTS = [
  ['a member', numbered((n) => [{ key: 'a', value: { b: n } }])],
  ['a key with a dot', numbered((n) => [{ key: 'a.b', value: n }])],
  [
    'both in one object',
    numbered((n) => [
      { key: 'a.b', value: n },
      { key: 'a', value: { b: n + 60 } },
    ]),
  ],
  [
    'both in different objects',
    numbered((n) => [n % 2 === 0 ? { key: 'a.b', value: n } : { key: 'a', value: { b: n } }]),
  ],
  ['several members', numbered((n) => [{ key: 'a', value: [{ b: n }, { b: n + 60 }] }])],
];

function numbered(data: (n: number) => object[]): object[][] {
  return Array.from({ length: OBJECTS }, (_, n) => data(n));
}

let db: TestDatabase;
let store: IndexReadStore;
let search: IndexSearch;
beforeAll(async () => {
  db = await cloneDatabase();
  store = new IndexReadStore(db.database);
  search = new IndexSearch(store);
  const segments = new SegmentStore(db.database);
  for (const [index, [, objects]] of [...PROJECTS, ...DOTTED].entries()) {
    const texts = objects.map((data) => JSON.stringify(data).replace(/"(1{300})"/, '$1'));
    await db.database.transactionOnce(async (tx) => {
      const insert = `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
        SELECT $1, 'b', position::text, position, now(), data::jsonb, 1 FROM unnest($2::text[]) WITH ORDINALITY AS t (data, position)`;
      await tx.query(insert, [index, texts]);
      const builder = new SegmentBuilder();
      for (let at = 0; at < texts.length; at += 256) {
        const some = texts.slice(at, at + 256);
        builder.add(
          some.map((_, i) => BigInt(at + i + 1)),
          some,
        );
      }
      await segments.insertNew(tx, index, builder);
    });
  }
});
afterAll(() => db.close());

function queryOf(data: object): IndexQuery {
  const query = indexQuery(parseFilter({ data: JSON.stringify(data) }), COLUMNS);
  if (query === null) throw new Error('no condition for the index');
  return query;
}

async function found(projectId: number, data: object): Promise<{ index: bigint[]; sql: bigint[]; isExact: boolean }> {
  const values: unknown[] = [projectId];
  const condition = filterSql(parseFilter({ data: JSON.stringify(data) }), COLUMNS, values);
  const text = `SELECT o.seq FROM objects AS o WHERE o.project_id = $1 AND (${condition}) ORDER BY o.seq`;
  const sql = (await db.sql<{ seq: string }>(text, values)).map(({ seq }) => BigInt(seq));
  const range = { isAscending: true, beyondSeq: null, wanted: OBJECTS + 10 };
  const result = await search.find(projectId, queryOf(data), range);
  if (result === null) throw new Error('the index is not usable');
  return {
    index: result.isExact ? result.seqs : result.seqs.filter((seq) => sql.includes(seq)),
    sql,
    isExact: result.isExact,
  };
}

async function blocksRead(projectId: number, { lookups, required }: IndexQuery): Promise<number> {
  const range = {
    isAscending: true,
    beyondSeq: null,
    skip: 0,
    limit: 1,
    countsOnly: false,
    required,
    skipsLargeBlocks: false,
  };
  const requests = lookups.map(({ request }) => request);
  const { segments } = await store.read(projectId, requests, range, () => 'false');
  return segments.reduce((sum, { blocks }) => sum + blocks.length, 0);
}

describe('a lower and an upper bound of one key', () => {
  it.each([...PROJECTS.map(([name]) => name), ...DOTTED.map(([name]) => name)].map((name, id) => [name, id] as const))(
    'find the same objects as PostgreSQL: %s',
    async (_, id) => {
      const key = id < PROJECTS.length ? 'price' : 'a.b';
      for (const bounds of [
        { $gte: 100, $lt: 200 },
        { $gt: 100, $lte: 200 },
        { $lt: 200, $gt: 100 },
        { $gt: 200, $lt: 100 },
        { $gte: 100, $lte: 100 },
        { $gte: -5, $lt: 0.5 },
        { $gte: '1', $lt: '2' },
      ]) {
        for (const data of [
          { [key]: bounds },
          { [key]: { $not: bounds } },
          { $or: [{ [key]: bounds }, { [key]: 7 }] },
        ]) {
          const { index, sql } = await found(id, data);
          expect({ data, seqs: index }).toEqual({ data, seqs: sql });
        }
      }
    },
  );

  it('may be met by two values of an object', async () => {
    const { index, isExact } = await found(1, { price: { $gte: 100, $lt: 200 } });
    expect([index.length, index.at(-1), isExact]).toEqual([101, BigInt(OBJECTS + 1), true]);
  });

  it('read only the values between them where no object has several', async () => {
    const bounds = queryOf({ price: { $gte: 300, $lt: 400 } });
    const read = await Promise.all(PROJECTS.map((_, id) => blocksRead(id, bounds)));
    const [few, all] = [4, OBJECTS / 128 + 3];
    // A list is an entry of its own besides its elements.
    expect(read.map((blocks) => (blocks <= few ? 'few' : blocks >= all ? 'all' : blocks))).toEqual([
      'few',
      'all',
      'few',
      'all',
      'all',
      'few',
      'few',
    ]);
  });

  it('of two keys are looked up separately', async () => {
    const { index, sql } = await found(0, { price: { $gte: 100 }, other: { $lt: 200 } });
    expect([index, sql]).toEqual([[], []]);
  });
});
