import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import siftModule from 'sift';
import { filterSql, parseFilter } from '#filter';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { filter, pairs, type Data, type Json, type Pair } from './generated-filters.js';

/**
 * The oracle is the package `sift`, an implementation of MongoDB's query language. docs/filter-language.md lists the
 * differences, and this spec translates them:
 *
 * - sift has no repeated keys. A key becomes a list of `{ v: value }`, and a filter on `k` one on `k.v`, so that all its
 *   values are searched, and a list of pairs is not mistaken for an array.
 * - A dot in a key has two meanings, so that a filter on `a.b` becomes an `$or` of the key `a.b` and the member `b` under `a`.
 * - `null` matches only a stored null. It becomes an object that equals nothing else, and the comparison is strict.
 * - `$prefix` and `$contains` are added, and `$pair` and a `$not` around a filter are translated.
 * - sift searches arrays inside arrays, counts a number in a path as the index of an element, and orders text by UTF-16
 *   units. The generated objects have none of these.
 */
const seed = Math.floor(Math.random() * 2 ** 31);
const SETS = 12;
const OBJECTS_PER_SET = 20;
const FILTERS_PER_SET = 440;

/** A key as a name without the characters that sift gives a meaning. */
function escaped(key: string): string {
  return key.replaceAll('.', '·').replaceAll('$', '€');
}

const NULL = { isNull: true };

function withoutNull(one: Json): Json {
  if (one === null) return NULL;
  if (Array.isArray(one)) return one.map(withoutNull);
  if (typeof one !== 'object') return one;
  return Object.fromEntries(Object.entries(one).map(([name, member]) => [name, withoutNull(member)]));
}

function siftObject(list: readonly Pair[]): Data {
  const object: Record<string, { v: Json }[]> = {};
  for (const [key, one] of list) (object[escaped(key)] ??= []).push({ v: withoutNull(one) });
  return object;
}

/** The paths in sift's objects that a key of a filter stands for. */
function siftPaths(key: string): string[] {
  const parts = key.split('.');
  return parts.map((_, i) => {
    const rest = parts.slice(i + 1).map((name) => `.${name}`);
    return `${escaped(parts.slice(0, i + 1).join('.'))}.v${rest.join('')}`;
  });
}

function siftQuery(one: Data): object {
  const parts = Object.entries(one).map(([name, operand]) => {
    if (name === '$not') return { $nor: [siftQuery(operand as Data)] };
    if (name === '$pair') {
      const { key, value: wanted } = operand as { key: string; value: Json };
      return siftCondition([`${escaped(key)}.v`], wanted);
    }
    if (name.startsWith('$')) return { [name]: (operand as Data[]).map(siftQuery) };
    return siftCondition(siftPaths(name), operand);
  });
  return parts.length === 0 ? {} : { $and: parts };
}

/** The opposites of operators, for paths of which none may match. */
const POSITIVE: Record<string, string> = { $ne: '$eq', $nin: '$in' };

function siftCondition(paths: readonly string[], operand: Json): object {
  const [path] = paths;
  if (path !== undefined && paths.length === 1) return { [path]: operand };
  const any = (one: Json): object => ({ $or: paths.map((each) => ({ [each]: one })) });
  const isOfOperators =
    typeof operand === 'object' && operand !== null && Object.keys(operand).some((name) => name.startsWith('$'));
  if (!isOfOperators) return any(operand);
  const parts = Object.entries(operand as Data).map(([name, wanted]) => {
    if (name === '$not') return { $nor: [siftCondition(paths, wanted)] };
    if (name === '$exists' && wanted === false) return { $nor: [any({ $exists: true })] };
    const positive = POSITIVE[name];
    return positive === undefined ? any({ [name]: wanted }) : { $nor: [any({ [positive]: wanted })] };
  });
  return { $and: parts };
}

/** Strict, so that null does not match a missing value. */
function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && isEqual((a as Data)[name], (b as Data)[name]))
  );
}

// Its types are those of a CommonJS module with a default export.
const { default: sift, createEqualsOperation } = siftModule;
type Options = Parameters<typeof createEqualsOperation>[2];

/** An operator that tests texts. */
const textOperator =
  (test: (one: string, wanted: string) => boolean) =>
  (wanted: string, query: unknown, options: Options): ReturnType<typeof createEqualsOperation> =>
    createEqualsOperation((one: unknown) => typeof one === 'string' && test(one, wanted), query, options);

const OPTIONS: Partial<Options> = {
  compare: isEqual,
  operations: {
    $prefix: textOperator((one, wanted) => one.startsWith(wanted)),
    $contains: textOperator((one, wanted) => one.includes(wanted)),
  },
};

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
  await db.sql('CREATE TABLE generated (set_id int, id int, data jsonb)');
  await db.sql('CREATE INDEX ON generated USING gin (set_id, data jsonb_path_ops)');
});
afterAll(() => db.close());

/** The same from the GIN index, which objects have too: PostgreSQL uses it wherever it can. */
function idsFromIndex(setId: number, filters: readonly Data[]): Promise<number[][]> {
  const values: unknown[] = [setId];
  const columns = { data: 'o.data', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };
  const selects = filters.map((one, i) => {
    const sql = filterSql(parseFilter({ data: JSON.stringify(one) }), columns, values);
    return `SELECT ${String(i)} AS filter, o.id FROM generated AS o WHERE o.set_id = $1 AND ${sql}`;
  });
  return db.database.transactionOnce(async (tx) => {
    await tx.query('SET LOCAL enable_seqscan = off');
    const rows = await tx.query<{ filter: number; id: number }>(selects.join(' UNION ALL '), values);
    return filters.map((_, i) =>
      rows
        .filter((row) => row.filter === i)
        .map(({ id }) => id)
        .sort((a, b) => a - b),
    );
  });
}

/** The ids of the objects that each filter matches, of one statement for all filters. */
async function idsFromSql(setId: number, filters: readonly Data[]): Promise<number[][]> {
  const values: unknown[] = [setId];
  const columns = { data: 'o.data', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };
  const conditions = filters.map((one) => {
    const sql = filterSql(parseFilter({ data: JSON.stringify(one) }), columns, values);
    // No condition is ever unknown.
    return `CASE ${sql} WHEN true THEN 'y' WHEN false THEN 'n' ELSE '?' END`;
  });
  const rows = await db.sql<{ id: number; found: string }>(
    `SELECT o.id, concat(${conditions.join(', ')}) AS found FROM generated AS o WHERE o.set_id = $1 ORDER BY o.id`,
    values,
  );
  expect(rows.filter(({ found }) => found.includes('?'))).toEqual([]);
  return filters.map((_, i) => rows.filter(({ found }) => found[i] === 'y').map(({ id }) => id));
}

describe(`filters over generated objects (seed ${String(seed)})`, () => {
  it('match the same objects in PostgreSQL as in sift, in 5,280 cases', async () => {
    const sets = fc.sample(fc.array(pairs, { minLength: OBJECTS_PER_SET, maxLength: OBJECTS_PER_SET }), {
      numRuns: SETS,
      seed,
    });
    const filters = fc.sample(filter, { numRuns: SETS * FILTERS_PER_SET, seed });
    let matches = 0;
    for (const [setId, set] of sets.entries()) {
      const rows = set.map((list, id) => ({ id, data: list.map(([key, one]) => ({ key, value: one })) }));
      const insert =
        'INSERT INTO generated SELECT $1, id, data FROM jsonb_to_recordset($2::jsonb) AS (id int, data jsonb)';
      await db.sql(insert, [setId, JSON.stringify(rows)]);
      const objects = set.map(siftObject);
      const asked = filters.slice(setId * FILTERS_PER_SET, (setId + 1) * FILTERS_PER_SET);
      for (let at = 0; at < asked.length; at += 40) {
        const some = asked.slice(at, at + 40);
        const found = await idsFromSql(setId, some);
        expect(await idsFromIndex(setId, some)).toEqual(found);
        for (const [i, one] of some.entries()) {
          const tester = sift(siftQuery(withoutNull(one) as Data), OPTIONS);
          const expected = objects.flatMap((object, id) => (tester(object) ? [id] : []));
          matches += expected.length;
          const wrong = set.filter((_, id) => found[i]?.includes(id) !== expected.includes(id)).slice(0, 3);
          expect({ filter: JSON.stringify(one), wrong: wrong.map((object) => JSON.stringify(object)) }).toEqual({
            filter: JSON.stringify(one),
            wrong: [],
          });
        }
      }
    }
    // Otherwise the vocabulary is too large, and most filters match nothing or everything.
    const share = matches / (SETS * OBJECTS_PER_SET * FILTERS_PER_SET);
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.9);
  });
});

describe('any text that can be stored', () => {
  const columns = { data: '$1::jsonb', batchId: 'NULL', subject: 'NULL', observedAt: 'NULL' };

  /** Whether an object with these pairs matches. */
  async function isMatch(pairsText: Pair[], one: Data): Promise<boolean | undefined> {
    const values: unknown[] = [JSON.stringify(pairsText.map(([key, each]) => ({ key, value: each })))];
    const sql = filterSql(parseFilter({ data: JSON.stringify(one) }), columns, values);
    const [row] = await db.sql<{ matches: boolean }>(`SELECT ${sql} AS matches`, values);
    return row?.matches;
  }

  const anyText = fc
    .oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('***', '***=a', '(?i)A', '\\', '\\d', '.', '$', '@', '"', '\u0001', '\u007f', '\u2028'),
    )
    .filter((one) => !one.includes('\0') && one.isWellFormed());
  const anyKey = anyText.filter((one) => one !== '' && !one.startsWith('$'));

  it('is found as a key, a member and a value, and ordered by code point', async () => {
    await fc.assert(
      fc.asyncProperty(anyKey, anyText, anyText, async (key, one, other) => {
        const list: Pair[] = [[key, [other, one + other]]];
        expect(await isMatch(list, { [key]: one + other, never: { $ne: 1 } })).toBe(true);
        expect(await isMatch(list, { [key]: { $in: [one + other] } })).toBe(true);
        expect(await isMatch(list, { [key]: { $prefix: one } })).toBe(true);
        expect(await isMatch(list, { [key]: { $contains: one } })).toBe(true);
        expect(await isMatch(list, { $pair: { key, value: { $gte: one + other } } })).toBe(true);
        expect(await isMatch([['o', { [key]: one }]], { [`o.${key}`]: one })).toBe(!key.includes('.'));
        const isLess = Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
        expect(await isMatch([[key, one]], { [key]: { $lt: other } })).toBe(isLess);
      }),
      { numRuns: 200 },
    );
  });
});
