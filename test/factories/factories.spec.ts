import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';

interface Factory {
  id: string;
  factory: { chart_data: Chart };
}
type Chart = Record<string, unknown>;

const CHART = {
  sprocket_production_actual: [32, 29, 31],
  sprocket_production_goal: [32, 30, -1.5],
  time: [1611194818, 1611194818, 0],
};
const FACTORY = { factory: { chart_data: CHART } };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'inline', PAGE_SIZE_MAX: '5', BODY_LIMIT_BYTES: '3000000' });
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

const post = (body: unknown): Promise<Reply> => api.call('POST', '/factories', { key: project.keys.producer, body });
const get = (path = '/factories', headers = {}): Promise<Reply> =>
  api.call('GET', path, { key: project.keys.analyst, headers });
const factories = (reply: Reply): Factory[] => reply.json<{ factories: Factory[] }>().factories;
const withoutIds = (list: Factory[]): object[] => list.map(({ factory }) => ({ factory }));
const chartOf = (changes: Chart): object => ({ factory: { chart_data: { ...CHART, ...changes } } });
const fileOf = (...actual: number[]): { factories: object[] } => ({
  factories: actual.map((one) => chartOf({ sprocket_production_actual: [one, one, one] })),
});

/** Returns the URL with this relation from the Link header. */
function linkTo(rel: string, reply: Reply): string | undefined {
  return new RegExp(`<([^>]*)>; rel="${rel}"`).exec(reply.headers.get('link') ?? '')?.[1];
}

describe('POST /factories', () => {
  it('stores a factory, generates its id, and returns its URL in Location', async () => {
    const reply = await post(FACTORY);
    expect([reply.status, reply.json()]).toEqual([201, { id: expect.stringMatching(/^\d+$/), ...FACTORY }]);
    const found = await get(reply.headers.get('location') ?? '');
    expect([found.status, found.text]).toEqual([200, reply.text]);
    expect((await get()).text).toBe(`{"factories":[${reply.text}]}`);
  });

  it('keeps every digit, even beyond the precision of a double, and the order of the points', async () => {
    const numbers = '"time":[2,1],"sprocket_production_goal":[1e300,0.10],"sprocket_production_actual":[0,1e-2]';
    const { text } = await post(`{"factory":{"chart_data":{${numbers}}}}`);
    expect(text).toContain('"sprocket_production_goal":[1e300,0.10],"time":[2,1]');
    expect(
      /_actual":\[0,0\.01\],"sprocket_production_goal":\[10{300},0\.10\],"time":\[2,1\]/.test((await get()).text),
    ).toBe(true);
  });

  it('stores a factory under the given id, and rejects other data for that id', async () => {
    const mine = { id: 'north', ...FACTORY };
    expect((await post(mine)).status).toBe(201);
    expect((await get('/factories/north')).json()).toEqual(mine);
    expect((await post(mine)).status).toBe(200);
    const other = { id: 'north', ...chartOf({ time: [1, 2, 3] }) };
    expect(placesOf(expectProblem(await post(other), 'conflict'))).toEqual(['/id']);
    const mixed = expectProblem(await post({ factories: [FACTORY, other] }), 'conflict');
    expect(placesOf(mixed)).toEqual(['/factories/1/id']);
    expect(factories(await get())).toEqual([mine]);
  });

  it.each<[unknown, string[]]>([
    [{}, ['/factory']],
    [{ factory: [] }, ['/factory']],
    [{ ...FACTORY, more: 1 }, ['/more']],
    [{ factory: { chart_data: null } }, ['/factory/chart_data']],
    [{ factory: { chart_data: CHART, more: 1 } }, ['/factory/more']],
    [chartOf({ more: [1] }), ['/factory/chart_data/more']],
    [chartOf({ constructor: [1] }), ['/factory/chart_data/constructor']],
    [chartOf({ time: undefined }), ['/factory/chart_data/time']],
    [chartOf({ time: [1, 2, 3.5] }), ['/factory/chart_data/time/2']],
    [chartOf({ time: [1, 2, -1] }), ['/factory/chart_data/time/2']],
    [chartOf({ time: [1, 2, 253402300800] }), ['/factory/chart_data/time/2']],
    [chartOf({ time: ['1', 2, 3] }), ['/factory/chart_data/time/0']],
    [chartOf({ time: [1, 2] }), ['/factory/chart_data/time']],
    [chartOf({ sprocket_production_goal: [] }), ['/factory/chart_data/sprocket_production_goal']],
    [chartOf({ sprocket_production_goal: [1, 2, 'nan'] }), ['/factory/chart_data/sprocket_production_goal/2']],
    [chartOf({ sprocket_production_goal: [1, 2, null] }), ['/factory/chart_data/sprocket_production_goal/2']],
    [chartOf({ sprocket_production_goal: [1, 2, [3]] }), ['/factory/chart_data/sprocket_production_goal/2']],
    [chartOf({ sprocket_production_goal: 'many' }), ['/factory/chart_data/sprocket_production_goal']],
    [chartOf({ sprocket_production_goal: [1, 2, 3, 4] }), ['/factory/chart_data/sprocket_production_goal']],
    [{ factories: 5 }, ['/factories']],
    [
      { factories: [FACTORY, chartOf({ time: ['nan', 2, 3] }), null] },
      ['/factories/1/factory/chart_data/time/0', '/factories/2'],
    ],
  ])('rejects %j with a pointer to each error, and stores nothing', async (body, pointers) => {
    expect(placesOf(expectProblem(await post(body), 'invalid-body'))).toEqual(pointers);
    expect((await get()).text).toBe('{"factories":[]}');
  });

  it('rejects a time with a fraction, even one too small for a double', async () => {
    const body = JSON.stringify(FACTORY).replace('1611194818', '1611194818.00000000000000000001');
    expect(placesOf(expectProblem(await post(body), 'invalid-body'))).toEqual(['/factory/chart_data/time/0']);
  });

  it('accepts 10,000 points, and rejects larger charts', async () => {
    const chart = (points: number): object => {
      const series = Array.from({ length: points }, () => 7);
      return chartOf({ sprocket_production_actual: series, sprocket_production_goal: series, time: series });
    };
    expect((await post(chart(10_000))).status).toBe(201);
    expect(placesOf(expectProblem(await post(chart(10_001)), 'invalid-body'))).toHaveLength(3);
    expect(placesOf(expectProblem(await post(chart(150_000)), 'invalid-body'))).toHaveLength(3);
    expect(expectProblem(await post(chart(400_000)), 'too-large').detail).toContain('object_limit_bytes');
    // Each has 1.3 MB as stored.
    const large = expectProblem(await post({ factories: [chart(9_000), chart(9_000), chart(9_000)] }), 'too-large');
    expect(large.detail).toContain('BODY_LIMIT_BYTES');
  });
});

describe('POST /factories with a list', () => {
  it('stores the factories in order, and reports them as unchanged when the list is sent again', async () => {
    const file = fileOf(3, 1, 2, 2);
    expect((await post(file)).json()).toEqual({ stored: 4, unchanged: 0 });
    const read = await get();
    expect(withoutIds(factories(read))).toEqual(file.factories);
    const again = await post(JSON.stringify(file, null, 4));
    expect([again.status, again.json()]).toEqual([200, { stored: 0, unchanged: 4 }]);
    expect((await get()).text).toBe(read.text);
    const withIds = await post(read.text);
    expect([withIds.status, withIds.json()]).toEqual([200, { stored: 0, unchanged: 4 }]);
  });

  it('stores all factories of a longer list as new factories', async () => {
    await post(fileOf(1));
    expect((await post(fileOf(1, 2))).json()).toEqual({ stored: 2, unchanged: 0 });
  });
});

describe('GET /factories', () => {
  it('returns each factory once over linked pages, in stored order, while more are stored', async () => {
    await post(fileOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    const all: object[] = [];
    let reply = await get();
    expect(linkTo('prev', reply)).toBeUndefined();
    expect(factories(reply)).toHaveLength(5);
    for (;;) {
      all.push(...withoutIds(factories(reply)));
      const next = linkTo('next', reply);
      if (next === undefined) break;
      if (all.length < 12) await post(fileOf(100 + all.length));
      reply = await get(next);
    }
    expect(all).toEqual([...fileOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 105, 110).factories]);
    const back = await get(linkTo('prev', reply));
    expect(withoutIds(factories(back))).toEqual(fileOf(6, 7, 8, 9, 10).factories);
    const first = await get(linkTo('prev', back));
    expect(withoutIds(factories(first))).toEqual(fileOf(1, 2, 3, 4, 5).factories);
    expect(linkTo('prev', first)).toBeUndefined();
    expect(factories(await get('/factories?page_size=2'))).toHaveLength(2);
  });

  it.each([
    ['?page_size=6', 'page_size'],
    ['?page=1', 'page'],
    ['?count=exact', 'count'],
  ])('rejects %s with an error at %s', async (query, name) => {
    expect(placesOf(expectProblem(await get(`/factories${query}`), 'invalid-query'))).toEqual([name]);
  });

  it('skips objects of the batch that are not factories', async () => {
    const pairs = (...list: [string, unknown][]): object[] => list.map(([key, value]) => ({ key, value }));
    const [actual, goal] = [
      ['sprocket_production_actual', 1],
      ['sprocket_production_goal', 2],
    ] as [string, unknown][];
    const objects = [
      { object_id: 'good', data: pairs(actual as never, ['name', 'north'], goal as never, ['time', 3]) },
      { object_id: 'short', data: pairs(actual as never, ['time', 3]) },
      { object_id: 'text', data: pairs(actual as never, goal as never, ['time', '3']) },
      { object_id: 'early', data: pairs(actual as never, goal as never, ['time', -3]) },
      { object_id: 'none', data: [] },
    ];
    const body = { batch_id: 'factories', objects };
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
    const chart_data = { sprocket_production_actual: [1], sprocket_production_goal: [2], time: [3] };
    expect(factories(await get())).toEqual([{ id: 'good', factory: { chart_data } }]);
    for (const { object_id } of objects.slice(1)) expectProblem(await get(`/factories/${object_id}`), 'not-found');
    await api.call('POST', '/sprockets', {
      key: project.keys.producer,
      body: { id: 'sprocket', teeth: 1, pitch: 1, pitch_diameter: 1, outside_diameter: 1 },
    });
    expectProblem(await get('/factories/sprocket'), 'not-found');
  });

  it('returns 304 when If-None-Match matches, and new data after a write', async () => {
    await post({ id: 'north', ...FACTORY });
    for (const path of ['/factories', '/factories/north']) {
      const first = await get(path);
      expect(first.headers.get('cache-control')).toBe('private, no-cache');
      const known = { 'If-None-Match': first.headers.get('etag') ?? 'none' };
      expect((await get(path, known)).status).toBe(304);
      const body = { data: { time: path.length } };
      const headers = { 'Content-Type': 'application/merge-patch+json' };
      await api.call('PATCH', '/objects/north', { key: project.keys.producer, body, headers });
      expect((await get(path, known)).status).not.toBe(304);
      await api.call('DELETE', '/objects/north', { key: project.keys.admin });
      await post({ id: 'north', ...FACTORY });
    }
  });
});

it('supports filters, deletion and jobs like any object', async () => {
  const { producer: key } = project.keys;
  const job = await submitJob(api, 'POST', '/factories', { key, body: fileOf(1, 2) });
  expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded', result: { stored: 2, unchanged: 0 } });
  const [one] = factories(await get());
  const found = await get('/objects?batch_id=factories&key=sprocket_production_actual&value=1');
  expect(found.json()).toMatchObject({ count: 1, results: [{ object_id: one?.id, subject: one?.id }] });
  expect((await api.call('DELETE', `/objects/${one?.id ?? ''}`, { key: project.keys.admin })).status).toBe(204);
  expect(factories(await get())).toHaveLength(1);
  expect((await post(fileOf(1, 2))).json()).toEqual({ stored: 1, unchanged: 1 });
});

it("hides another project's factories, and accepts the same ids and data", async () => {
  await post({ id: 'mine', ...FACTORY });
  await post(fileOf(1));
  project = await api.project();
  expect((await get()).text).toBe('{"factories":[]}');
  expectProblem(await get('/factories/mine'), 'not-found');
  expect((await post(fileOf(1))).json()).toEqual({ stored: 1, unchanged: 0 });
  expect((await post({ id: 'mine', ...FACTORY })).status).toBe(201);
});

describe('GET /factories with more data than PAGE_BYTES_MAX', () => {
  it('returns every factory once over several pages, in both directions', async () => {
    const heavy = await TestApi.start({ PAGE_BYTES_MAX: String(1024 * 1024) });
    try {
      const { keys } = await heavy.project();
      const points = Array.from({ length: 1_000 }, (_, at) => at);
      const ids = Array.from({ length: 40 }, (_, at) => `factory-${String(at)}`);
      for (const part of [ids.slice(0, 20), ids.slice(20)]) {
        const list = part.map((id) => {
          const values = points.map(() => Math.random());
          const chart = { sprocket_production_actual: values, sprocket_production_goal: values, time: points };
          return { id, factory: { chart_data: chart } };
        });
        const reply = await heavy.call('POST', '/factories', { key: keys.producer, body: { factories: list } });
        expect([reply.status, reply.text]).toEqual([201, '{"stored":20,"unchanged":0}']);
      }
      let lastLink = '/factories';
      const pages = async (first: Reply, rel: string): Promise<string[][]> => {
        const found = [first];
        for (let link = linkTo(rel, first); link !== undefined; link = linkTo(rel, found.at(-1) ?? first)) {
          found.push(await heavy.call('GET', link, { key: keys.analyst }));
          lastLink = link;
        }
        return found.map((page) => factories(page).map(({ id }) => id));
      };
      const forwards = await pages(await heavy.call('GET', '/factories', { key: keys.analyst }), 'next');
      expect(forwards.flat()).toEqual(ids);
      expect(forwards.length).toBeGreaterThan(1);
      const backwards = await pages(await heavy.call('GET', lastLink, { key: keys.analyst }), 'prev');
      expect(backwards.toReversed().flat()).toEqual(ids);
    } finally {
      await heavy.stop();
    }
  });
});
