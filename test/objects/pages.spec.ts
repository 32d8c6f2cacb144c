import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
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
  type PageBody,
  type ProblemBody,
} from './wire.js';

const COUNT_CAP = 20;

let api: TestApi;
/** A project with 25 objects, o-0 to o-24, in the batches b-0 to b-4, stored in this order. */
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ COUNT_CAP: String(COUNT_CAP), PAGE_SIZE: '7', PAGE_SIZE_MAX: '30' });
  project = await api.project();
  for (let batch = 0; batch < 5; batch++) {
    const numbers = [0, 1, 2, 3, 4].map((i) => batch * 5 + i);
    const objects = numbers.map((n) => ({ object_id: `o-${String(n)}`, data: { even: n % 2 === 0, n } }));
    await postBatch(api, project.keys.producer, `b-${String(batch)}`, objects);
  }
});
afterAll(() => api.stop());

const NEWEST_FIRST = Array.from({ length: 25 }, (_, i) => `o-${String(24 - i)}`);
const get = (url: string, key = project.keys.analyst): Promise<Reply> => api.call('GET', url, { key });
const page = async (url: string): Promise<PageBody<ObjectBody>> => {
  const reply = await get(url);
  if (reply.status !== 200) throw new Error(reply.text);
  return reply.json<PageBody<ObjectBody>>();
};
const ids = ({ results }: PageBody<ObjectBody>): string[] => results.map((one) => one.object_id);

describe('a page of a list', () => {
  it('has PAGE_SIZE results, newest first, and absolute URLs of the next and the previous page', async () => {
    const first = await page('/objects');
    expect(ids(first)).toEqual(NEWEST_FIRST.slice(0, 7));
    expect(first.previous).toBeNull();
    expect(first.next).toMatch(new RegExp(`^${api.origin}/api/v1/objects\\?cursor=`));
    expect(Object.keys(first)).toEqual(['count', 'count_is', 'next', 'previous', 'results']);
    expect(Object.keys(first.results[0] ?? {})).toEqual(['object_id', 'batch_id', 'subject', 'observed_at', 'data']);
  });

  it.each([1, 2, 5, 7, 12, 24, 25, 26, 30])('contains every object once with page_size=%d', async (size) => {
    const pages = await pagesFrom<ObjectBody>(api, project.keys.analyst, `/objects?page_size=${String(size)}`);
    expect(pages.flatMap(ids)).toEqual(NEWEST_FIRST);
    expect(pages).toHaveLength(Math.ceil(25 / size));
    for (const one of pages.slice(0, -1)) expect(one.results).toHaveLength(size);
  });

  it.each([
    '/objects?page_size=5',
    '/objects?page_size=4',
    address('/objects', { data: '{"even":true}', page_size: '3' }),
  ])('%s returns the same pages backwards through previous', async (start) => {
    const forwards = await pagesFrom<ObjectBody>(api, project.keys.analyst, start);
    let last = forwards.at(-1);
    const backwards = [];
    while (last !== undefined) {
      backwards.unshift(ids(last));
      last = last.previous === null ? undefined : await page(last.previous);
    }
    expect(backwards).toEqual(forwards.map(ids));
  });

  it('can be requested by number, and its links continue from there', async () => {
    const third = await page('/objects?page=3&page_size=4');
    expect(ids(third)).toEqual(NEWEST_FIRST.slice(8, 12));
    expect(ids(await page(third.next ?? ''))).toEqual(NEWEST_FIRST.slice(12, 16));
    expect(ids(await page(third.previous ?? ''))).toEqual(NEWEST_FIRST.slice(4, 8));
    expect(third.next).not.toContain('page=3');
  });

  it('has no next on the last page, even when that page is full', async () => {
    const last = await page('/objects?page=5&page_size=5');
    expect(ids(last)).toEqual(NEWEST_FIRST.slice(20));
    expect(last.next).toBeNull();
    expect((await page('/objects?page_size=25')).next).toBeNull();
  });

  it('has no results beyond the last page', async () => {
    const beyond = await page('/objects?page=1000000000&page_size=30');
    expect([beyond.results, beyond.next]).toEqual([[], null]);
  });

  it('has no results where nothing matches', async () => {
    const nothing = { count: 0, count_is: 'exact', next: null, previous: null, results: [] };
    expect(await page(address('/objects', { data: '{"even":"true"}' }))).toEqual(nothing);
    expect(await page('/objects?batch_id=never')).toEqual(nothing);
    expect(await page(address('/batches', { data: '{"even":"true"}' }))).toEqual(nothing);
    expect(await page('/batches?batch_id=never')).toEqual(nothing);
  });

  it('keeps every parameter in its links', async () => {
    const filter = { data: '{"even":true}', key: 'n', observed_from: '2024-01-01T00:00:00Z', count: 'none' };
    const first = await page(address('/objects', { ...filter, page_size: '3' }));
    const next = new URL(first.next ?? '');
    next.searchParams.delete('cursor');
    expect(Object.fromEntries(next.searchParams)).toEqual({ ...filter, page_size: '3' });
    expect(ids(await page(first.next ?? ''))).toEqual(['o-18', 'o-16', 'o-14']);
  });

  it('accepts a trailing slash', async () => {
    expect(ids(await page('/objects/?page_size=2'))).toEqual(['o-24', 'o-23']);
  });
});

describe('the count', () => {
  const count = async (parameters: Record<string, string>, path = '/objects'): Promise<unknown[]> => {
    const { count: number, count_is } = await page(address(path, parameters));
    return [number, count_is];
  };

  it('is exact without a filter and for one batch, also beyond COUNT_CAP', async () => {
    expect(await count({})).toEqual([25, 'exact']);
    const other = await api.project();
    const objects = Array.from({ length: 2 * COUNT_CAP }, (_, i) => ({ object_id: String(i), data: { a: 1 } }));
    await postBatch(api, other.keys.producer, 'b', objects);
    await postBatch(api, other.keys.producer, 'c', [{ object_id: 'one more', data: {} }]);
    for (const [start, expected] of [
      ['/objects', 2 * COUNT_CAP + 1],
      ['/objects?batch_id=b', 2 * COUNT_CAP],
      ['/objects?batch_id=b&count=estimated&page=3', 2 * COUNT_CAP],
      ['/objects?batch_id=never', 0],
    ] as const) {
      const body = (await get(start, other.keys.analyst)).json<PageBody<ObjectBody>>();
      expect([start, body.count, body.count_is]).toEqual([start, expected, 'exact']);
    }
  });

  it('of all objects is exact on every page, also on an empty one', async () => {
    const all = [25, 'exact'];
    for (const mode of ['capped', 'exact', 'estimated']) {
      const query = new URLSearchParams({ page_size: '2', ...(mode === 'capped' ? {} : { count: mode }) });
      const first = await page(`/objects?${query.toString()}`);
      const second = await page(first.next ?? '');
      const beyond = await page(`/objects?${query.toString()}&page=1000`);
      const last = await page(beyond.previous ?? '');
      const pages = [first, second, await page(second.previous ?? ''), beyond, last];
      expect(pages.map(({ count: number, count_is }) => [number, count_is])).toEqual([all, all, all, all, all]);
      expect(pages.map(ids)).toEqual([
        NEWEST_FIRST.slice(0, 2),
        NEWEST_FIRST.slice(2, 4),
        NEWEST_FIRST.slice(0, 2),
        [],
        NEWEST_FIRST.slice(-2),
      ]);
    }
  });

  it('of all objects includes every write before the request, and nothing of other projects', async () => {
    const { keys } = await api.project();
    const counted = async (): Promise<unknown> => {
      const {
        count: number,
        count_is,
        results,
      } = (await get('/objects?page_size=30', keys.analyst)).json<PageBody<ObjectBody>>();
      expect([number, count_is]).toEqual([results.length, 'exact']);
      return number;
    };
    expect(await counted()).toBe(0);
    await postBatch(api, keys.producer, 'b', [
      { object_id: 'x', data: { a: 1 } },
      { object_id: 'y', data: { a: 2 } },
    ]);
    expect(await counted()).toBe(2);
    const body = { batch_id: 'b', object_id: 'z', data: {} };
    expect((await api.call('POST', '/objects', { key: keys.producer, body })).status).toBe(201);
    expect(await counted()).toBe(3);
    expect((await api.call('DELETE', '/objects/x', { key: keys.admin })).status).toBe(204);
    expect(await counted()).toBe(2);
    expect((await api.call('DELETE', '/batches/b?cascade=true', { key: keys.admin })).status).toBe(204);
    expect(await counted()).toBe(0);
  });

  it('is exact for a pair and a key, also beyond COUNT_CAP', async () => {
    const key = await count({ key: 'n' });
    expect(key).toEqual([expect.any(Number), 'exact']);
    expect(key[0]).toBeGreaterThan(COUNT_CAP);
    expect(await count({ key: 'n', count: 'exact' })).toEqual(key);
  });

  it('is exact up to COUNT_CAP with another filter, and at_least beyond it', async () => {
    expect(await count({ data: '{"even":true}' })).toEqual([13, 'exact']);
    expect(await count({ data: '{"even":true}', page_size: '1' })).toEqual([13, 'exact']);
    const all = { data: '{"n":{"$gte":0}}' };
    expect(await count(all)).toEqual([COUNT_CAP, 'at_least']);
    expect(await count({ ...all, page_size: '30' })).toEqual([COUNT_CAP, 'at_least']);
    expect(await count({ batch_id: 'b-1' })).toEqual([5, 'exact']);
  });

  it('is exact at COUNT_CAP', async () => {
    const other = await api.project();
    const objects = Array.from({ length: COUNT_CAP }, (_, i) => ({ object_id: String(i), data: { a: 1 } }));
    await postBatch(api, other.keys.producer, 'b', objects);
    for (const start of ['/objects', '/objects?key=a', '/objects?batch_id=b']) {
      const body = (await get(start, other.keys.analyst)).json<PageBody<ObjectBody>>();
      expect([body.count, body.count_is]).toEqual([COUNT_CAP, 'exact']);
    }
  });

  it('is exact beyond COUNT_CAP with count=exact', async () => {
    expect(await count({ count: 'exact' })).toEqual([25, 'exact']);
    expect(await count({ count: 'exact', key: 'n' })).toEqual([25, 'exact']);
    expect(await count({ count: 'exact', data: '{"even":false}', page_size: '1' })).toEqual([12, 'exact']);
    expect(await count({ count: 'exact' }, '/batches')).toEqual([5, 'exact']);
  });

  it('is null with count=none', async () => {
    expect(await count({ count: 'none' })).toEqual([null, undefined]);
    expect(await count({ count: 'none', data: '{"n":3}' })).toEqual([null, undefined]);
    expect(await count({ count: 'none' }, '/batches')).toEqual([null, undefined]);
  });

  it('is exact with count=estimated where an exact count costs no more', async () => {
    const exact: [Record<string, string>, number][] = [
      [{}, 25],
      [{ data: '{"n":3}' }, 1],
      [{ data: '{"n":"never"}' }, 0],
      [{ key: 'n' }, 25],
      [{ batch_id: 'b-1' }, 5],
      [{ batch_id: 'b-1', key: 'n' }, 5],
    ];
    for (const [filter, expected] of exact) {
      expect(await count({ count: 'estimated', ...filter, page_size: '30' })).toEqual([expected, 'exact']);
      expect(await count({ count: 'estimated', ...filter }, '/batches')).toEqual([expect.any(Number), 'exact']);
    }
  });

  it('is the same on every page', async () => {
    const pages = await pagesFrom(api, project.keys.analyst, '/objects?key=even&value=false&page_size=5');
    expect(pages.map((one) => [one.count, one.count_is])).toEqual([
      [12, 'exact'],
      [12, 'exact'],
      [12, 'exact'],
    ]);
  });
});

describe('invalid parameters', () => {
  it.each([
    ['page=0', 'page'],
    ['page=-1', 'page'],
    ['page=1.5', 'page'],
    ['page=x', 'page'],
    ['page=', 'page'],
    ['page=1&page=2', 'page'],
    ['page=1000000001', 'page'],
    ['page_size=0', 'page_size'],
    ['page_size=31', 'page_size'],
    ['page_size=99999999999999999999', 'page_size'],
    ['count=all', 'count'],
    ['count=', 'count'],
    ['limit=3', 'limit'],
    ['sort=x', 'sort'],
    ['pagesize=3', 'pagesize'],
    ['__proto__=3', '__proto__'],
  ])('rejects %s and names the parameter', async (query, parameter) => {
    for (const path of ['/objects', '/batches']) {
      const reply = await get(`${path}?${query}`);
      expect(kindOf(reply)).toBe('400 invalid-query');
      expect(places(reply)).toEqual([parameter]);
    }
  });

  it('rejects a page_size over PAGE_SIZE_MAX and names the setting', async () => {
    const reply = await get('/objects?page_size=31');
    expect(reply.json<ProblemBody>().detail).toContain('30 (PAGE_SIZE_MAX)');
  });

  it('rejects page together with cursor', async () => {
    const next = (await page('/objects?page_size=2')).next ?? '';
    const reply = await get(`${next}&page=2`);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-query', 'page']);
  });

  it.each([
    '',
    'x',
    'n',
    'n1',
    'n1.',
    'n.abc',
    'x1.AAAAAAAAAAAA',
    'n1.AAAAAAAAAAAA',
    'n-1.AAAAAAAAAAAA',
    'nzzzzzzzzzzzzz.AAAAAAAAAAAA',
    'n00000000000000000000.AAAAAAAAAAAA',
    "n1';--.AAAAAAAAAAAA",
    '\u0000',
    '👢',
  ])('rejects a cursor that the server did not issue: "%s"', async (cursor) => {
    for (const path of ['/objects', '/batches']) {
      const reply = await get(address(path, { cursor }));
      expect(kindOf(reply)).toBe('400 invalid-cursor');
      expect(places(reply)).toEqual(['cursor']);
    }
  });

  it('rejects a cursor of another filter, list or project', async () => {
    const cursorOf = async (url: string): Promise<string> =>
      new URL((await page(url)).next ?? '').searchParams.get('cursor') ?? '';
    const all = await cursorOf('/objects?page_size=2');
    const even = await cursorOf(address('/objects', { data: '{"even":true}', page_size: '2' }));
    const batches = await cursorOf('/batches?page_size=2');
    const refused = [
      address('/objects', { cursor: even }),
      address('/objects', { cursor: batches }),
      address('/batches', { cursor: all }),
      address('/objects', { cursor: even, data: '{"even":false}' }),
      address('/objects', { cursor: even, data: '{"even":true}', match: 'any' }),
      address('/objects', { cursor: all, key: 'n' }),
      address('/objects', { cursor: all, batch_id: 'b-1' }),
    ];
    for (const url of refused) {
      const reply = await get(url);
      expect([url, kindOf(reply), ...places(reply)]).toEqual([url, '400 invalid-cursor', 'cursor']);
    }
    const other = await api.project();
    const reply = await get(address('/objects', { cursor: all }), other.keys.analyst);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-cursor', 'cursor']);
    expect((await get(address('/objects', { cursor: all, page_size: '9', count: 'none' }))).status).toBe(200);
  });
});

describe('pages while data changes', () => {
  it('continue where the previous page ended when objects around the cursor are deleted', async () => {
    const { keys } = await api.project();
    const objects = Array.from({ length: 9 }, (_, i) => ({ object_id: `x${String(9 - i)}`, data: { a: 1 } }));
    await postBatch(api, keys.producer, 'b', objects);
    for (const start of ['/objects?page_size=3', '/objects?page_size=3&key=a']) {
      const first = (await get(start, keys.analyst)).json<PageBody<ObjectBody>>();
      const [, second = '', third = ''] = ids(first);
      // The object at the cursor's position, and one after it.
      const gone = [third, `x${String(Number(third.slice(1)) + 1)}`];
      for (const id of gone) await api.call('DELETE', `/objects/${id}`, { key: keys.admin });
      const rest = await allOf<ObjectBody>(api, keys.analyst, first.next ?? '');
      const left = await allOf<ObjectBody>(api, keys.analyst, start);
      expect(rest.map((one) => one.object_id)).toEqual(left.slice(2).map((one) => one.object_id));
      const next = (await get(first.next ?? '', keys.analyst)).json<PageBody<ObjectBody>>();
      const back = (await get(next.previous ?? '', keys.analyst)).json<PageBody<ObjectBody>>();
      expect(ids(back).slice(-1)).toEqual([second]);
    }
  });

  it('have a previous link when they have become empty', async () => {
    const { keys } = await api.project();
    const objects = Array.from({ length: 4 }, (_, i) => ({ object_id: `y${String(i)}`, data: [] }));
    await postBatch(api, keys.producer, 'b', objects);
    const first = (await get('/objects?page_size=2', keys.analyst)).json<PageBody<ObjectBody>>();
    for (const id of ['y0', 'y1']) await api.call('DELETE', `/objects/${id}`, { key: keys.admin });
    const second = (await get(first.next ?? '', keys.analyst)).json<PageBody<ObjectBody>>();
    expect([second.results, second.next]).toEqual([[], null]);
    const back = (await get(second.previous ?? '', keys.analyst)).json<PageBody<ObjectBody>>();
    expect(ids(back)).toEqual(['y3', 'y2']);
  });

  it('contain each object exactly once while four writers post batches', async () => {
    const { keys } = await api.project();
    const mine = Array.from({ length: 100 }, (_, i) => ({ object_id: `mine-${String(i)}`, data: { a: 1 } }));
    await postBatch(api, keys.producer, 'mine', mine);
    let reading = true;
    const write = async (writer: string): Promise<number> => {
      let batches = 0;
      for (; reading && batches < 40; batches++) {
        const name = `${writer}-${String(batches)}`;
        const objects = Array.from({ length: 10 }, (_, i) => ({ object_id: `${name}-${String(i)}`, data: { a: 1 } }));
        await postBatch(api, keys.producer, name, objects);
      }
      return batches;
    };
    const writers = Promise.all(['w1', 'w2', 'w3', 'w4'].map(write));
    for (const start of [
      '/objects?page_size=20',
      '/objects?page_size=20&key=a',
      '/objects?page_size=20&value=1&count=none',
    ]) {
      const seen = await allOf<ObjectBody>(api, keys.analyst, start);
      const seenIds = seen.map((one) => one.object_id);
      expect(new Set(seenIds).size).toBe(seenIds.length);
      expect(seenIds.filter((id) => id.startsWith('mine'))).toEqual(mine.map((one) => one.object_id).reverse());
    }
    const seenBatches = await allOf<BatchBody>(api, keys.analyst, '/batches?page_size=5');
    expect(new Set(seenBatches.map((one) => one.batch_id)).size).toBe(seenBatches.length);
    reading = false;
    const written = (await writers).reduce((sum, batches) => sum + batches, 0);
    const all = await get('/objects?count=exact', keys.analyst);
    expect(all.json<PageBody<ObjectBody>>().count).toBe(100 + written * 10);
    expect(written).toBeGreaterThan(4);
  });
});
