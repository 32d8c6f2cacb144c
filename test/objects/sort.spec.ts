import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Database } from '#database';
import { SegmentStore } from '#inverted-index';
import { readExport, wholeLines } from '../export/export-client.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { address, kindOf, places, postBatch, type ObjectBody, type PageBody, type ProblemBody } from './wire.js';

const seed = Math.floor(Math.random() * 2 ** 31);
const OBJECTS = 180;
/** More than are sorted by reading their values. */
const MANY_OBJECTS = 2_600;

/** Values as JSON text. */
const scalar = fc.constantFrom(
  ...['0', '-1', '1.5', '1.50', '12345678901234567890', '12345678901234567891', '1e400', '-1e-400', '1e-400', '0.1'],
  ...['"a"', '"b"', '"B"', '""', '"é"', '"👢"', '"\uffee"', '"10"', 'true', 'false', 'null'],
  `"${'x'.repeat(1_001)}"`,
  `"${'x'.repeat(1_000)}"`,
  `0.${'3'.repeat(201)}`,
);
const value = fc.oneof(
  { arbitrary: scalar, weight: 6 },
  { arbitrary: fc.array(scalar, { maxLength: 3 }).map((list) => `[${list.join()}]`), weight: 1 },
  { arbitrary: scalar.map((one) => `{"n":${one}}`), weight: 2 },
);
const pairs = fc.array(fc.tuple(fc.constantFrom('v', 'v', 'w', 'v.n'), value), { maxLength: 3 });

interface Stored {
  object_id: string;
  batch_id: string;
  subject: string | null;
  observed_at: string;
  /** Keys and JSON texts. */
  pairs: [string, string][];
  isEven: boolean;
}

const random = fc.sample(
  fc.record({
    subject: fc.constantFrom(null, 's1', 's2', 's3'),
    minute: fc.integer({ min: 0, max: 59 }),
    pairs,
  }),
  { numRuns: MANY_OBJECTS, seed },
);
/** In the order of arrival. */
const manyObjects: Stored[] = random.map(({ subject, minute, pairs: list }, i) => ({
  object_id: `o${String((i * 7_919) % MANY_OBJECTS)}`,
  batch_id: `b${String(i % 3)}`,
  subject,
  observed_at: `2026-01-01T00:${String(minute).padStart(2, '0')}:00Z`,
  pairs: list,
  isEven: i % 2 === 0,
}));

const objects = manyObjects.slice(0, OBJECTS);
const arrival = new Map(manyObjects.map((object, i) => [object, i]));

/** The order of a sort value: by type, and then by the value. */
type Rank = [type: number, value: number | string];

/** The ranks of a JSON text; none for what does not sort. Texts and numbers that are too long come after all others. */
function ranksOf(json: string): Rank[] {
  if (json.startsWith('[')) {
    const elements = json.slice(1, -1);
    return elements === '' ? [] : elements.split(',').flatMap(ranksOf);
  }
  if (json.startsWith('{') || json === 'null') return [];
  if (json === 'true' || json === 'false') return [[0, Number(json === 'true')]];
  if (json.startsWith('"')) {
    const bytes = Buffer.from(JSON.parse(json) as string);
    return bytes.length > 1_000 ? [[3, 0]] : [[2, bytes.toString('hex')]];
  }
  if (json.length > 200) return [[3, 0]];
  return [[1, NUMBERS.indexOf(json === '1.50' ? '1.5' : json)]];
}

const NUMBERS = ['-1', '-1e-400', '0', '1e-400', '0.1', '1.5', '12345678901234567890', '12345678901234567891', '1e400'];

function compareRanks([type, one]: Rank, [otherType, other]: Rank): number {
  if (type !== otherType) return type - otherType;
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** The values under a key or a path of two names. */
function valuesAt({ pairs: list }: Stored, key: string): string[] {
  return list.flatMap(([name, json]) => {
    if (name === key) return [json];
    if (!key.startsWith(`${name}.`) || !json.startsWith('{"n":')) return [];
    return [json.slice('{"n":'.length, -1)];
  });
}

type Keys = (Rank | undefined)[];

/** The ids of the objects in an order: those without a first key last, and equal ones by arrival. */
function sorted(list: readonly Stored[], isAscending: boolean, keysOf: (object: Stored) => Keys): string[] {
  const direction = isAscending ? 1 : -1;
  const rows = list.map((object) => ({ id: object.object_id, keys: keysOf(object), at: arrival.get(object) ?? 0 }));
  rows.sort((a, b) => {
    const missing = Number(a.keys[0] === undefined) - Number(b.keys[0] === undefined);
    if (missing !== 0) return missing;
    for (const [i, key] of a.keys.entries()) {
      const other = b.keys[i];
      if (a.keys[0] === undefined || key === undefined || other === undefined) continue;
      const order = compareRanks(key, other);
      if (order !== 0) return order * direction;
    }
    return (a.at - b.at) * direction;
  });
  return rows.map(({ id }) => id);
}

const text = (one: string | null): Rank | undefined => (one === null ? undefined : [2, one]);

const KEYS_OF: Record<string, (object: Stored, isAscending: boolean) => Keys> = {
  object_id: ({ object_id }) => [text(object_id)],
  batch_id: ({ batch_id }) => [text(batch_id)],
  observed_at: ({ observed_at }) => [text(observed_at)],
  subject: ({ subject, observed_at }) => [text(subject), text(observed_at)],
  ...Object.fromEntries(
    ['v', 'w', 'v.n', 'never'].map((key) => [
      `data.${key}`,
      (object: Stored, isAscending: boolean): Keys => {
        const ranks = valuesAt(object, key).flatMap(ranksOf).sort(compareRanks);
        return [isAscending ? ranks[0] : ranks.at(-1)];
      },
    ]),
  ),
};

const FILTERS: [name: string, query: Record<string, string>, matches: (object: Stored) => boolean][] = [
  ['without a filter', {}, () => true],
  ['with a filter of pairs', { data: '{"even":true}' }, ({ isEven }) => isEven],
  ['with a filter of columns', { batch_id: 'b1', data: '{"even":false}' }, (o) => o.batch_id === 'b1' && !o.isEven],
  [
    'with a filter that the index decides in part',
    { subject: 's1', key: 'v' },
    (o) => o.subject === 's1' && o.pairs.some(([key]) => key === 'v'),
  ],
  ['with a filter that nothing matches', { key: 'never' }, () => false],
];

let api: TestApi;
let database: Database;
let project: TestProject;

beforeAll(async () => {
  // No worker, which would index the pending objects.
  api = await TestApi.start({ WORKER: 'separate' });
  database = await openDatabase(api.db.address);
  project = await api.project();
  const { producer } = project.keys;
  for (const batch of ['b0', 'b1', 'b2']) await postBatch(api, producer, batch, []);
  // One object after the other, so that their order of arrival is known.
  for (const object of objects) {
    const reply = await api.call('POST', '/objects', { key: producer, body: bodyOf(object) });
    if (reply.status !== 201) throw new Error(reply.text);
  }
});
afterAll(async () => {
  await database.close();
  await api.stop();
});

function bodyOf({ pairs: list, isEven, ...object }: Stored): string {
  const data = [...list, ['even', String(isEven)]].map(([key = '', json = '']) => `{"key":"${key}","value":${json}}`);
  return `{${JSON.stringify(object).slice(1, -1)},"data":[${data.join()}]}`;
}

/** Moves all objects to small segments; entries of every fifth object are outdated afterwards. */
async function indexAll(): Promise<void> {
  const changed = objects.filter((_, i) => i % 5 === 0);
  const put = async (object: Stored, body: string): Promise<void> => {
    const reply = await api.call('PUT', `/objects/${object.object_id}`, { key: project.keys.producer, body });
    if (reply.status !== 200) throw new Error(reply.text);
  };
  for (const object of changed) await put(object, '{"data":{"v":7,"w":"other","even":true}}');
  const segments = new SegmentStore(database);
  while ((await segments.indexPending(project.projectId, 20)) > 0);
  for (const object of changed) await put(object, bodyOf(object));
}

const idsOf = ({ results }: PageBody<ObjectBody>): string[] => results.map(({ object_id }) => object_id);

async function pageAt(url: string, { keys } = project): Promise<PageBody<ObjectBody>> {
  const response = await fetch(url, { headers: { 'X-Api-Key': keys.analyst } });
  const body = (await response.json()) as PageBody<ObjectBody>;
  if (response.status !== 200) throw new Error(JSON.stringify(body));
  return body;
}

/**
 * All pages forwards by `next`, then all of them backwards by `previous`, and the first three by their numbers; and the page before the
 * end, which a page past the end leads to.
 */
async function walk(query: Record<string, string>, of = project): Promise<Record<string, unknown>> {
  const { page_size: size } = query;
  const first = await pageAt(`${api.origin}/api/v1${address('/objects', query)}`, of);
  const forwards = idsOf(first);
  let page = first;
  while (page.next !== null) {
    page = await pageAt(page.next, of);
    forwards.push(...idsOf(page));
  }
  const backwards = idsOf(page);
  while (page.previous !== null) {
    page = await pageAt(page.previous, of);
    backwards.unshift(...idsOf(page));
  }
  const url = (page: number): string => `${api.origin}/api/v1${address('/objects', { ...query, page: String(page) })}`;
  const numbered = [await pageAt(url(1), of), await pageAt(url(2), of), await pageAt(url(3), of)].flatMap(idsOf);
  const { previous } = await pageAt(url(Math.ceil(forwards.length / Number(size)) + 1), of);
  const last = forwards.length === 0 || previous === null ? [] : idsOf(await pageAt(previous, of));
  return { forwards, backwards, numbered, last, count: first.count };
}

const ORDERS = Object.keys(KEYS_OF).flatMap((name) => [name, `-${name}`]);

describe.each([
  ['pending objects', ''],
  ['the inverted index', 'index'],
  ['an index that is being built', `INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)`],
])('by %s', (_, statement) => {
  beforeAll(async () => {
    if (statement === 'index') await indexAll();
    else if (statement !== '') await api.db.sql(statement, [project.projectId]);
  });

  it.each(FILTERS)(`sorts by every column and by values %s (seed ${String(seed)})`, async (__, filter, matches) => {
    const matching = objects.filter(matches);
    await Promise.all(
      ORDERS.map(async (sort, i) => {
        const isAscending = !sort.startsWith('-');
        const keysOf = KEYS_OF[isAscending ? sort : sort.slice(1)] ?? ((): Keys => []);
        const expected = sorted(matching, isAscending, (object) => keysOf(object, isAscending));
        const size = [20, 70, 33][i % 3] ?? 20;
        const found = await walk({ ...filter, sort, page_size: String(size), count: 'exact' });
        const numbered = expected.slice(0, 3 * size);
        const last = expected.slice(-size);
        const lists = { forwards: expected, backwards: expected, numbered, last, count: expected.length };
        expect([sort, found]).toEqual([sort, lists]);
      }),
    );
  });
});

describe('GET /objects/export', () => {
  it.each(FILTERS)(`exports the objects of a sorted list in its order %s (seed ${String(seed)})`, async (_, filter) => {
    for (const sort of ORDERS) {
      const query = { ...filter, sort };
      const { results, next } = await pageAt(
        `${api.origin}/api/v1${address('/objects', { ...query, page_size: String(OBJECTS) })}`,
      );
      const exported = await readExport(api, project.keys.analyst, address('', query));
      const objects = wholeLines(exported).map((line) => JSON.parse(line) as ObjectBody);
      expect([sort, objects, next]).toEqual([sort, results, null]);
    }
  });
});

describe(`more than 2,000 matches (seed ${String(seed)})`, () => {
  let other: TestProject;

  beforeAll(async () => {
    other = await api.project();
    // All in one segment, and then some with outdated entries.
    const bodies = manyObjects.map((object) => bodyOf({ ...object, batch_id: 'b' }).replace('"batch_id":"b",', ''));
    const body = `{"batch_id":"b","objects":[${bodies.join()}]}`;
    const reply = await api.call('POST', '/batches', { key: other.keys.producer, body });
    if (reply.status !== 201) throw new Error(reply.text);
    for (const object of manyObjects.slice(0, 5)) {
      const changed = await api.call('PUT', `/objects/${object.object_id}`, {
        key: other.keys.producer,
        body: bodyOf({ ...object, batch_id: 'b' }),
      });
      if (changed.status !== 200) throw new Error(changed.text);
    }
  });

  it.each([
    ['data.v', {}, () => true],
    ['-data.v', { data: '{"even":{"$exists":true}}' }, () => true],
    ['data.v.n', { data: '{"even":{"$in":[true,false]}}' }, () => true],
    ['-data.w', { subject_prefix: 's', key: 'even' }, ({ subject }) => subject !== null],
    ['observed_at', { data: '{"even":{"$exists":true}}' }, () => true],
    ['-subject', { observed_from: '2026-01-01T00:01:00Z' }, (o) => o.observed_at >= '2026-01-01T00:01'],
  ] as [string, Record<string, string>, (object: Stored) => boolean][])(
    'are sorted by %s under the filter %j',
    async (sort, filter, matches) => {
      const isAscending = !sort.startsWith('-');
      const keysOf = KEYS_OF[isAscending ? sort : sort.slice(1)] ?? ((): Keys => []);
      const expected = sorted(manyObjects.filter(matches), isAscending, (object) => keysOf(object, isAscending));
      const found = await walk({ ...filter, sort, page_size: '400', count: 'exact' }, other);
      expect(found).toEqual({
        forwards: expected,
        backwards: expected,
        numbered: expected.slice(0, 1_200),
        last: expected.slice(-400),
        count: expected.length,
      });
    },
  );
});

describe('a request for a sorted list', () => {
  const analyst = (): { key: string } => ({ key: project.keys.analyst });

  it.each([
    ['cost', 'must be one of object_id'],
    ['-', 'must be one of object_id'],
    ['data', 'must be one of object_id'],
    ['data.v,data.w', 'must have one name; a key with a comma is written as a JSON string'],
    ['object_id,data.v', 'must be one of object_id'],
    ['data.', 'must have a key of 1 to 255 characters; got 0'],
    [`-data.${'k'.repeat(256)}`, 'must have a key of 1 to 255 characters; got 256'],
    ['data."a', 'has a quoted key that is not a JSON string'],
    ['data."\\u0000"', 'must have a key without U+0000 and lone surrogates'],
    ['data."\\ud800"', 'must have a key without U+0000 and lone surrogates'],
  ])('is rejected for sort=%s, in the query, in a body and for an export', async (sort, detail) => {
    const listed = await api.call('GET', address('/objects', { sort }), analyst());
    const exported = await api.call('GET', address('/objects/export', { sort }), analyst());
    const searched = await api.call('POST', '/objects/search', { ...analyst(), body: { sort } });
    expect([listed, exported, searched].map((reply) => [kindOf(reply), places(reply)])).toEqual([
      ['400 invalid-query', ['sort']],
      ['400 invalid-query', ['sort']],
      ['400 invalid-body', ['/sort']],
    ]);
    for (const reply of [listed, exported, searched]) {
      expect(reply.json<ProblemBody>().errors?.[0]?.detail).toContain(detail);
    }
  });

  it('is rejected with a cursor of another order', async () => {
    const { next } = (await api.call('GET', '/objects?sort=data.v', analyst())).json<PageBody<ObjectBody>>();
    const cursor = new URL(next ?? '').searchParams.get('cursor') ?? '';
    for (const sort of ['-data.v', 'data.w', 'object_id']) {
      const reply = await api.call('GET', address('/objects', { sort, cursor }), analyst());
      expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-cursor', ['cursor']]);
    }
    expect(kindOf(await api.call('GET', address('/objects', { cursor }), analyst()))).toBe('400 invalid-cursor');
  });

  it('is rejected for a numbered page beyond the first 10,000 objects', async () => {
    const query = { sort: 'observed_at', page: '1001', page_size: '10' };
    const listed = await api.call('GET', address('/objects', query), analyst());
    const searched = await api.call('POST', '/objects/search', {
      ...analyst(),
      body: { sort: 'observed_at', page: 1_001, page_size: 10 },
    });
    expect([listed, searched].map((reply) => [kindOf(reply), places(reply)])).toEqual([
      ['400 invalid-query', ['page']],
      ['400 invalid-body', ['/page']],
    ]);
    const last = await api.call('GET', address('/objects', { ...query, page: '1000' }), analyst());
    const { results, previous } = last.json<PageBody<ObjectBody>>();
    expect([last.status, results, previous]).toEqual([200, [], expect.stringContaining('cursor=')]);
  });

  it('returns the pages of a search in the same order, and the links of a page past the end', async () => {
    const body = { sort: '-data.v', page_size: 100 };
    const first = (await api.call('POST', '/objects/search', { ...analyst(), body })).json<PageBody<ObjectBody>>();
    const second = (
      await api.call('POST', '/objects/search', { ...analyst(), body: { ...body, cursor: first.next } })
    ).json<PageBody<ObjectBody>>();
    const all = (await api.call('GET', '/objects?sort=-data.v&page_size=200', analyst())).json<PageBody<ObjectBody>>();
    expect([...idsOf(first), ...idsOf(second)]).toEqual(idsOf(all));
    const past = (await api.call('GET', '/objects?sort=-data.v&page_size=100&page=3', analyst())).json<
      PageBody<ObjectBody>
    >();
    expect(past.results).toEqual([]);
    const previous = await pageAt(past.previous ?? '');
    expect(idsOf(previous)).toEqual(idsOf(all).slice(-100));
    expect(previous.next).toBeNull();
  });
});
