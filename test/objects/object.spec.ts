import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf, places, postBatch, type BatchBody, type ObjectBody, type PageBody, type ProblemBody } from './wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await postBatch(api, project.keys.producer, 'shoes', []);
});
afterAll(() => api.stop());

const path = (id: string): string => `/objects/${encodeURIComponent(id)}`;
const post = (body: unknown): Promise<Reply> => api.call('POST', '/objects', { key: project.keys.producer, body });
const put = (id: string, body: unknown, headers = {}): Promise<Reply> =>
  api.call('PUT', path(id), { key: project.keys.producer, body, headers });
const read = (id: string, headers = {}): Promise<Reply> =>
  api.call('GET', path(id), { key: project.keys.analyst, headers });
const remove = (id: string, headers = {}): Promise<Reply> =>
  api.call('DELETE', path(id), { key: project.keys.admin, headers });
const create = async (id: string, rest: object = {}): Promise<ObjectBody> =>
  (await post({ batch_id: 'shoes', object_id: id, data: { type: 'shoe' }, ...rest })).json<ObjectBody>();

async function countOf(batchId: string): Promise<number | undefined> {
  const reply = await api.call('GET', `/batches?batch_id=${batchId}`, { key: project.keys.analyst });
  return reply.json<PageBody<BatchBody>>().results[0]?.object_count;
}

describe('POST /objects', () => {
  it('stores an object, and returns its Location and its ETag', async () => {
    const body = { batch_id: 'shoes', object_id: 'a/b ü', data: [{ key: 'type', value: 'shoe' }], subject: 'shelf' };
    const reply = await post(body);
    expect(reply.status).toBe(201);
    expect(reply.json()).toEqual({ ...body, observed_at: expect.stringMatching(/^\d{4}-.*Z$/) as unknown });
    const get = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
    expect([get.text, get.headers.get('etag')]).toEqual([reply.text, reply.headers.get('etag')]);
  });

  it('increases the object_count of the batch', async () => {
    const before = (await countOf('shoes')) ?? NaN;
    await create('counted');
    expect(await countOf('shoes')).toBe(before + 1);
    await remove('counted');
    expect(await countOf('shoes')).toBe(before);
  });

  it("rejects an unknown batch and another project's batch with a pointer", async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'theirs', []);
    for (const batch_id of ['never', 'theirs']) {
      const reply = await post({ batch_id, object_id: 'homeless', data: [] });
      expect(kindOf(reply)).toBe('400 invalid-body');
      expect(places(reply)).toEqual(['/batch_id']);
    }
    expect((await read('homeless')).status).toBe(404);
  });

  it('rejects an id that exists in any batch, names it, and changes neither the object nor the count', async () => {
    await postBatch(api, project.keys.producer, 'other', [{ object_id: 'taken', data: { old: true } }]);
    const count = await countOf('shoes');
    const reply = await post({ batch_id: 'shoes', object_id: 'taken', data: { old: false } });
    expect(kindOf(reply)).toBe('409 conflict');
    expect(reply.json<ProblemBody>().errors).toEqual([{ pointer: '/object_id', detail: '"taken" exists already' }]);
    expect((await read('taken')).json<ObjectBody>()).toMatchObject({ batch_id: 'other', data: [{ value: true }] });
    expect(await countOf('shoes')).toBe(count);
  });

  it.each(['keys', 'facets', 'aggregate', 'export', 'search', 'changes'])(
    'rejects the reserved id %s in every body that contains an object id',
    async (object_id) => {
      const single = await post({ batch_id: 'shoes', object_id, data: [] });
      expect([kindOf(single), ...places(single)]).toEqual(['400 invalid-body', '/object_id']);
      const body = {
        batch_id: 'reserved',
        objects: [
          { object_id: `${object_id}s`, data: [] },
          { object_id, data: [] },
        ],
      };
      const batch = await api.call('POST', '/batches', { key: project.keys.producer, body });
      expect([kindOf(batch), ...places(batch)]).toEqual(['400 invalid-body', '/objects/1/object_id']);
      const near = await post({ batch_id: 'shoes', object_id: object_id.toUpperCase(), data: [] });
      expect(near.status).toBe(201);
    },
  );

  it('stores an object once when 20 clients post it concurrently', async () => {
    const body = { batch_id: 'shoes', object_id: 'raced', data: [] };
    const before = (await countOf('shoes')) ?? NaN;
    const replies = await Promise.all(Array.from({ length: 20 }, () => post(body)));
    expect(replies.filter((reply) => reply.status === 201)).toHaveLength(1);
    expect(replies.filter((reply) => reply.status === 409)).toHaveLength(19);
    expect(await countOf('shoes')).toBe(before + 1);
  });

  it('keeps both pairs of a shorthand key that appears twice', async () => {
    const reply = await post('{"batch_id":"shoes","object_id":"twice","data":{"k":1,"j":null,"k":1.0}}');
    expect(reply.text).toContain('[{"key": "k", "value": 1}, {"key": "j", "value": null}, {"key": "k", "value": 1.0}]');
  });

  it('returns nested values exactly, up to 16 levels deep', async () => {
    const deep = `${'[{"a": '.repeat(8)}0.10${'}]'.repeat(8)}`;
    const values = ['{}', '[]', '[1e2, "\u00e9", null, [true]]', '{"a": {"b": 12345678901234567890}}', deep];
    const pairs = values.map((value) => `{"key": "k", "value": ${value}}`).join(', ');
    const created = await post(`{"batch_id":"shoes","object_id":"nested","data":[${pairs}]}`);
    expect(created.status).toBe(201);
    expect(created.text).toContain(`"data":[${pairs.replace('1e2', '100')}]`);
    const read = await api.call('GET', '/objects/nested', { key: project.keys.analyst });
    expect(read.text).toBe(created.text);
  });

  it('rejects invalid data with a pointer to the member', async () => {
    const nested = await post(
      `{"batch_id":"shoes","object_id":"x","data":{"a~/b":${'['.repeat(17)}${']'.repeat(17)}}}`,
    );
    expect([kindOf(nested), ...places(nested)]).toEqual(['400 invalid-body', '/data/a~0~1b']);
    const nul = await post('{"batch_id":"shoes","object_id":"x","data":[{"key":"k","value":"\\u0000"}]}');
    expect([kindOf(nul), ...places(nul)]).toEqual(['400 invalid-body', '/data/0/value']);
  });
});

describe('observed_at', () => {
  it.each([
    ['2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z'],
    ['2024-05-01T12:00:00', '2024-05-01T12:00:00Z'],
    ['2024-05-01t12:00:00z', '2024-05-01T12:00:00Z'],
    ['2024-05-01T12:00:00+05:30', '2024-05-01T06:30:00Z'],
    ['2024-05-01T12:00:00.123456-00:30', '2024-05-01T12:30:00.123456Z'],
    ['2024-05-01T12:00:00.120000000Z', '2024-05-01T12:00:00.12Z'],
    ['2024-02-29T23:59:59.999999Z', '2024-02-29T23:59:59.999999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
    ['1969-12-31T23:59:59.5Z', '1969-12-31T23:59:59.5Z'],
  ])('%s is stored as %s', async (sent, kept) => {
    expect((await create(`at ${sent}`, { observed_at: sent })).observed_at).toBe(kept);
    expect((await read(`at ${sent}`)).json<ObjectBody>().observed_at).toBe(kept);
    expect((await put(`at ${sent}`, { data: [], observed_at: sent })).json<ObjectBody>().observed_at).toBe(kept);
  });

  it.each([
    '2024-02-30T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-05-01T24:00:00Z',
    '2024-05-01T12:00:60Z',
    '2024-05-01T12:00:00.1234567Z',
    '2024-05-01T12:00:00.123456789Z',
    '2024-05-01 12:00:00Z',
    '2024-05-01',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '10000-01-01T00:00:00Z',
    '2024-05-01T12:00:00+25:00',
    'infinity',
    'now',
    '',
  ])('"%s" is rejected with a pointer', async (observed_at) => {
    const reply = await post({ batch_id: 'shoes', object_id: 'never', data: [], observed_at });
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', '/observed_at']);
  });

  it('is the time of arrival when it is omitted or null', async () => {
    const before = Date.now();
    for (const [id, rest] of Object.entries({ 'arrived 1': {}, 'arrived 2': { observed_at: null } })) {
      const { observed_at } = await create(id, rest);
      expect(Math.abs(Date.parse(observed_at) - before)).toBeLessThan(60_000);
    }
  });
});

describe('GET /objects/{object_id}', () => {
  it.each([
    '/',
    'a/b/',
    '//',
    '%2F',
    '%',
    '%%00',
    'a?b#c',
    '...',
    'a.json',
    '~',
    ' ',
    ' a ',
    'quote\'"',
    'back\\slash',
    ';x=1',
    ':object_id',
    '*',
    '+',
    '日本語',
    '👢',
    '__proto__',
    'null',
    "'; DROP TABLE objects; --",
  ])('accepts the id %s', async (id) => {
    await create(id);
    const reply = await read(id);
    expect(reply.status).toBe(200);
    expect(reply.json<ObjectBody>().object_id).toBe(id);
    expect(reply.headers.get('cache-control')).toBe('private, no-cache');
    expect((await put(id, { data: [] })).status).toBe(200);
    expect((await remove(id)).status).toBe(204);
    expect((await read(id)).status).toBe(404);
  });

  it.each(['.', '..'])(
    'rejects the id %s, which URL parsers remove from paths, and accepts it as a subject',
    async (id) => {
      const reply = await post({ batch_id: 'shoes', object_id: id, data: [] });
      expect([kindOf(reply), places(reply)]).toEqual(['400 invalid-body', ['/object_id']]);
      expect(await create(`about ${id}`, { subject: id })).toMatchObject({ subject: id });
      const about = await api.call('GET', `/objects?subject=${id}`, { key: project.keys.analyst });
      expect(about.json<PageBody<ObjectBody>>().results).toMatchObject([{ object_id: `about ${id}` }]);
    },
  );

  it('accepts an id of 255 characters of four bytes each', async () => {
    const id = '🥾'.repeat(255);
    await create(id);
    expect((await read(id)).json<ObjectBody>().object_id).toBe(id);
  });

  it('returns 304 while the ETag is current', async () => {
    await create('etag');
    const { headers } = await read('etag');
    const etag = headers.get('etag') ?? '';
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const reply = await read('etag', { 'If-None-Match': known });
      expect([reply.status, reply.text, reply.headers.get('etag')]).toEqual([304, '', etag]);
    }
    await put('etag', { data: { type: 'boot' } });
    const changed = await read('etag', { 'If-None-Match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
  });

  it("returns the same 404 for another project's object as for a missing one", async () => {
    const other = await api.project();
    await create('mine');
    const problems = [];
    for (const id of ['mine', 'never']) {
      const reply = await api.call('GET', path(id), { key: other.keys.admin });
      problems.push({ ...reply.json<object>(), instance: '', request_id: '' });
    }
    expect(problems[0]).toMatchObject({ status: 404 });
    expect(problems[0]).toEqual(problems[1]);
  });

  it('returns 405 for the address of the search', async () => {
    expect((await read('search')).status).toBe(405);
  });
});

describe('PUT /objects/{object_id}', () => {
  it('replaces the data, subject and time of the object, and changes no other object', async () => {
    const before = await create('replaced', { subject: 'shelf', observed_at: '2024-05-01T00:00:00Z' });
    await create('neighbour', { subject: 'shelf' });
    const neighbour = (await read('neighbour')).text;
    const reply = await put('replaced', { data: [{ key: 'b', value: 1 }], subject: 'till' });
    expect(reply.status).toBe(200);
    const after = reply.json<ObjectBody>();
    expect(after).toMatchObject({ object_id: 'replaced', batch_id: 'shoes', data: [{ key: 'b', value: 1 }] });
    expect(after.subject).toBe('till');
    // The request omits it, so it is the time of arrival again.
    expect(after.observed_at).not.toBe(before.observed_at);
    expect((await read('replaced')).text).toBe(reply.text);
    expect(reply.headers.get('etag')).toBe((await read('replaced')).headers.get('etag'));
    expect((await put('replaced', { data: [] })).json<ObjectBody>()).toMatchObject({ data: [], subject: null });
    expect((await read('neighbour')).text).toBe(neighbour);
  });

  it('accepts the representation that GET returned, and then changes nothing', async () => {
    await post(
      '{"batch_id":"shoes","object_id":"echo","subject":null,"data":[{"key":"n","value":12345678901234567890},{"key":"n","value":0.1000}]}',
    );
    const before = await read('echo');
    const reply = await put('echo', before.text);
    expect(reply.text).toBe(before.text);
    expect(reply.headers.get('etag')).toBe(before.headers.get('etag'));
    expect(before.text).toContain('12345678901234567890');
    expect(before.text).toContain('0.1000');
  });

  it('rejects another object_id or batch_id, and changes nothing', async () => {
    await create('fixed');
    await postBatch(api, project.keys.producer, 'elsewhere', []);
    const before = (await read('fixed')).text;
    const moved = await put('fixed', { data: [], batch_id: 'elsewhere' });
    expect([kindOf(moved), ...places(moved)]).toEqual(['400 invalid-body', '/batch_id']);
    const renamed = await put('fixed', { data: [], object_id: 'fixed2' });
    expect([kindOf(renamed), ...places(renamed)]).toEqual(['400 invalid-body', '/object_id']);
    expect((await put('fixed', { data: [], object_id: 'fixed', batch_id: 'shoes' })).status).toBe(200);
    expect((await put('fixed', before)).text).toBe(before);
  });

  it('returns 404 for a missing object and does not create it', async () => {
    expect(kindOf(await put('not there', { data: [] }))).toBe('404 not-found');
    expect((await read('not there')).status).toBe(404);
  });

  it('requires data', async () => {
    await create('needs data');
    expect(places(await put('needs data', { subject: 'x' }))).toEqual(['/data']);
  });
});

describe('DELETE /objects/{object_id}', () => {
  it('deletes an object once, and its id can be used again', async () => {
    await create('gone');
    const reply = await remove('gone');
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(kindOf(await remove('gone'))).toBe('404 not-found');
    expect(kindOf(await read('gone'))).toBe('404 not-found');
    expect((await create('gone')).object_id).toBe('gone');
  });

  it('keeps the object with the same id in another project', async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'b', [{ object_id: 'both', data: [] }]);
    await create('both');
    await remove('both');
    expect((await api.call('GET', path('both'), { key: other.keys.analyst })).status).toBe(200);
    expect(kindOf(await remove('both'))).toBe('404 not-found');
  });

  it('succeeds for one of 10 concurrent clients, and is counted once', async () => {
    await create('deleted once');
    const before = (await countOf('shoes')) ?? NaN;
    const replies = await Promise.all(Array.from({ length: 10 }, () => remove('deleted once')));
    expect(replies.map((reply) => reply.status).sort()).toEqual([204, ...Array.from({ length: 9 }, () => 404)]);
    expect(await countOf('shoes')).toBe(before - 1);
  });
});

describe('If-None-Match', () => {
  const patchType = { 'Content-Type': 'application/merge-patch+json' };
  const change = (method: string, headers: Record<string, string>): Promise<Reply> =>
    api.call(method, path('unmatched'), {
      key: project.keys.admin,
      ...(method === 'DELETE' ? {} : { body: { data: {} } }),
      headers: { ...(method === 'PATCH' ? patchType : {}), ...headers },
    });

  it.each(['PUT', 'PATCH', 'DELETE'])('rejects %s when it matches the current ETag', async (method) => {
    await post({ batch_id: 'shoes', object_id: 'unmatched', data: {} });
    const etag = (await read('unmatched')).headers.get('etag') ?? '';
    for (const tag of ['*', etag, `W/${etag}`, `"other", ${etag}`]) {
      expect(kindOf(await change(method, { 'If-None-Match': tag }))).toBe('412 precondition-failed');
    }
    expect((await change(method, { 'If-None-Match': '"other"' })).status).toBeLessThan(300);
  });
});

describe('If-Match', () => {
  it('accepts a change with the current ETag, and rejects any other', async () => {
    await create('guarded');
    const etag = (await read('guarded')).headers.get('etag') ?? '';
    for (const stale of ['"other"', `W/${etag}`, '', etag.slice(1, -1)]) {
      const reply = await put('guarded', { data: [] }, { 'If-Match': stale });
      expect(kindOf(reply)).toBe('412 precondition-failed');
      expect(reply.headers.get('etag')).toBe(etag);
      expect(kindOf(await remove('guarded', { 'If-Match': stale }))).toBe('412 precondition-failed');
    }
    expect((await read('guarded')).headers.get('etag')).toBe(etag);
    const first = await put('guarded', { data: { n: 1 } }, { 'If-Match': `"other", ${etag}` });
    expect(first.status).toBe(200);
    expect((await put('guarded', { data: { n: 2 } }, { 'If-Match': etag })).status).toBe(412);
    expect((await put('guarded', { data: { n: 3 } }, { 'If-Match': '*' })).status).toBe(200);
    const last = (await read('guarded')).headers.get('etag') ?? '';
    expect((await remove('guarded', { 'If-Match': last })).status).toBe(204);
  });

  it('returns 404 for a missing object', async () => {
    expect(kindOf(await put('not there', { data: [] }, { 'If-Match': '*' }))).toBe('404 not-found');
  });

  it('gives equal representations equal ETags', async () => {
    await create('same', { observed_at: '2024-05-01T00:00:00Z' });
    const etag = (await read('same')).headers.get('etag');
    await put('same', { data: { type: 'boot' }, observed_at: '2024-05-01T00:00:00Z' });
    await put('same', { data: { type: 'shoe' }, observed_at: '2024-05-01T02:00:00+02:00' });
    expect((await read('same')).headers.get('etag')).toBe(etag);
  });

  it('is required for every change of an object with REQUIRE_IF_MATCH=true', async () => {
    const strict = await TestApi.start({ REQUIRE_IF_MATCH: 'true' });
    try {
      const { keys } = await strict.project();
      await postBatch(strict, keys.producer, 'b', [{ object_id: 'o', data: [] }]);
      const change = (method: string, headers: Record<string, string>): Promise<Reply> =>
        strict.call(method, '/objects/o', {
          key: keys.admin,
          ...(method === 'DELETE' ? {} : { body: { data: [] } }),
          headers: { ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}), ...headers },
        });
      for (const method of ['PUT', 'PATCH', 'DELETE']) {
        expect(kindOf(await change(method, {}))).toBe('428 precondition-required');
      }
      expect((await change('PUT', { 'If-Match': '*' })).status).toBe(200);
      expect((await change('PATCH', { 'If-Match': '"stale"' })).status).toBe(412);
      expect((await change('DELETE', { 'If-Match': '*' })).status).toBe(204);
    } finally {
      await strict.stop();
    }
  });
});
