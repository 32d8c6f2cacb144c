import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FacetsService, FacetsStore } from '#analytics';
import { filterSql, parseFilter, type Filter } from '#filter';
import { indexQuery, IndexReadStore, IndexValues } from '#inverted-index';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { filter, pairs, type Json } from '../objects/generated-filters.js';
import { PROJECT, storeMixed } from './mixed-objects.js';

const seed = Math.floor(Math.random() * 2 ** 31);
const COLUMNS = { data: 'data', batchId: 'batch_id', subject: 'subject', observedAt: 'observed_at' };
/** Paths to values, in the order of the steps that a dot may be. */
const KEYS: Readonly<Record<string, string[]>> = {
  a: ['$[*] ? (@.key == "a").value'],
  b: ['$[*] ? (@.key == "b").value'],
  'owner.city': ['$[*] ? (@.key == "owner.city").value', '$[*] ? (@.key == "owner").value.city'],
  'a.b': ['$[*] ? (@.key == "a.b").value', '$[*] ? (@.key == "a").value.b'],
  never: ['$[*] ? (@.key == "never").value'],
};
const EVERYTHING: Filter = { kind: 'and', of: [] };

let db: TestDatabase;
let index: IndexValues;
let facets: FacetsService;
beforeAll(async () => {
  db = await cloneDatabase();
  index = new IndexValues(db.database, new IndexReadStore(db.database));
  facets = new FacetsService(index, new FacetsStore(db.database));
});
afterAll(() => db.close());

interface Expected {
  values: { value: string; count: number }[];
  other: number;
}

/**
 * The counts of all values, by a scan. An object without scalars is counted in `other`, and so is one with a text that begins like an
 * encrypted value.
 */
async function scanned(key: string, of: Filter): Promise<Expected> {
  const values: unknown[] = [PROJECT, KEYS[key]];
  const where = filterSql(of, COLUMNS, values);
  const rows = await db.sql<{ value: string | null; count: string }>(
    `WITH found AS (
       SELECT DISTINCT o.seq, e.value FROM (SELECT * FROM objects WHERE project_id = $1 AND ${where}) AS o,
         unnest($2::jsonpath[]) AS path, jsonb_path_query(o.data, path) AS v(value), LATERAL (
           SELECT v.value UNION ALL SELECT jsonb_array_elements(v.value) WHERE jsonb_typeof(v.value) = 'array'
         ) AS e
     ), scalar AS (
       SELECT * FROM found WHERE jsonb_typeof(value) NOT IN ('array', 'object') AND starts_with(value #>> '{}', '$enc1:') IS NOT TRUE
     )
     SELECT value::text, count(*) FROM scalar GROUP BY value
     UNION ALL SELECT NULL, count(DISTINCT seq) FROM found
       WHERE starts_with(value #>> '{}', '$enc1:') OR seq NOT IN (SELECT seq FROM scalar)`,
    values,
  );
  const counts = rows.flatMap(({ value, count }) => (value === null ? [] : [{ value, count: Number(count) }]));
  counts.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1));
  return { values: counts, other: Number(rows.find(({ value }) => value === null)?.count) };
}

describe(`the facets of generated objects (seed ${String(seed)})`, () => {
  describe.each([
    { segments: 1, objects: 400, values: 'any' },
    { segments: 8, objects: 400, values: 'any' },
    // Some values have blocks of their own in a segment without outdated entries, which counts as a whole.
    { segments: 2, objects: 1_600, values: 'scalar' },
  ])('of $objects objects with $values values in $segments segments', ({ segments, objects, values }) => {
    beforeAll(async () => {
      const all = fc.sample(pairs, { numRuns: 2 * objects, seed: seed + segments });
      const isKept = (one: Json): boolean => values === 'any' || typeof one !== 'object' || one === null;
      const lists = all.map((list) => list.filter(([, value]) => isKept(value)));
      await storeMixed(db, lists.slice(0, objects), lists.slice(objects), segments);
    });

    it.each(Object.keys(KEYS))('of all objects are those of a scan: %s', async (key) => {
      const expected = await scanned(key, EVERYTHING);
      expect(await index.count(PROJECT, key, null)).not.toBeNull();
      expect(await facets.count(PROJECT, { key, filter: EVERYTHING, size: 1_000 })).toEqual({
        ...expected,
        isExact: true,
      });
      const some = await facets.count(PROJECT, { key, filter: EVERYTHING, size: 3 });
      const rest = expected.values.slice(3).reduce((sum, { count }) => sum + count, expected.other);
      expect(some).toEqual({ values: expected.values.slice(0, 3), other: rest, isExact: true });
    });

    it('of 60 filters are those of a scan, many of them by the index alone', async () => {
      let indexed = 0;
      const filters = fc.sample(filter, { numRuns: 60, seed });
      for (const one of filters) {
        const of = parseFilter({ data: JSON.stringify(one) });
        const query = indexQuery(of, COLUMNS);
        for (const key of ['a', 'owner.city']) {
          const found = await facets.count(PROJECT, { key, filter: of, size: 1_000 });
          expect([one, found]).toEqual([one, { ...(await scanned(key, of)), isExact: true }]);
          if (query !== null && (await index.count(PROJECT, key, query)) !== null) indexed++;
        }
      }
      expect(indexed).toBeGreaterThan(filters.length / 5);
    });
  });

  it('are those of the newest objects while the index is being built', async () => {
    await db.sql('INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)', [PROJECT]);
    const expected = await scanned('a', EVERYTHING);
    expect(await facets.count(PROJECT, { key: 'a', filter: EVERYTHING, size: 1_000 })).toEqual({
      ...expected,
      isExact: true,
    });
    await db.sql('DELETE FROM index_builds');
  });
});
