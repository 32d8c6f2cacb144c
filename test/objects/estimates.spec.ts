import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { address, pagesFrom, postBatch, type ObjectBody, type PageBody } from './wire.js';

const COUNT_CAP = 200;
/** More rows than one read of the index returns, so frequent values have to be estimated. */
const BATCH_SIZE = 10_000;

/** The number of objects, of 20,000, that have the key `a` with each value. */
const COUNTS = {
  /** One in two, in both batches. */
  'one in two': 10_000,
  /** One in five, at regular distances. */
  'one in five': 4_000,
  /** Every object of the first batch, and no other. */
  old: 10_000,
  /** Every object of the second batch, and no other. */
  new: 10_000,
  /** One object. */
  rare: 1,
};

/** Matches at one end of a batch. The number of sample blocks that contain them depends on when the batch was stored. */
const CLUSTERED = { newest: 1_644, few: 300 };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ COUNT_CAP: String(COUNT_CAP) });
  project = await api.project();
  for (const batch of ['old', 'new']) {
    const objects = Array.from({ length: BATCH_SIZE }, (_, i) => ({
      object_id: `${batch}-${String(i)}`,
      data: [
        batch,
        ...(i % 2 === 0 ? ['one in two'] : []),
        ...(i % 5 === 0 ? ['one in five'] : []),
        ...(batch === 'new' && i >= BATCH_SIZE - CLUSTERED.newest ? ['newest'] : []),
        ...(batch === 'new' && i >= BATCH_SIZE - CLUSTERED.few ? ['few'] : []),
        ...(batch === 'old' && i === 7 ? ['rare'] : []),
      ].map((value) => ({ key: 'a', value })),
    }));
    await postBatch(api, project.keys.producer, batch, objects);
  }
});
afterAll(() => api.stop());

const page = async (query: Record<string, string>, key = project.keys.analyst): Promise<PageBody<ObjectBody>> => {
  const reply = await api.call('GET', address('/objects', { count: 'estimated', ...query }), { key });
  return reply.json<PageBody<ObjectBody>>();
};
const dataOf = (value: string): string => JSON.stringify({ a: value });

describe('count=estimated', () => {
  it.each(Object.entries(COUNTS))('is within a third of the number of matches: %s', async (value, expected) => {
    const { count, count_is } = await page({ data: dataOf(value) });
    if (count_is === 'exact') expect(count).toBe(expected);
    expect(count).toBeGreaterThan((expected * 2) / 3);
    expect(count).toBeLessThan((expected * 4) / 3 + 1);
  });

  it.each(Object.keys(CLUSTERED))(
    'is at least the matches of its page and at most the number of objects: %s',
    async (value) => {
      const { count, results } = await page({ data: dataOf(value), page_size: '100' });
      expect(results).toHaveLength(100);
      expect(count).toBeGreaterThan(100);
      expect(count).toBeLessThanOrEqual(20_000);
    },
  );

  it('is exact for all objects, for one batch, and where few objects match', async () => {
    const exact: [Record<string, string>, number][] = [
      [{}, 20_000],
      [{ batch_id: 'old' }, 10_000],
      [{ data: dataOf('rare') }, 1],
      [{ data: dataOf('never') }, 0],
      [{ data: dataOf('few'), page_size: '1000' }, CLUSTERED.few],
      [{ batch_id: 'old', data: dataOf('rare') }, 1],
    ];
    for (const [query, expected] of exact) {
      const { count, count_is } = await page(query);
      expect([query, count, count_is]).toEqual([query, expected, 'exact']);
    }
  });

  it('counts only the batch that the filter names', async () => {
    const { count, count_is } = await page({ batch_id: 'new', data: dataOf('one in five') });
    expect(count_is).toBe('estimated');
    expect(count).toBeGreaterThan(1_400);
    expect(count).toBeLessThan(2_600);
    expect((await page({ batch_id: 'old', data: dataOf('new') })).count).toBe(0);
  });

  it('is never less than the page and its position imply', async () => {
    const { count, results } = await page({ data: dataOf('newest'), page: '16', page_size: '100' });
    expect(results).toHaveLength(100);
    expect(count).toBeGreaterThan(1_600);
    const last = await page({ data: dataOf('newest'), page: '17', page_size: '100' });
    expect([last.results.length, last.count, last.count_is]).toEqual([44, CLUSTERED.newest, 'exact']);
  });

  it('is the same on every page', async () => {
    const query = { count: 'estimated', data: dataOf('one in five'), page_size: '1000' };
    const pages = await pagesFrom<ObjectBody>(api, project.keys.analyst, address('/objects', query));
    expect(pages).toHaveLength(4);
    expect(new Set(pages.map((one) => one.count)).size).toBe(1);
  });

  it('does not include objects of another project', async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'own', [{ object_id: 'own', data: { a: 'own' } }]);
    await api.db.sql('ANALYZE objects');
    const { count, count_is } = await page({ data: dataOf('old') }, other.keys.analyst);
    expect([count, count_is]).toEqual([0, 'exact']);
  });
});
