import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { allOf, pagesFrom, type BatchBody, type ObjectBody, type PageBody, type WholeBatchBody } from './wire.js';

/** 0.9 MB of random text, which does not compress: a page holds three such objects, not four. */
const LARGE = randomBytes(450_000).toString('hex');
const PAGE_BYTES_MAX = 2_400_000;
const IDS = ['a', 'b', 'c', 'd'];

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ PAGE_BYTES_MAX: String(PAGE_BYTES_MAX) });
  project = await api.project();
  for (const [index, ids] of [IDS.slice(0, 2), IDS.slice(2)].entries()) {
    const objects = ids.map((id) => ({ object_id: id, subject: 'heavy', data: { id, text: LARGE } }));
    const options = { key: project.keys.producer, body: { batch_id: 'large', objects } };
    const [method, path] =
      index === 0 ? (['POST', '/batches'] as const) : (['PUT', '/batches/large?on_conflict=skip'] as const);
    const reply = await api.call(method, path, options);
    expect([reply.status, reply.text.slice(0, 200)]).toEqual([index === 0 ? 201 : 200, expect.any(String)]);
  }
});
afterAll(() => api.stop());

/** The URL of a page, with page_size raised to the maximum. */
const withMaxPageSize = (url: string | null): string => (url ?? '').replace('page_size=1', 'page_size=1000');
const get = (path: string): Promise<Reply> => api.call('GET', path, { key: project.keys.analyst });
const idsOf = (objects: { object_id: string }[]): string[] => objects.map((one) => one.object_id);

describe('objects of almost a megabyte', () => {
  it.each(['', '&page=1', '&key=id', '&subject=heavy', '&batch_id=large'])(
    'are rejected as a page over PAGE_BYTES_MAX: %s',
    async (parameters) => {
      const problem = expectProblem(await get(`/objects?page_size=4${parameters}`), 'invalid-query');
      expect(placesOf(problem)).toEqual(['page_size']);
      expect(problem.detail).toContain('PAGE_BYTES_MAX');
    },
  );

  it('are returned in pages below PAGE_BYTES_MAX', async () => {
    const all = await allOf<ObjectBody>(api, project.keys.analyst, '/objects?page_size=2');
    expect(idsOf(all)).toEqual(IDS.toReversed());
    expect(all[0]?.data[1]?.value === LARGE).toBe(true);
    const [oldest] = (await get('/objects?page_size=1&page=4')).json<PageBody<ObjectBody>>().results;
    expect(oldest?.object_id).toBe('a');
  });

  it.each(['', '&key=id', '&subject=heavy'])('are returned by cursor on pages that end early: %s', async (filter) => {
    const first = (await get(`/objects?page_size=1${filter}`)).json<PageBody<ObjectBody>>();
    const forwards = await pagesFrom<ObjectBody>(api, project.keys.analyst, withMaxPageSize(first.next));
    expect(forwards.map((page) => idsOf(page.results))).toEqual([['c', 'b', 'a']]);
    const last = (await get(`/objects?page_size=1&page=4${filter}`)).json<PageBody<ObjectBody>>();
    const backwards = (await get(withMaxPageSize(last.previous))).json<PageBody<ObjectBody>>();
    expect(idsOf(backwards.results)).toEqual(['d', 'c', 'b']);
  });

  it('are returned in a sorted list on pages that end early, across objects with a value and without one', async () => {
    const { keys } = await api.project();
    const objects = ['a', 'b', 'c', 'd', 'e', 'f'].map((id, index) => {
      return { object_id: id, data: { text: LARGE, ...(index < 3 ? { rank: index } : {}) } };
    });
    const posted = await api.call('POST', '/batches', { key: keys.producer, body: { batch_id: 'sorted', objects } });
    expect(posted.status).toBe(201);
    const read = async (path: string): Promise<PageBody<ObjectBody>> =>
      (await api.call('GET', path, { key: keys.analyst })).json<PageBody<ObjectBody>>();
    const list = '/objects?page_size=1&sort=data.rank';

    const forwards = await pagesFrom<ObjectBody>(api, keys.analyst, withMaxPageSize((await read(list)).next));
    expect(forwards.map((page) => idsOf(page.results))).toEqual([
      ['b', 'c', 'd'],
      ['e', 'f'],
    ]);
    const middle = await read(withMaxPageSize((await read(`${list}&page=6`)).previous));
    const start = await read(middle.previous ?? '');
    expect([middle, start].map((page) => idsOf(page.results))).toEqual([
      ['c', 'd', 'e'],
      ['a', 'b'],
    ]);
    expect(start.results[0]?.data[0]?.value === LARGE).toBe(true);
  });

  it('are all returned with their batch, and only some of many in lists of batches', async () => {
    const { keys } = await api.project();
    const ids = Array.from({ length: 12 }, (_, index) => `many-${String(index).padStart(2, '0')}`);
    const objects = ids.map((id) => ({ object_id: id, data: { text: LARGE } }));
    const posted = await api.call('POST', '/batches', { key: keys.producer, body: { batch_id: 'many', objects } });
    expect(posted.status).toBe(201);
    const read = (path: string): Promise<Reply> => api.call('GET', path, { key: keys.analyst });
    expect(idsOf((await read('/batches/many')).json<WholeBatchBody>().objects)).toEqual(ids);
    const [batch] = (await read('/batches?include=objects')).json<PageBody<BatchBody>>().results;
    const nested = idsOf(batch?.objects ?? []);
    expect(nested.length).toBeGreaterThan(0);
    expect(nested.length).toBeLessThan(ids.length);
    const rest = await allOf<ObjectBody>(api, keys.analyst, `${batch?.objects_next ?? ''}&page_size=2`);
    expect([...nested, ...idsOf(rest)]).toEqual(ids);
  });
});

describe('objects with long numbers', () => {
  it('are limited by the size of their text, not by the stored size', async () => {
    const { keys } = await api.project();
    const numbers = Array.from({ length: 10 }, () => '{"key":"n","value":1e39000}').join();
    const objects = Array.from({ length: 20 }, (_, n) => `{"object_id":"${String(n)}","data":[${numbers}]}`).join();
    for (const part of [1, 2]) {
      const body = `{"batch_id":"${String(part)}","objects":[${objects.replaceAll('"object_id":"', `"object_id":"${String(part)}-`)}]}`;
      expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
    }
    const read = (path: string): Promise<Reply> => api.call('GET', path, { key: keys.analyst });
    expectProblem(await read('/objects?page_size=40'), 'invalid-query');
    const first = (await read('/objects?page_size=1')).json<PageBody<ObjectBody>>();
    const page = await read(withMaxPageSize(first.next));
    expect([page.status, page.text.length < 1.5 * PAGE_BYTES_MAX]).toEqual([200, true]);
    expect(page.json<PageBody<ObjectBody>>().results.length).toBeGreaterThan(3);
    expect((await read('/batches/1')).text.length).toBeGreaterThan(7_800_000);
  });
});
