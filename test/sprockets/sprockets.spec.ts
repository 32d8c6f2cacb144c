import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob, getJob } from '../jobs/jobs.js';
import type { PageBody } from '../objects/wire.js';

interface Sprocket {
  id: string;
  teeth: number;
}

const SPROCKET = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

/** Each describe block uses its own project. */
const useNewProject = async (): Promise<void> => {
  project = await api.project();
};
const post = (body: unknown, headers = {}): Promise<Reply> =>
  api.call('POST', '/sprockets', { key: project.keys.producer, body, headers });
const put = (id: string, body: unknown, headers = {}): Promise<Reply> =>
  api.call('PUT', `/sprockets/${encodeURIComponent(id)}`, { key: project.keys.producer, body, headers });
const get = (path: string, options: CallOptions = {}): Promise<Reply> =>
  api.call('GET', path, { key: project.keys.analyst, ...options });
const page = async (query = ''): Promise<PageBody<Sprocket>> =>
  (await get(`/sprockets${query}`)).json<PageBody<Sprocket>>();
const file = (...teeth: number[]): object => ({ sprockets: teeth.map((one) => ({ ...SPROCKET, teeth: one })) });

describe('POST /sprockets', () => {
  beforeAll(useNewProject);

  it('stores a sprocket, generates its id, and returns its URL in Location', async () => {
    const reply = await post(SPROCKET);
    expect([reply.status, reply.json()]).toEqual([201, { id: expect.stringMatching(/^\d+$/), ...SPROCKET }]);
    const found = await get(reply.headers.get('location') ?? '');
    expect([found.status, found.text]).toEqual([200, reply.text]);
  });

  it('keeps every digit, even beyond the precision of a double', async () => {
    const numbers = '"teeth":12345678901234567890,"pitch_diameter":0.1000,"outside_diameter":1e300,"pitch":1e-400';
    const created = await post(`{${numbers}}`);
    const { text } = await get(created.headers.get('location') ?? '');
    expect(text).toContain('"teeth":12345678901234567890,"pitch_diameter":0.1000,"outside_diameter":1000');
    expect(/"outside_diameter":10{300},"pitch":0\.0{399}1}$/.test(text)).toBe(true);
  });

  it('stores a sprocket under the given id, and rejects other data for that id', async () => {
    const mine = { id: 'a/b ü', ...SPROCKET };
    expect((await post(mine)).json()).toEqual(mine);
    expect((await get(`/sprockets/${encodeURIComponent('a/b ü')}`)).json()).toEqual(mine);
    const again = await post('{"id":"a/b ü","pitch":1.0,"teeth":5e0,"pitch_diameter":5,"outside_diameter":6}');
    expect([again.status, again.headers.has('location')]).toEqual([200, true]);
    for (const body of [{ ...mine, teeth: 6 }, { sprockets: [SPROCKET, { ...mine, teeth: 6 }] }]) {
      const problem = expectProblem(await post(body), 'conflict');
      expect(placesOf(problem)).toEqual(['sprockets' in body ? '/sprockets/1/id' : '/id']);
    }
    const before = (await page()).count;
    const twice = {
      sprockets: [
        { id: 'twice', ...SPROCKET },
        { id: 'twice', ...SPROCKET, teeth: 6 },
      ],
    };
    expect(placesOf(expectProblem(await post(twice), 'conflict'))).toEqual(['/sprockets/1/id']);
    expect((await page()).count).toBe(before);
  });

  it('rejects an id that is reserved by a route or used by another object', async () => {
    expect(placesOf(expectProblem(await post({ id: 'search', ...SPROCKET }), 'invalid-body'))).toEqual(['/id']);
    const body = { batch_id: 'others', objects: [{ object_id: 'shoe', data: SPROCKET }] };
    await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect(placesOf(expectProblem(await post({ id: 'shoe', ...SPROCKET }), 'conflict'))).toEqual(['/id']);
    expectProblem(await get('/sprockets/shoe'), 'not-found');
    expectProblem(await put('shoe', SPROCKET), 'not-found');
  });

  it.each(['"nan"', '"NaN"', '0', '-1', '"5"', 'null', 'true', '[5]', '{}', '-0.0', '0e5'])(
    'rejects %s for every measure, with a pointer',
    async (bad) => {
      for (const name of Object.keys(SPROCKET)) {
        const text = JSON.stringify(SPROCKET).replace(new RegExp(`"${name}":\\d+`), `"${name}":${bad}`);
        expect(placesOf(expectProblem(await post(text), 'invalid-body'))).toEqual([`/${name}`]);
        const listed = expectProblem(await post(`{"sprockets":[${JSON.stringify(SPROCKET)},${text}]}`), 'invalid-body');
        expect(placesOf(listed)).toEqual([`/sprockets/1/${name}`]);
      }
    },
  );

  it('rejects teeth with a fraction, even one too small for a double', async () => {
    for (const teeth of ['1.5', '12345678901234567890.5', '5e-1', '1.00000000000000000001']) {
      const body = JSON.stringify(SPROCKET).replace('"teeth":5', `"teeth":${teeth}`);
      expect(placesOf(expectProblem(await post(body), 'invalid-body'))).toEqual(['/teeth']);
    }
    for (const bare of ['NaN', 'Infinity', 'nan']) {
      expectProblem(await post(`{"teeth":${bare}}`), 'malformed-request');
    }
  });

  it.each<[unknown, string[]]>([
    [[], ['']],
    [null, ['']],
    ['"text"', ['']],
    [{}, ['/teeth', '/pitch_diameter', '/outside_diameter', '/pitch']],
    [{ ...SPROCKET, color: 'red' }, ['/color']],
    [{ ...SPROCKET, teeth: 0, pitch: 'wide', pitch_diameter: -1 }, ['/pitch', '/teeth', '/pitch_diameter']],
    [{ ...SPROCKET, toString: 1 }, ['/toString']],
    [{ ...SPROCKET, id: 7 }, ['/id']],
    [{ sprockets: [] }, ['/sprockets']],
    [{ sprockets: {} }, ['/sprockets']],
    [{ sprockets: [SPROCKET], more: 1 }, ['/more']],
    [{ sprockets: [SPROCKET, 5, { ...SPROCKET, color: 'red' }] }, ['/sprockets/1', '/sprockets/2/color']],
  ])('rejects %j with a pointer to each error, and stores nothing', async (body, pointers) => {
    const before = (await page()).count;
    const places = placesOf(expectProblem(await post(body), 'invalid-body'));
    expect(places.sort()).toEqual(pointers.sort());
    expect((await page()).count).toBe(before);
  });
});

describe('POST /sprockets with a list', () => {
  beforeAll(useNewProject);

  it('stores equal sprockets separately, and reports them as unchanged when the list is sent again', async () => {
    const first = await post(file(7, 7, 7));
    expect([first.status, first.json()]).toEqual([201, { stored: 3, unchanged: 0 }]);
    const spaced = JSON.stringify(file(7, 7, 7), null, 2);
    for (const again of [file(7, 7, 7), spaced, spaced.replaceAll('\n', '\r\n\t')]) {
      const reply = await post(again);
      expect([reply.status, reply.json()]).toEqual([200, { stored: 0, unchanged: 3 }]);
    }
    expect(await page()).toMatchObject({ count: 3 });
    expect((await post(file(7, 7, 8))).json()).toEqual({ stored: 3, unchanged: 0 });
  });

  it('stores a list once when it is sent several times concurrently', async () => {
    const before = (await page()).count ?? NaN;
    const replies = await Promise.all([1, 2, 3, 4].map(() => post(file(9, 10))));
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
    expect((await page()).count).toBe(before + 2);
  });

  it('stores deleted sprockets again, and does not overwrite changed ones', async () => {
    await post(file(21, 22, 23));
    const [last, middle] = (await page()).results;
    expect([last?.teeth, middle?.teeth]).toEqual([23, 22]);
    const removed = await api.call('DELETE', `/objects/${last?.id ?? ''}`, { key: project.keys.admin });
    expect(removed.status).toBe(204);
    expect((await put(middle?.id ?? '', { ...SPROCKET, teeth: 99 })).status).toBe(200);
    expect((await post(file(21, 22, 23))).json()).toEqual({ stored: 1, unchanged: 2 });
    expect((await get(`/sprockets/${middle?.id ?? ''}`)).json()).toMatchObject({ teeth: 99 });
  });

  it('reports a list that was read from the API, with ids, as unchanged', async () => {
    const { results } = await page('?limit=100');
    expect((await post({ sprockets: results })).json()).toEqual({ stored: 0, unchanged: results.length });
  });

  it('accepts 1 to 10,000 sprockets', async () => {
    const full = { sprockets: Array.from({ length: 10_000 }, () => SPROCKET) };
    expect((await post(full)).json()).toEqual({ stored: 10_000, unchanged: 0 });
    full.sprockets.push(SPROCKET);
    expect(expectProblem(await post(full), 'too-large').detail).toContain('feed_list_max');
    expect(placesOf(expectProblem(await post({ sprockets: [] }), 'invalid-body'))).toEqual(['/sprockets']);
  });
});

describe('GET /sprockets', () => {
  beforeAll(useNewProject);

  it('returns a page, newest first, of the size in limit or page_size', async () => {
    await post(file(...Array.from({ length: 25 }, (_, index) => index + 1)));
    const all = await page('?page_size=100');
    expect(all.results.map(({ teeth }) => teeth)).toEqual(Array.from({ length: 25 }, (_, index) => 25 - index));
    expect(all).toMatchObject({ count: 25, count_is: 'exact', next: null, previous: null });
    expect(all.results[0]).toEqual({ id: expect.any(String), ...SPROCKET, teeth: 25 });
    expect((await page()).results).toEqual(all.results.slice(0, 10));
    for (const size of ['limit', 'page_size'])
      expect((await page(`?page=2&${size}=7`)).results).toEqual(all.results.slice(7, 14));
  });

  it.each([
    ['?limit=5&page_size=5', 'limit'],
    ['?limit=1001', 'limit'],
    ['?limit=0', 'limit'],
    ['?limit=all', 'limit'],
    ['?page_size=1001', 'page_size'],
    ['?page=0', 'page'],
    ['?teeth=5', 'teeth'],
  ])('rejects %s with an error at %s', async (query, name) => {
    expect(placesOf(expectProblem(await get(`/sprockets${query}`), 'invalid-query'))).toEqual([name]);
  });

  it('returns each sprocket once and in order while others are stored between the pages', async () => {
    const before = (await page('?limit=1000')).results.map(({ id }) => id);
    const walked: string[] = [];
    for (let next: string | null = '/sprockets?limit=4'; next !== null;) {
      const one: PageBody<Sprocket> = (await get(next)).json();
      walked.push(...one.results.map(({ id }) => id));
      next = one.next;
      await Promise.all([post(SPROCKET), post(SPROCKET), post(SPROCKET)]);
    }
    expect(walked).toEqual(before);
  });

  it('rejects the cursor of another list', async () => {
    const { next } = (await get('/objects?page_size=1')).json<PageBody<object>>();
    const cursor = new URL(next ?? '').searchParams.get('cursor') ?? '';
    expectProblem(await get(`/sprockets?cursor=${cursor}`), 'invalid-cursor');
  });

  it('includes sprockets that were sent with POST /batches, and skips objects that are not sprockets', async () => {
    await useNewProject();
    const objects = [
      { object_id: 'good', data: { pitch: 1, outside_diameter: 0.5, color: 'red', pitch_diameter: 2, teeth: 3 } },
      { object_id: 'text', data: { ...SPROCKET, teeth: 'five' } },
      { object_id: 'half', data: { ...SPROCKET, teeth: 1.5 } },
      { object_id: 'part', data: { teeth: 5 } },
      { object_id: 'other', data: { type: 'shoe' } },
      { object_id: 'twice', data: [...Object.entries(SPROCKET), ['teeth', 6]].map(([key, value]) => ({ key, value })) },
    ];
    const body = { batch_id: 'sprockets', objects };
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
    const good = { id: 'good', teeth: 3, pitch_diameter: 2, outside_diameter: 0.5, pitch: 1 };
    expect((await page()).results).toEqual([good]);
    expect((await get('/sprockets/good')).json()).toEqual(good);
    for (const { object_id } of objects.slice(1)) expectProblem(await get(`/sprockets/${object_id}`), 'not-found');
    expect((await post(SPROCKET)).status).toBe(201);
    expect((await page()).results).toHaveLength(2);
  });
});

describe('PUT /sprockets/{id}', () => {
  beforeAll(useNewProject);

  it('replaces an existing sprocket, keeps every digit, and returns 404 for a missing one', async () => {
    const { id } = (await post(SPROCKET)).json<Sprocket>();
    const reply = await put(id, '{"teeth":6,"pitch_diameter":0.100,"outside_diameter":6,"pitch":1}');
    const found = await get(`/sprockets/${id}`);
    expect([reply.status, reply.text]).toEqual([200, found.text]);
    expect(found.text).toBe(`{"id":"${id}","teeth":6,"pitch_diameter":0.100,"outside_diameter":6,"pitch":1}`);
    expectProblem(await put('nothing', SPROCKET), 'not-found');
    expect((await page()).count).toBe(1);
    expect((await put(id, { id, ...SPROCKET })).status).toBe(200);
    for (const [body, place] of [
      [{ id: 'other', ...SPROCKET }, '/id'],
      [{ ...SPROCKET, teeth: 0 }, '/teeth'],
      [file(1), '/sprockets'],
    ] as const) {
      expect(placesOf(expectProblem(await put(id, body), 'invalid-body'))).toContain(place);
    }
  });

  it('returns 412 when If-None-Match names the current ETag', async () => {
    const { id } = (await post(SPROCKET)).json<Sprocket>();
    const etag = (await get(`/sprockets/${id}`)).headers.get('etag') ?? '';
    for (const tag of ['*', etag]) {
      expectProblem(await put(id, { ...SPROCKET, teeth: 7 }, { 'If-None-Match': tag }), 'precondition-failed');
    }
    expect((await put(id, { ...SPROCKET, teeth: 7 }, { 'If-None-Match': '"other"' })).status).toBe(200);
  });

  it('returns 412 when If-Match does not match the current ETag', async () => {
    const { id } = (await post(SPROCKET)).json<Sprocket>();
    const etag = (await get(`/sprockets/${id}`)).headers.get('etag') ?? '';
    const changed = await put(id, { ...SPROCKET, teeth: 7 }, { 'If-Match': etag });
    expect(changed.status).toBe(200);
    expectProblem(await put(id, { ...SPROCKET, teeth: 8 }, { 'If-Match': etag }), 'precondition-failed');
    const next = { 'If-Match': changed.headers.get('etag') ?? '' };
    expect((await put(id, { ...SPROCKET, teeth: 9 }, next)).status).toBe(200);
    expect((await put(id, SPROCKET, { 'If-Match': '*' })).status).toBe(200);
  });

  it('accepts one of several concurrent changes with the same If-Match', async () => {
    const { id } = (await post(SPROCKET)).json<Sprocket>();
    const headers = { 'If-Match': (await get(`/sprockets/${id}`)).headers.get('etag') ?? '' };
    const replies = await Promise.all([6, 7, 8].map((teeth) => put(id, { ...SPROCKET, teeth }, headers)));
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
  });
});

describe('sprockets as objects', () => {
  beforeAll(useNewProject);

  it('support filters and deletion', async () => {
    await post({
      sprockets: [
        { id: 's-1', ...SPROCKET },
        { id: 's-2', ...SPROCKET, teeth: 31 },
      ],
    });
    const found = (await get('/objects?batch_id=sprockets&key=teeth&value=31')).json<PageBody<object>>();
    const data = Object.entries({ ...SPROCKET, teeth: 31 }).map(([key, value]) => ({ key, value }));
    const object = { object_id: 's-2', batch_id: 'sprockets', subject: 's-2', observed_at: expect.any(String), data };
    expect(found).toMatchObject({ count: 1, results: [object] });
    expect((await api.call('DELETE', '/objects/s-2', { key: project.keys.admin })).status).toBe(204);
    expectProblem(await get('/sprockets/s-2'), 'not-found');
    expect((await page()).results.map(({ id }) => id)).toEqual(['s-1']);
  });

  it('support jobs for POST and PUT', async () => {
    const { producer: key } = project.keys;
    const job = await submitJob(api, 'POST', '/sprockets', { key, body: file(41, 42) });
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded', result: { stored: 2, unchanged: 0 } });
    const again = await submitJob(api, 'POST', '/sprockets', { key, body: file(41, 42) });
    expect(await waitForJob(api, key, again)).toMatchObject({
      result_status: 200,
      result: { stored: 0, unchanged: 2 },
    });
    const change = await submitJob(api, 'PUT', '/sprockets/s-1', { key, body: { ...SPROCKET, teeth: 43 } });
    expect(await waitForJob(api, key, change)).toMatchObject({ status: 'succeeded', result: { id: 's-1', teeth: 43 } });
    const bad = await submitJob(api, 'POST', '/sprockets', { key, body: file(0) });
    await waitForJob(api, key, bad);
    expect(placesOf((await getJob(api, key, bad)).problem ?? ({} as never))).toEqual(['/sprockets/0/teeth']);
  });

  it('support Idempotency-Key for a sprocket without an id', async () => {
    const before = (await page()).count ?? NaN;
    const headers = { 'Idempotency-Key': '"once"' };
    const replies = [await post(SPROCKET, headers), await post(SPROCKET, headers)];
    expect(replies.map(({ status, text }) => [status, text])).toEqual(replies.map(() => [201, replies[0]?.text]));
    expect((await page()).count).toBe(before + 1);
  });

  it('return 304 when If-None-Match matches, and new data after a write', async () => {
    for (const path of ['/sprockets', '/sprockets/s-1']) {
      const first = await get(path);
      expect(first.headers.get('cache-control')).toBe('private, no-cache');
      const headers = { 'If-None-Match': first.headers.get('etag') ?? 'none' };
      expect([(await get(path, { headers })).status, (await get(path, { headers })).text]).toEqual([304, '']);
      await put('s-1', { ...SPROCKET, teeth: path.length });
      const after = await get(path, { headers });
      expect([after.status, after.text.includes(`"teeth":${String(path.length)},`)]).toEqual([200, true]);
    }
  });
});

it("hides another project's sprockets, and accepts the same ids and data", async () => {
  await useNewProject();
  await post({ id: 'mine', ...SPROCKET });
  await post(file(5));
  await useNewProject();
  expect(await page()).toMatchObject({ count: 0, results: [] });
  expectProblem(await get('/sprockets/mine'), 'not-found');
  expectProblem(await put('mine', SPROCKET), 'not-found');
  expect((await post({ id: 'mine', ...SPROCKET, teeth: 6 })).status).toBe(201);
  expect((await post(file(5))).json()).toEqual({ stored: 1, unchanged: 0 });
});
