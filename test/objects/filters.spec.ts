import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import {
  address,
  allOf,
  kindOf,
  pagesFrom,
  places,
  postBatch,
  type BatchBody,
  type ObjectBody,
  type PairBody,
  type ProblemBody,
  type Scalar,
} from './wire.js';

/** A filter as query parameters; `data` is a list of pairs, whose keys may repeat. */
interface Filter {
  data?: [string, Scalar][];
  match?: 'all' | 'any';
  key?: string;
  value?: string;
  batch_id?: string;
  subject?: string;
  observed_from?: string;
  observed_until?: string;
}

interface StoredObject {
  object_id: string;
  batch_id: string;
  data: PairBody[];
  subject: string | null;
  /** RFC 3339 in UTC; null means the time of arrival, which is after every time in a filter. */
  observed_at: string | null;
}

/** The oracle: the rules of the contract in JavaScript. */
function matches(object: StoredObject, question: Filter): boolean {
  const { data, match = 'all', key, value, batch_id, subject, observed_from, observed_until } = question;
  const has = ([name, wanted]: [string, Scalar]): boolean =>
    object.data.some((pair) => pair.key === name && pair.value === wanted);
  const at = object.observed_at === null ? '9999' : toMicroseconds(object.observed_at);
  return (
    (data === undefined || (match === 'any' ? data.some(has) : data.every(has))) &&
    ((key === undefined && value === undefined) ||
      object.data.some(
        (pair) =>
          (key === undefined || pair.key === key) && (value === undefined || valuesOf(value).includes(pair.value)),
      )) &&
    (batch_id === undefined || object.batch_id === batch_id) &&
    (subject === undefined || object.subject === subject) &&
    (observed_from === undefined || at >= toMicroseconds(observed_from)) &&
    (observed_until === undefined || at < toMicroseconds(observed_until))
  );
}

/** The values that a text in `value=` matches. */
function valuesOf(text: string): Scalar[] {
  try {
    const read: unknown = JSON.parse(text);
    const isLiteral = text.trim() === text && (read === null || ['number', 'boolean'].includes(typeof read));
    return isLiteral ? [text, read as Scalar] : [text];
  } catch {
    return [text];
  }
}

/** Formats a time in UTC with six decimals, so that times compare as text. */
function toMicroseconds(time: string): string {
  const [, seconds = '', fraction = ''] = /^([^.Z]*)(?:\.(\d+))?Z?$/.exec(time) ?? [];
  return `${seconds}.${fraction.padEnd(6, '0')}`;
}

function parametersOf({ data, ...rest }: Filter): Record<string, string> {
  const pairs = data?.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return { ...(pairs === undefined ? {} : { data: `{${pairs.join()}}` }), ...rest };
}

const EMPTY_BATCH = 'empty';

class Store {
  constructor(
    readonly api: TestApi,
    readonly project: TestProject,
    /** In order of arrival. */
    readonly objects: StoredObject[],
  ) {}

  async check(question: Filter, pageSize: number): Promise<number> {
    const key = this.project.keys.analyst;
    const parameters = { ...parametersOf(question), page_size: String(pageSize), count: 'exact' };
    const expected = this.objects.filter((object) => matches(object, question)).reverse();
    const pages = await pagesFrom<ObjectBody>(this.api, key, address('/objects', parameters));
    expect(pages.flatMap((page) => page.results.map((one) => one.object_id))).toEqual(
      expected.map((one) => one.object_id),
    );
    expect(pages[0]?.count).toBe(expected.length);
    const found = await allOf<BatchBody>(this.api, key, address('/batches', parameters));
    expect(found.map((one) => one.batch_id)).toEqual(this.batchesOf(question, expected));
    return expected.length;
  }

  /** Newest first. An empty batch matches only without a filter or by its own id. */
  private batchesOf({ batch_id, data, match: _, ...ofObjects }: Filter, expected: StoredObject[]): string[] {
    const batches = [...new Set(expected.map((one) => one.batch_id))];
    const hasObjectFilter = Object.keys(ofObjects).length > 0 || (data ?? []).length > 0;
    if (!hasObjectFilter && (batch_id ?? EMPTY_BATCH) === EMPTY_BATCH) batches.push(EMPTY_BATCH);
    return batches;
  }
}

async function storeOf(
  api: TestApi,
  batches: { batch_id: string; objects: Partial<StoredObject>[] }[],
): Promise<Store> {
  const project = await api.project();
  await postBatch(api, project.keys.producer, EMPTY_BATCH, []);
  const known: StoredObject[] = [];
  for (const { batch_id, objects } of batches) {
    await postBatch(api, project.keys.producer, batch_id, objects);
    known.push(...objects.map((one) => ({ subject: null, observed_at: null, ...one, batch_id }) as StoredObject));
  }
  return new Store(api, project, known);
}

let api: TestApi;
let fixtures: Store;

beforeAll(async () => {
  api = await TestApi.shared();
  const names = (await readdir('fixtures')).filter((name) => name.endsWith('.json')).sort();
  const texts = await Promise.all(names.map((name) => readFile(`fixtures/${name}`, 'utf8')));
  fixtures = await storeOf(
    api,
    texts
      .map((text) => JSON.parse(text) as { batch_id: string; objects?: Partial<StoredObject>[] })
      // The others are files of feeds.
      .flatMap(({ batch_id, objects }) => (objects === undefined ? [] : [{ batch_id, objects }])),
  );
});
afterAll(() => api.stop());

describe('a filter over the fixtures matches the objects that the oracle matches', () => {
  it.each<[Filter, number]>([
    [{}, 867],
    [{ data: [] }, 867],
    [
      {
        data: [
          ['type', 'boot'],
          ['color', 'red'],
        ],
      },
      70,
    ],
    [
      {
        data: [
          ['type', 'boot'],
          ['color', 'red'],
        ],
        match: 'all',
      },
      70,
    ],
    [{ key: 'remark' }, 127],
    [{ value: 'gold' }, 3],
    [{ subject: 'till-2', observed_from: '2024-05-12T00:00:00Z', observed_until: '2024-05-13T00:00:00Z' }, NaN],
    [
      {
        data: [
          ['type', 'boot'],
          ['type', 'sandal'],
        ],
        match: 'any',
      },
      NaN,
    ],
    [{ data: [['size', 42]] }, NaN],
    [{ data: [['size', '42']] }, 0],
    [{ key: 'size', value: '42' }, NaN],
    [{ value: '42' }, NaN],
    [{ data: [['discount', null]] }, NaN],
    [{ key: 'discount', value: 'null' }, NaN],
    [
      {
        data: [
          ['in_stock', true],
          ['discount', null],
        ],
        key: 'tag',
        value: 'waterproof',
      },
      NaN,
    ],
    [
      {
        data: [
          ['tag', 'waterproof'],
          ['tag', 'never'],
        ],
        match: 'any',
        batch_id: '2024-05-03-delivery-lisbon',
      },
      NaN,
    ],
    [{ batch_id: EMPTY_BATCH }, 0],
    [{ batch_id: 'never' }, 0],
    [{ observed_until: '2024-05-12T00:00:00Z' }, NaN],
    [{ observed_from: '2024-06-11' + 'T00:00:00' }, NaN],
    [{ observed_from: '2024-06-11' }, NaN],
    [{ key: 'reason', subject: 'never' }, 0],
  ])('%j', async (question, count) => {
    const found = await fixtures.check(question, 100);
    // NaN: the number is not known beforehand, but a filter without a match would prove nothing.
    if (Number.isNaN(count)) expect(found).toBeGreaterThan(0);
    else expect(found).toBe(count);
  });
});

const KEYS = ['type', 'size', 'a.b', '$eq', '__proto__', '1', 'ключ "\\'];
const VALUES: Scalar[] = ['shoe', 'Shoe', '', '42', 42, -1.5, '-1.5', 0, true, 'true', false, null, 'null', '{}'];
const TIMES = ['2024-05-01T00:00:00Z', '2024-05-01T00:00:00.000001Z', '2024-05-02T12:30:00.5Z', '1999-12-31T23:59:59Z'];
const SUBJECTS = ['shelf', 'Shelf', '42'];

const pair = fc.record({ key: fc.constantFrom(...KEYS), value: fc.constantFrom(...VALUES) });
const objects = fc.array(
  fc.record(
    {
      data: fc.array(pair, { maxLength: 5 }),
      subject: fc.constantFrom(...SUBJECTS),
      observed_at: fc.constantFrom(...TIMES),
    },
    { requiredKeys: ['data'] },
  ),
  { maxLength: 12 },
);
const filterPair = fc.tuple(fc.constantFrom(...KEYS.filter((key) => !key.startsWith('$'))), fc.constantFrom(...VALUES));
/** Omitted in three of four cases, because every condition reduces the matches. */
const sometimes = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary: fc.constant(undefined), weight: 3 }, { arbitrary, weight: 1 });
const question: fc.Arbitrary<Filter> = fc
  .record({
    data: sometimes(fc.array(filterPair, { minLength: 1, maxLength: 3 })),
    match: fc.constantFrom('all' as const, 'any' as const, undefined),
    key: sometimes(fc.constantFrom(...KEYS, 'never')),
    value: sometimes(fc.constantFrom(...VALUES.map(String), '42.0', '4.2e1', '-0', ' 42', 'never')),
    batch_id: sometimes(fc.constantFrom('g-0', 'g-5', EMPTY_BATCH, 'never')),
    subject: sometimes(fc.constantFrom(...SUBJECTS, 'never')),
    observed_from: sometimes(fc.constantFrom(...TIMES)),
    observed_until: sometimes(fc.constantFrom(...TIMES)),
  })
  .map(({ match, ...rest }) => {
    const given = Object.entries(rest).filter(([, value]) => value !== undefined);
    const generated = Object.fromEntries(given) as Filter;
    return match === undefined || generated.data === undefined ? generated : { ...generated, match };
  });

describe('a filter over generated objects', () => {
  it('matches the same objects as the oracle, in order, and each batch once', async () => {
    const batches = fc.sample(objects, { numRuns: 40, seed: 20_240_501 }).filter((list) => list.length > 0);
    const store = await storeOf(
      api,
      batches.map((list, batch) => ({
        batch_id: `g-${String(batch)}`,
        objects: list.map((one, i) => ({ ...one, object_id: `g-${String(batch)}-${String(i)}` })),
      })),
    );
    let found = 0;
    await fc.assert(
      fc.asyncProperty(question, fc.constantFrom(3, 40, 1_000), async (generated, pageSize) => {
        if ((await store.check(generated, pageSize)) > 0) found++;
      }),
      { numRuns: 120 },
    );
    // Otherwise the vocabulary is too large, and most filters match nothing.
    expect(found).toBeGreaterThan(30);
  });
});

describe('values that JavaScript cannot distinguish', () => {
  let store: Store;
  const NUMBERS = [
    '12345678901234567890',
    '12345678901234567891',
    '0.1',
    '0.10',
    '1e400',
    '1e-400',
    '0',
    '-0.0',
    '5E-1',
  ];
  const find = async (parameters: Record<string, string>): Promise<string[]> => {
    const { keys } = store.project;
    return (await allOf<ObjectBody>(api, keys.analyst, address('/objects', parameters))).map((one) => one.object_id);
  };

  beforeAll(async () => {
    store = await storeOf(api, []);
    const list = NUMBERS.flatMap((text) => [
      `{"object_id":"${text}","data":{"n":${text}}}`,
      `{"object_id":"text ${text}","data":{"n":"${text}"}}`,
    ]);
    const body = `{"batch_id":"numbers","objects":[${list.join()}]}`;
    const reply = await api.call('POST', '/batches', { key: store.project.keys.producer, body });
    expect(reply.status).toBe(201);
  });

  it.each([
    ['12345678901234567890', ['12345678901234567890']],
    ['12345678901234567891.00', ['12345678901234567891']],
    ['0.100', ['0.10', '0.1']],
    ['1e400', ['1e400']],
    ['10E399', ['1e400']],
    ['1e-400', ['1e-400']],
    ['0', ['-0.0', '0']],
    ['0.5', ['5E-1']],
    ['1e401', []],
  ])('{"n":%s} compares all digits of numbers', async (text, expected) => {
    expect(await find({ data: `{"n":${text}}` })).toEqual(expected);
    expect(await find({ key: 'n', value: text })).toEqual(
      // The text with these characters matches as well; it was stored right after its number.
      expected.flatMap((id) => (id === text ? [`text ${id}`, id] : [id])),
    );
  });

  it.each(['"', "'", '\\', '%', 'x$1', '?', '👢', "'; DROP TABLE objects; --", '\n\t', '[1]', '{"a":1}'])(
    'matches %j literally as a key, a value, a subject and a batch id',
    async (text) => {
      const { keys } = store.project;
      const isId = !/\p{Cc}/u.test(text);
      const batch = isId ? text : 'control';
      const object_id = `object ${String(text.length)} ${encodeURIComponent(text)}`;
      await postBatch(api, keys.producer, batch, [
        { object_id, data: [{ key: text, value: text }], ...(isId ? { subject: text } : {}) },
      ]);
      const questions: Record<string, string>[] = [
        { data: JSON.stringify({ [text]: text }) },
        { key: text },
        { value: text },
        { key: text, value: text },
        ...(isId ? [{ batch_id: text }, { subject: text }] : []),
      ];
      for (const generated of questions) expect(await find(generated)).toEqual([object_id]);
    },
  );

  it('accepts times with a time zone, treats times without one as UTC, and dates as midnight', async () => {
    await postBatch(api, store.project.keys.producer, 'times', [
      { object_id: 'noon', data: {}, observed_at: '2024-05-01T12:00:00Z' },
    ]);
    const until = '2024-05-01T13:00:00Z';
    for (const from of ['2024-05-01T12:00:00', '2024-05-01T14:00:00+02:00', '2024-05-01T11:59:59.999999Z']) {
      expect(await find({ observed_from: from, observed_until: until })).toEqual(['noon']);
    }
    for (const from of ['2024-05-01T12:00:00.000001', '2024-05-01T11:00:00-02:00']) {
      expect(await find({ observed_from: from, observed_until: until })).toEqual([]);
    }
    expect(await find({ observed_from: '2024-05-01T11:00:00', observed_until: '2024-05-01T12:00:00' })).toEqual([]);
    expect(await find({ observed_from: '2024-05-01', observed_until: '2024-05-02' })).toEqual(['noon']);
    expect(await find({ observed_until: '2024-05-01' })).toEqual([]);
  });
});

describe('an invalid filter', () => {
  const ask = (path: string, query: Record<string, string>): Promise<Reply> =>
    api.call('GET', address(path, query), { key: fixtures.project.keys.analyst });

  it.each<[Record<string, string>, string]>([
    [{ data: 'type=shoe' }, 'data'],
    [{ data: '{"type":"shoe"' }, 'data'],
    [{ data: '' }, 'data'],
    [{ data: '[]' }, 'data'],
    [{ data: '[{"key":"type","value":"shoe"}]' }, 'data'],
    [{ data: '"shoe"' }, 'data'],
    [{ data: 'null' }, 'data'],
    [{ data: '{"size":{"$gte":[42]}}' }, 'data'],
    [{ data: '{"$or":[]}' }, 'data'],
    [{ data: '{"$eq":42}' }, 'data'],
    [{ data: '{"$type":42}' }, 'data'],
    [{ data: '{"size":01}' }, 'data'],
    [{ data: "{'size':1}" }, 'data'],
    [{ data: '{"size":NaN}' }, 'data'],
    [{ data: '{"type":"\\u0000"}' }, 'data'],
    [{ data: '{"\\u0000":1}' }, 'data'],
    [{ data: '{"type":"\\ud800"}' }, 'data'],
    [{ data: '{"size":1e200000}' }, 'data'],
    [{ data: '{}', match: 'any' }, 'data'],
    [{ match: 'any' }, 'match'],
    [{ match: 'all' }, 'match'],
    [{ match: 'some', data: '{"a":1}' }, 'match'],
    [{ key: '' }, 'key'],
    [{ key: 'k'.repeat(256) }, 'key'],
    [{ key: 'a\0' }, 'key'],
    [{ value: '\0' }, 'value'],
    [{ batch_id: '' }, 'batch_id'],
    [{ batch_id: 'a\0' }, 'batch_id'],
    [{ subject: 'a\nb' }, 'subject'],
    [{ subject_prefix: '' }, 'subject_prefix'],
    [{ observed_from: 'yesterday' }, 'observed_from'],
    [{ observed_from: '2024-05-32' }, 'observed_from'],
    [{ observed_until: '2024-02-30T00:00:00Z' }, 'observed_until'],
    [{ Data: '{}' }, 'Data'],
    [{ type: 'shoe' }, 'type'],
  ])('%j is rejected with the name of the invalid parameter', async (query, parameter) => {
    for (const path of ['/objects', '/batches']) {
      const reply = await ask(path, query);
      expect(kindOf(reply)).toBe('400 invalid-query');
      expect(places(reply)).toEqual([parameter]);
    }
  });

  it('is rejected when a parameter is given twice', async () => {
    for (const query of ['key=a&key=b', 'data={}&data={}', 'value=1&value=1', 'subject=a&subject=a']) {
      const reply = await api.call('GET', `/objects?${query}`, { key: fixtures.project.keys.analyst });
      expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-query', query.split('=')[0]]);
    }
  });

  it('is rejected with the name of an unknown operator', async () => {
    const reply = await ask('/objects', { data: '{"a":1,"$near":1}' });
    expect(reply.json<ProblemBody>().detail).toContain('$near');
  });

  it('returns no objects for a value that is too large to be stored', async () => {
    for (const value of ['1e200000', '9'.repeat(5_000), `-${'9'.repeat(5_000)}.5`, '1e99999999999']) {
      const reply = await ask('/objects', { value });
      expect([reply.status, reply.json<{ results: unknown[] }>().results]).toEqual([200, []]);
    }
  });
});
