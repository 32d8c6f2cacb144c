import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { IndexKeys, IndexReadStore } from '#inverted-index';
import { ObjectKeysService, ObjectKeysStore, type KeyUse } from '#analytics';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { pairs } from '../objects/generated-filters.js';
import { PROJECT, storeMixed } from './mixed-objects.js';

const seed = Math.floor(Math.random() * 2 ** 31);
const OBJECTS = 400;

let db: TestDatabase;
let keys: ObjectKeysService;
beforeAll(async () => {
  db = await cloneDatabase();
  keys = new ObjectKeysService(
    new IndexKeys(db.database, new IndexReadStore(db.database)),
    new ObjectKeysStore(db.database),
  );
});
afterAll(() => db.close());

/** The keys of all objects, by a scan. */
async function scanned(): Promise<Omit<KeyUse, 'example'>[]> {
  const rows = await db.sql<{ key: string; objects: string; types: string[] }>(
    `SELECT p.key, count(DISTINCT seq) AS objects, array_agg(DISTINCT jsonb_typeof(v.value)) AS types
     FROM (
       SELECT seq, pair ->> 'key' AS key, pair -> 'value' AS value FROM objects, jsonb_array_elements(data) AS pair
       WHERE project_id = $1
     ) AS p, LATERAL (
       SELECT p.value UNION ALL SELECT jsonb_array_elements(p.value) WHERE jsonb_typeof(p.value) = 'array'
     ) AS v GROUP BY p.key ORDER BY count(DISTINCT seq) DESC, p.key COLLATE "C"`,
    [PROJECT],
  );
  return rows.map((row) => ({ ...row, objects: Number(row.objects) }));
}

/** The types that the index tells apart: not those of lists and objects. */
const scalars = (types: readonly string[]): string[] =>
  types.filter((type) => type !== 'array' && type !== 'object').sort();

describe(`the keys of generated objects (seed ${String(seed)})`, () => {
  it.each([1, 8])('are those of a scan, with the same numbers and types, in %d segments', async (segments) => {
    const lists = fc.sample(pairs, { numRuns: 2 * OBJECTS, seed: seed + segments });
    await storeMixed(db, lists.slice(0, OBJECTS), lists.slice(OBJECTS), segments);
    const list = await keys.list(PROJECT);
    const expected = await scanned();
    expect([list.isExact, list.isTruncated]).toEqual([true, false]);
    const found = list.keys.map(({ key, objects, types }) => ({ key, objects, types: scalars(types) }));
    expect(found).toEqual(expected.map((one) => ({ ...one, types: scalars(one.types) })));
    for (const [index, { key, types, example }] of list.keys.entries()) {
      expect(expected[index]?.types).toEqual(expect.arrayContaining(types));
      const stored = await db.sql(`SELECT FROM objects WHERE data @> $1::jsonb LIMIT 1`, [
        `[{"key":${JSON.stringify(key)},"value":${String(example)}}]`,
      ]);
      expect([key, example, stored.length]).toEqual([key, example, 1]);
    }
  });

  it('are those of the newest objects while the index is being built', async () => {
    await db.sql('INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)', [PROJECT]);
    const list = await keys.list(PROJECT);
    const expected = await scanned();
    expect(list.isExact).toBe(true);
    expect(list.keys.map(({ key, objects, types }) => ({ key, objects, types: [...types].sort() }))).toEqual(expected);
    await db.sql('DELETE FROM index_builds');
  });
});
