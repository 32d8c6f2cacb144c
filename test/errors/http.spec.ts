import { Agent, request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { expectProblem } from './expect-problem.js';
import { sendRaw } from './send-raw.js';

const LIMIT = 4096;

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ BODY_LIMIT_BYTES: String(LIMIT) });
  project = await api.project();
});
afterAll(() => api.stop());

/** The head of a POST /batches request, without its blank line. */
function postHead(...headers: string[]): string {
  const own = ['Host: test', `X-Api-Key: ${project.keys.producer}`, 'Content-Type: application/json', ...headers];
  return `POST /api/v1/batches HTTP/1.1\r\n${own.join('\r\n')}\r\n`;
}

describe('the URL of a request', () => {
  it.each(['%', '%zz', '%ED%A0%80', '%C3%28', '%FF'])(
    'is rejected when an id is %s, which is not valid UTF-8',
    async (id) => {
      const reply = await api.call('GET', `/batches/${id}`, { key: project.keys.analyst });
      expect(expectProblem(reply, 'invalid-path').instance).toBe(`/api/v1/batches/${id}`);
    },
  );

  it.each(['%00', 'a%00b'])('is rejected when an id is %s, which cannot be stored', async (id) => {
    expectProblem(await api.call('GET', `/objects/${id}`, { key: project.keys.analyst }), 'invalid-path');
  });

  it('may have an id of 255 characters of four bytes each', async () => {
    const id = '😀'.repeat(255);
    const body = { batch_id: id, objects: [] };
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
    const read = await api.call('GET', `/batches/${encodeURIComponent(id)}`, { key: project.keys.analyst });
    expect(read.json()).toEqual(body);
  });

  it.each(['key=a&value=%FF', 'key=%zz', 'value=%ED%A0%80'])(
    'is rejected with the query %s, which is not valid UTF-8',
    async (query) => {
      expectProblem(await api.call('GET', `/objects?${query}`, { key: project.keys.analyst }), 'invalid-query');
    },
  );

  it('is rejected with an id longer than the longest valid id in percent-encoding', async () => {
    const reply = await api.call('GET', `/batches/${'a'.repeat(4000)}`, { key: project.keys.analyst });
    expectProblem(reply, 'uri-too-long');
  });

  it('returns 404 for an id of 256 characters', async () => {
    const reply = await api.call('GET', `/batches/${'a'.repeat(256)}`, { key: project.keys.analyst });
    expectProblem(reply, 'not-found');
  });

  it.each(['/nothing', '/batches/a/b', '//api/v1/batches', '/API/V1/batches', '/api/v2/batches'])(
    'returns a 404 problem where no resource exists: %s',
    async (path) => {
      const url = path.startsWith('/nothing') || path.startsWith('/batches') ? path : api.origin + path;
      expectProblem(await api.call('GET', url, { key: project.keys.analyst }), 'not-found');
    },
  );
});

describe('a request that is not valid HTTP', () => {
  it.each([
    ['plain text', 'hello\r\n\r\n'],
    ['the start of TLS', Buffer.from('16030102000100', 'hex')],
    ['the start of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['non-ASCII bytes in the path', Buffer.from('GET /api/v1/batches/\xff HTTP/1.1\r\nHost: test\r\n\r\n', 'latin1')],
    ['a header without a name', 'GET /api/v1/ HTTP/1.1\r\nHost: test\r\n: x\r\n\r\n'],
  ])('is rejected with a problem: %s', async (_, bytes) => {
    expectProblem(await sendRaw(api.origin, bytes), 'malformed-request');
  });

  it('is rejected with a problem when it has Content-Length and Transfer-Encoding', async () => {
    const head = postHead('Content-Length: 2', 'Transfer-Encoding: chunked');
    expectProblem(await sendRaw(api.origin, `${head}\r\n{}`), 'malformed-request');
  });

  it('is rejected with a problem when a chunk size is missing', async () => {
    const head = postHead('Transfer-Encoding: chunked');
    expectProblem(await sendRaw(api.origin, `${head}\r\nzz\r\n{}`), 'malformed-request');
  });

  it('is rejected with a problem when Content-Length is negative', async () => {
    expectProblem(await sendRaw(api.origin, `${postHead('Content-Length: -2')}\r\n{}`), 'malformed-request');
  });

  it('is rejected with a problem when its body is shorter than Content-Length', async () => {
    const bytes = `${postHead('Content-Length: 100')}\r\n{}`;
    expectProblem(await sendRaw(api.origin, bytes, { endsEarly: true }), 'malformed-request');
  });

  it('is rejected with a problem when its body is longer than Content-Length', async () => {
    const bytes = `${postHead('Content-Length: 2')}\r\n{"batch_id":"x","objects":[]}\r\n\r\n`;
    const reply = await sendRaw(api.origin, bytes);
    expect(reply.status).toBe(400);
    expect(reply.text).toContain('/problems#');
    const [stored] = await api.db.sql<{ count: string }>(`SELECT count(*) FROM batches WHERE batch_id = 'x'`);
    expect(stored?.count).toBe('0');
  });
});

describe('headers', () => {
  it('are rejected over 64 KiB', async () => {
    const bytes = `GET /api/v1/ HTTP/1.1\r\nHost: test\r\nX-Long: ${'a'.repeat(66_000)}\r\n\r\n`;
    expectProblem(await sendRaw(api.origin, bytes), 'headers-too-large');
  });

  it.each(['br', 'constructor', '__proto__'])(
    'are rejected with Content-Encoding %s, and the response lists the supported encodings',
    async (coding) => {
      const headers = { 'Content-Encoding': coding };
      const reply = await api.call('POST', '/batches', { key: project.keys.producer, body: '{}', headers });
      expectProblem(reply, 'unsupported-media-type');
      expect(reply.headers.get('accept-encoding')).toBe('gzip, zstd, identity');
    },
  );

  it('may contain an unknown expectation', async () => {
    const bytes = 'GET /api/v1/limits HTTP/1.1\r\nHost: test\r\nExpect: wonders\r\nConnection: close\r\n\r\n';
    expect((await sendRaw(api.origin, bytes)).status).toBe(200);
  });

  it('get no 100 Continue without a valid key', async () => {
    const head = postHead('Content-Length: 2', 'Expect: 100-continue').replace(project.keys.producer, 'wrong');
    expectProblem(await sendRaw(api.origin, `${head}\r\n`), 'unauthenticated');
  });

  it('get 100 Continue when the body is expected', async () => {
    const body = '{"batch_id":"after-100","objects":[]}';
    const head = postHead(`Content-Length: ${String(body.length)}`, 'Expect: 100-continue', 'Connection: close');
    const reply = await sendRaw(api.origin, `${head}\r\n${body}`);
    expect(reply.status).toBe(100);
    expect(reply.text).toContain('HTTP/1.1 201 ');
  });
});

describe('a body over BODY_LIMIT_BYTES', () => {
  /** A valid batch of exactly `size` bytes. */
  function batchOf(bytes: number): string {
    const start = `{"batch_id":"of-${String(bytes)}","objects":[{"object_id":"o-${String(bytes)}","data":{"k":"`;
    return `${start}${'x'.repeat(bytes - start.length - 5)}"}}]}`;
  }

  it('is rejected, and a body of exactly that size is stored', async () => {
    const key = project.keys.producer;
    expect((await api.call('POST', '/batches', { key, body: batchOf(LIMIT) })).status).toBe(201);
    const refused = await api.call('POST', '/batches', { key, body: batchOf(LIMIT + 1) });
    const { detail } = expectProblem(refused, 'too-large');
    expect(detail).toContain('BODY_LIMIT_BYTES');
    expect(detail).toContain('/api/v1/limits');
  });

  it('is rejected by its Content-Length, before the body is sent', async () => {
    const reply = await sendRaw(api.origin, `${postHead('Content-Length: 99999999')}\r\n{`);
    expectProblem(reply, 'too-large');
  });

  it('is rejected when it is sent in chunks', async () => {
    const chunk = `400\r\n${'x'.repeat(1024)}\r\n`;
    const reply = await sendRaw(api.origin, `${postHead('Transfer-Encoding: chunked')}\r\n${chunk.repeat(5)}0\r\n\r\n`);
    expect(expectProblem(reply, 'too-large').detail).toContain('BODY_LIMIT_BYTES');
  });

  it('is rejected on every route that accepts a body', async () => {
    const body = batchOf(LIMIT + 1);
    const type = 'application/merge-patch+json';
    const patch = { key: project.keys.producer, body, headers: { 'Content-Type': type } };
    expectProblem(await api.call('POST', '/objects', { key: project.keys.producer, body }), 'too-large');
    expectProblem(await api.call('PUT', '/objects/o', { key: project.keys.producer, body }), 'too-large');
    expectProblem(await api.call('PATCH', '/objects/o', patch), 'too-large');
    expectProblem(await api.call('POST', '/projects', { key: api.operatorKey, body }), 'too-large');
  });
});

describe('a keep-alive connection', () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  afterAll(() => {
    agent.destroy();
  });

  function send(method: string, path: string, headers: Record<string, string>, body = ''): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sending = request(`${api.origin}/api/v1${path}`, { method, agent, headers }, resolve);
      sending.on('error', reject);
      sending.end(body);
    });
  }

  const JSON_TYPE = { 'Content-Type': 'application/json' };

  it.each<[string, number, { method?: string; size?: number; headers?: Record<string, string> }]>([
    ['without a key', 401, {}],
    ['with an unsupported media type', 415, { headers: { 'Content-Type': 'text/plain' } }],
    ['over the limit', 413, { size: LIMIT * 10 }],
    ['with an unsupported method', 405, { method: 'PATCH' }],
  ])(
    'is reusable after a request is rejected before its body is read: %s',
    async (_, status, { method = 'POST', size = 100, headers }) => {
      const key = status === 401 ? {} : { 'X-Api-Key': project.keys.producer };
      const own = { ...JSON_TYPE, 'Content-Length': String(size), ...key, ...headers };
      const refused = await send(method, '/batches', own, 'x'.repeat(size));
      expect(refused.statusCode).toBe(status);
      expect(JSON.parse(await text(refused))).toMatchObject({ status });
      const next = await send('GET', '/limits', {});
      expect(next.statusCode).toBe(200);
      expect(JSON.parse(await text(next))).toMatchObject({ body_limit_bytes: LIMIT });
    },
  );

  it('is reusable after a request is rejected because of its body', async () => {
    const headers = { ...JSON_TYPE, 'X-Api-Key': project.keys.producer };
    const refused = await send('POST', '/batches', headers, '{"batch_id":');
    expect([refused.statusCode, refused.headers.connection]).toEqual([400, 'keep-alive']);
    await text(refused);
    const next = await send('GET', '/limits', {});
    expect([next.statusCode, agent.requests]).toEqual([200, {}]);
    await text(next);
  });
});
