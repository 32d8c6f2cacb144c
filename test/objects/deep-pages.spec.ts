import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { address, pagesFrom, postBatch, type ObjectBody, type PageBody } from './wire.js';

/**
 * A list is read by the inverted index. Without it, as long as it is being built, a list scans the newest objects for frequent
 * matches and uses the GIN index for rare ones, in steps of 1,000 to 30,000 objects. The steps must not affect the result: a list is
 * the same in pages of any size, for any distribution of its matches.
 */
const BATCH_SIZE = 1_500;
const COUNT = 6 * BATCH_SIZE;

/** Which objects have the pair; they are numbered from the oldest. */
const KINDS: Record<string, (n: number) => boolean> = {
  'one in three': (n) => n % 3 === 0,
  'one in 97': (n) => n % 97 === 5,
  'one in 2,500': (n) => n % 2_500 === 17,
  'only the oldest': (n) => n === 0,
  'only the newest': (n) => n === COUNT - 1,
  'the 30 oldest': (n) => n < 30,
  'the 1,300 oldest': (n) => n < 1_300,
  'the 30 newest': (n) => n >= COUNT - 30,
  'the 2,040 newest': (n) => n >= COUNT - 2_040,
  'exactly 1,000 in the middle': (n) => n >= 4_000 && n < 5_000,
  'exactly 1,001 in the middle': (n) => n >= 4_000 && n < 5_001,
  'the 5 newest and the 25 oldest': (n) => n >= COUNT - 5 || n < 25,
  'the 11 newest and the 1,200 oldest': (n) => n >= COUNT - 11 || n < 1_200,
  'one on each side of both ends of the newest 2,000': (n) => [COUNT - 1, COUNT - 2_000, COUNT - 2_001, 0].includes(n),
  all: () => true,
  none: () => false,
};
const kinds = Object.keys(KINDS);

/** The numbers of the objects that have the pair, newest first. */
const numbers = new Map(
  kinds.map((kind) => {
    const has = KINDS[kind] ?? (() => false);
    return [kind, Array.from({ length: COUNT }, (_, i) => COUNT - 1 - i).filter(has)];
  }),
);

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  // No worker, which would build the index.
  api = await TestApi.start({ WORKER: 'separate' });
  project = await api.project();
  for (let start = 0; start < COUNT; start += BATCH_SIZE) {
    const objects = Array.from({ length: BATCH_SIZE }, (_, i) => {
      const n = start + i;
      const pairs = kinds.flatMap((kind, place) => (KINDS[kind]?.(n) === true ? [[`k${String(place)}`, 1]] : []));
      return { object_id: String(n), data: Object.fromEntries(pairs) as object };
    });
    await postBatch(api, project.keys.producer, `batch-${String(start)}`, objects);
  }
});
afterAll(() => api.stop());

describe.each([
  ['by the index', 1_000],
  ['without the index', 50],
  ['without the index', 1_000],
  ['without the index', 1_200],
])('%s, with COUNT_CAP=%d', (way, countCap) => {
  const isIndexed = way === 'by the index';
  /** Another server on the same database. */
  let server: TestApi;

  beforeAll(async () => {
    server = await api.another({ COUNT_CAP: String(countCap), WORKER: 'separate' });
    await api.db.sql(`DELETE FROM index_builds`);
    if (!isIndexed) {
      await api.db.sql(`INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)`, [project.projectId]);
    }
  });
  afterAll(() => server.stop());

  const objectsOf = (query: Record<string, string>): string => `${server.origin}/api/v1${address('/objects', query)}`;
  const filterOf = (kind: string): Record<string, string> => ({ data: `{"k${String(kinds.indexOf(kind))}":1}` });
  const read = async (url: string): Promise<PageBody<ObjectBody>> => {
    const reply = await api.call('GET', url, { key: project.keys.analyst });
    if (reply.status !== 200) throw new Error(`${url}: ${reply.text}`);
    return reply.json<PageBody<ObjectBody>>();
  };
  const numbersOf = (page: PageBody<ObjectBody>): number[] => page.results.map((one) => Number(one.object_id));

  it.each(kinds)('counts %s', async (kind) => {
    const { length } = numbers.get(kind) ?? [];
    for (const page_size of ['1', '10', '1000']) {
      const page = await read(objectsOf({ ...filterOf(kind), page_size }));
      const expected = length > countCap && !isIndexed ? [countCap, 'at_least'] : [length, 'exact'];
      expect([page.count, page.count_is]).toEqual(expected);
    }
    const exact = await read(objectsOf({ ...filterOf(kind), count: 'exact' }));
    expect([exact.count, exact.count_is]).toEqual([length, 'exact']);
  });

  // Pages are selected before the count, so one cap is enough for them.
  if (countCap !== 1_000) return;

  it.each(kinds)('returns %s in pages, forwards and backwards', async (kind) => {
    const expected = numbers.get(kind) ?? [];
    // Large lists are read in large pages only: the positions where pages begin matter, not their number.
    for (const [size, max] of [
      [7, 40],
      [100, 1_301],
      [999, COUNT],
    ] as const) {
      if (expected.length > max) continue;
      const count: Record<string, string> = size === 100 ? { count: 'none' } : {};
      const start = objectsOf({ ...filterOf(kind), ...count, page_size: String(size) });
      const pages = await pagesFrom<ObjectBody>(api, project.keys.analyst, start);
      expect(pages.map(numbersOf)).toEqual(chunks(expected, size));
      const backwards: number[][] = [];
      let page = pages.at(-1);
      while (page !== undefined) {
        backwards.unshift(numbersOf(page));
        page = page.previous === null ? undefined : await read(page.previous);
      }
      expect(backwards).toEqual(chunks(expected, size));
    }
  });

  it.each(kinds)('returns pages of %s by number, and by their links', async (kind) => {
    const expected = numbers.get(kind) ?? [];
    const last = Math.ceil(expected.length / 10);
    const pages = [2, 90, 99, 100, 101, 102, 130, 200, 204, last - 1, last, last + 1].map(
      (page) => [page, 10] as const,
    );
    // These pages end at the 1,000th, the 1,001st and the 2,000th match.
    for (const [number, size] of [...pages, [25, 40], [143, 7], [77, 13], [250, 8]] as const) {
      const start = (number - 1) * size;
      if (number < 2 || start > expected.length + size) continue;
      const page = await read(objectsOf({ ...filterOf(kind), page: String(number), page_size: String(size) }));
      expect(numbersOf(page)).toEqual(expected.slice(start, start + size));
      expect(page.next === null).toBe(start + size >= expected.length);
      if (page.next !== null) {
        expect(numbersOf(await read(page.next))).toEqual(expected.slice(start + size, start + 2 * size));
      }
      if (page.previous !== null && page.results.length > 0) {
        expect(numbersOf(await read(page.previous))).toEqual(expected.slice(start - size, start));
      }
    }
  });

  it('returns the same objects for one batch and for two pairs', async () => {
    const within = await pagesFrom<ObjectBody>(
      api,
      project.keys.analyst,
      objectsOf({ ...filterOf('one in 97'), batch_id: 'batch-3000', page_size: '4' }),
    );
    expect(within.flatMap(numbersOf)).toEqual((numbers.get('one in 97') ?? []).filter((n) => n >= 3_000 && n < 4_500));
    const both = await pagesFrom<ObjectBody>(
      api,
      project.keys.analyst,
      objectsOf({ data: '{"k0":1,"k1":1}', page_size: '10' }),
    );
    expect(both.flatMap(numbersOf)).toEqual((numbers.get('one in 97') ?? []).filter((n) => n % 3 === 0));
  });
});

function chunks(list: readonly number[], size: number): number[][] {
  const found: number[][] = [];
  for (let start = 0; start === 0 || start < list.length; start += size) found.push(list.slice(start, start + size));
  return found;
}
