import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { expectProblem, placesOf } from './expect-problem.js';

const BYTE_ORDER_MARK = '\ufeff';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

describe('Accept', () => {
  it.each([
    'application/json; charset=utf-8',
    'application/json;charset="utf-8, x"',
    'application/json ; indent=2;q=0.5',
    'text/html, application/*;version=1',
    '*/*;x=y',
  ])('accepts JSON as %s', async (accept) => {
    const reply = await api.call('GET', '/objects', { key: project.keys.analyst, headers: { Accept: accept } });
    expect(reply.status).toBe(200);
  });

  it.each(['text/html', 'application/json;q=0', 'application/json; charset=utf-8; q=0'])(
    'rejects JSON as %s',
    async (accept) => {
      const reply = await api.call('GET', '/objects', { key: project.keys.analyst, headers: { Accept: accept } });
      expectProblem(reply, 'not-acceptable');
    },
  );

  it.each(['application/json; charset=utf-8', 'application/json;q=0.9, text/html;q=0.8', '*/*;x=y'])(
    'selects JSON instead of a page as %s',
    async (accept) => {
      const reply = await api.call('GET', '/', { headers: { Accept: accept } });
      expect([reply.status, reply.headers.get('content-type')]).toEqual([
        200,
        expect.stringContaining('application/json'),
      ]);
    },
  );

  it('selects the same representation of a page with and without parameters', async () => {
    for (const accept of ['text/html', 'text/html; level=1']) {
      const reply = await api.call('GET', '/', { headers: { Accept: accept } });
      expect([reply.status, reply.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')]);
    }
  });
});

describe('a request without content', () => {
  it.each(['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'nonsense'])(
    'needs no media type, and accepts %s',
    async (type) => {
      const headers = { 'Content-Type': type };
      expect((await api.call('GET', '/objects', { key: project.keys.analyst, headers })).status).toBe(200);
      expectProblem(await api.call('DELETE', '/objects/o', { key: project.keys.admin, headers }), 'not-found');
      expectProblem(await api.call('POST', '/batches', { key: project.keys.producer, headers }), 'malformed-request');
    },
  );
});

describe('a byte order mark', () => {
  const object = '{"object_id":"o","data":{"k":1}}';

  it('is ignored at the start of JSON', async () => {
    const { producer, analyst } = project.keys;
    const body = `${BYTE_ORDER_MARK}{"batch_id":"b","objects":[${object}]}`;
    expect((await api.call('POST', '/batches', { key: producer, body })).status).toBe(201);
    const patch = { key: producer, body: `${BYTE_ORDER_MARK}{"data":{"k":2}}` };
    const headers = { 'Content-Type': 'application/merge-patch+json' };
    expect((await api.call('PATCH', '/objects/o', { ...patch, headers })).status).toBe(200);
    const read = await api.call('GET', '/objects/o', { key: analyst });
    expect(read.json()).toMatchObject({ data: [{ key: 'k', value: 2 }] });
  });

  it('is ignored at the start of NDJSON, also compressed', async () => {
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const text = `${BYTE_ORDER_MARK}${object}\n`;
    const plain = { key: project.keys.producer, body: text, headers };
    expect((await api.call('PUT', '/batches/b', plain)).status).toBe(201);
    const body = gzipSync(text);
    const compressed = { ...plain, body, headers: { ...headers, 'Content-Encoding': 'gzip' } };
    expect((await api.call('PUT', '/batches/b', compressed)).status).toBe(200);
  });

  it('alone counts as an empty body', async () => {
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body: BYTE_ORDER_MARK });
    expect(expectProblem(reply, 'malformed-request').detail).toContain('is empty');
  });
});

describe('the error of a body', () => {
  it.each(['application/x-ndjson', 'text/csv'])('names the route that accepts %s', async (type) => {
    const headers = { 'Content-Type': type };
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body: '{}', headers });
    expect(expectProblem(reply, 'unsupported-media-type').detail).toBe(
      `Send the body as application/json. PUT /batches/{batch_id} takes ${type}.`,
    );
  });

  it.each([
    ['gzip', gzipSync('{"object_id":"o","data":{}}\n'.repeat(1_000))],
    ['zstd', Buffer.from('28b52ffd0458', 'hex')],
  ])('reports that Content-Encoding is missing for a body compressed with %s', async (encoding, body) => {
    const detail = `The body is compressed with ${encoding}; send it with Content-Encoding: ${encoding}.`;
    for (const [method, path, type] of [
      ['POST', '/batches', 'application/json'],
      ['PUT', '/batches/b', 'application/json'],
      ['PUT', '/batches/b', 'application/x-ndjson'],
      ['PUT', '/batches/b', 'text/csv'],
    ] as const) {
      const headers = { 'Content-Type': type };
      const reply = await api.call(method, path, { key: project.keys.producer, body, headers });
      const problem = expectProblem(reply, 'malformed-request');
      expect([problem.detail, problem.errors]).toEqual([detail, undefined]);
    }
  });

  it('lists the known members or parameters when one is unknown', async () => {
    const body = { batch_id: 'b', objects: [{ object_id: 'o', data: {}, colour: 'red' }] };
    const member = expectProblem(
      await api.call('POST', '/batches', { key: project.keys.producer, body }),
      'invalid-body',
    );
    expect(placesOf(member)).toEqual(['/objects/0/colour']);
    expect(member.detail).toBe(
      '/objects/0/colour is not a member of this body; its members are object_id, data, subject, observed_at.',
    );
    const parameter = await api.call('GET', '/batches?colour=red', { key: project.keys.analyst });
    expect(expectProblem(parameter, 'invalid-query').detail).toMatch(
      /^colour is not a parameter of this resource; its parameters are include, page, .*, observed_until, fields, data_as\.$/,
    );
  });
});

describe('page_size', () => {
  it.each(['1001', '10001', '999999999999999999999'])(
    'rejects %s and returns the maximum of this server',
    async (size) => {
      const reply = await api.call('GET', `/objects?page_size=${size}`, { key: project.keys.analyst });
      expect(expectProblem(reply, 'invalid-query').detail).toBe('page_size must be at most 1000 (PAGE_SIZE_MAX).');
    },
  );
});

describe('the links of a page', () => {
  it('lead from a page beyond the end to the last page, and on to the first', async () => {
    const { producer, analyst } = project.keys;
    const objects = Array.from({ length: 5 }, (_, i) => ({ object_id: `o-${String(i)}`, data: {} }));
    await api.call('POST', '/batches', { key: producer, body: { batch_id: 'b', objects } });
    interface Page {
      next: string | null;
      previous: string | null;
      results: { object_id: string }[];
    }
    const read = async (url: string): Promise<Page> => (await api.call('GET', url, { key: analyst })).json<Page>();
    const past = await read('/objects?page=9&page_size=3');
    expect([past.next, past.results]).toEqual([null, []]);
    const last = await read(past.previous ?? '');
    expect([last.next, last.results.map(({ object_id }) => object_id)]).toEqual([null, ['o-2', 'o-1', 'o-0']]);
    const first = await read(last.previous ?? '');
    expect([first.previous, first.results.map(({ object_id }) => object_id)]).toEqual([null, ['o-4', 'o-3']]);
    const batches = await read((await read('/batches?page=9')).previous ?? '');
    expect(batches.results).toHaveLength(1);
  });

  it('are accepted for every filter that is accepted', async () => {
    const { producer, analyst } = project.keys;
    const value = '"'.repeat(9_000);
    const objects = [1, 2].map((i) => ({ object_id: `o-${String(i)}`, data: { k: value } }));
    await api.call('POST', '/batches', { key: producer, body: { batch_id: 'b', objects } });
    const url = `/objects?page_size=1&value=${encodeURIComponent(value)}`;
    const first = await api.call('GET', url, { key: analyst });
    const { next } = first.json<{ next: string }>();
    const second = await api.call('GET', next, { key: analyst });
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.json<{ results: unknown[] }>().results).toHaveLength(1);
    const longer = await api.call('GET', `${url}${'%22'.repeat(2_000)}`, { key: analyst });
    expectProblem(longer, 'uri-too-long');
  });
});
