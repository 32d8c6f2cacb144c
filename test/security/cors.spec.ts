import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

type RawReply = Omit<Reply, 'json'>;

const ORIGIN = 'https://app.example.org';

/** A preflight request. Raw, because fetch reserves its headers for browsers. */
function preflight(
  api: TestApi,
  path: string,
  { origin = ORIGIN, method = 'POST', headers = 'x-api-key, content-type' } = {},
): Promise<RawReply> {
  return sendRaw(
    api.origin,
    `OPTIONS ${path} HTTP/1.1\r\nHost: server\r\nOrigin: ${origin}\r\nConnection: close\r\n` +
      `Access-Control-Request-Method: ${method}\r\nAccess-Control-Request-Headers: ${headers}\r\n\r\n`,
  );
}

function get(api: TestApi, path: string, origin: string | undefined, headers: string[] = []): Promise<RawReply> {
  const all = ['Host: server', ...(origin === undefined ? [] : [`Origin: ${origin}`]), ...headers, 'Connection: close'];
  return sendRaw(api.origin, `GET ${path} HTTP/1.1\r\n${all.join('\r\n')}\r\n\r\n`);
}

function corsHeaders({ headers }: RawReply): string[] {
  return [...headers.keys()].filter((name) => name.startsWith('access-control-'));
}

describe('without CORS_ORIGINS', () => {
  let api: TestApi;

  beforeAll(async () => {
    api = await TestApi.shared();
  });
  afterAll(() => api.stop());

  it('no response allows another origin', async () => {
    for (const path of ['/api/v1/limits', '/api/v1/objects', '/nothing', '/openapi.json']) {
      expect(corsHeaders(await get(api, path, ORIGIN))).toEqual([]);
    }
  });

  it('a preflight request gets 405', async () => {
    const reply = await preflight(api, '/api/v1/objects');
    expectProblem(reply, 'method-not-allowed');
    expect(corsHeaders(reply)).toEqual([]);
  });
});

describe('with CORS_ORIGINS', () => {
  let api: TestApi;
  let project: TestProject;

  beforeAll(async () => {
    api = await TestApi.start({ CORS_ORIGINS: `http://localhost:3000, ${ORIGIN}` });
    project = await api.project();
  });
  afterAll(() => api.stop());

  it.each([ORIGIN, 'http://localhost:3000'])('a preflight request of %s is answered without a key', async (origin) => {
    for (const path of ['/api/v1/objects', '/api/v1/objects/o', '/api/v1/firmware', '/openapi.json']) {
      const reply = await preflight(api, path, { origin });
      expect([reply.status, reply.text]).toEqual([204, '']);
      expect(reply.headers.get('access-control-allow-origin')).toBe(origin);
      expect(reply.headers.get('access-control-allow-methods')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE');
      expect(reply.headers.get('access-control-allow-headers')).toBe('x-api-key, content-type');
      expect(reply.headers.get('access-control-max-age')).toBe('7200');
      expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
      expect(reply.headers.get('vary')).toContain('Origin');
    }
  });

  it.each([
    'https://evil.example',
    'http://app.example.org',
    'https://app.example.org:8443',
    'https://app.example.org.evil.example',
    'https://sub.app.example.org',
    'null',
    '*',
  ])('the origin %s is not allowed', async (origin) => {
    for (const reply of [
      await preflight(api, '/api/v1/objects', { origin }),
      await get(api, '/api/v1/limits', origin),
    ]) {
      expect(reply.headers.get('access-control-allow-origin')).toBeNull();
      expect(reply.headers.get('vary')).toContain('Origin');
    }
  });

  it.each<[string, number]>([
    ['/api/v1/limits', 200],
    ['/api/v1/objects', 401],
    ['/nothing', 404],
    ['/docs', 200],
    ['/health/live', 200],
  ])('the response at %s is readable for an allowed origin, also with the status %i', async (path, status) => {
    const reply = await get(api, path, ORIGIN);
    expect(reply.status).toBe(status);
    expect(reply.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
    expect(reply.headers.get('vary')?.split(', ')).toContain('Origin');
  });

  it('every header that clients need is readable', async () => {
    const exposed = (await get(api, '/api/v1/limits', ORIGIN)).headers
      .get('access-control-expose-headers')
      ?.split(', ');
    const always = ['cache-control', 'content-length', 'content-type'];
    const notForScripts =
      /^(?:connection|keep-alive|date|vary|access-control-.*|x-(?!request-id).*|cross-origin-.*|origin-.*|referrer-policy|content-security-policy)$/;
    const body = { batch_id: 'b', objects: [] };
    const { producer, analyst } = project.keys;
    const replies = [
      await api.call('POST', '/batches', { key: producer, body, headers: { 'Idempotency-Key': 'k' } }),
      await api.call('POST', '/batches', { key: producer, body, headers: { 'Idempotency-Key': 'k' } }),
      await api.call('POST', '/batches', {
        key: producer,
        body: { batch_id: 'later', objects: [] },
        headers: { Prefer: 'respond-async' },
      }),
      await api.call('GET', '/batches/b', { key: analyst }),
      await api.call('GET', '/objects?page_size=1', { key: analyst }),
      await api.call('GET', '/objects'),
      await api.call('PATCH', '/objects'),
      await api.call('POST', '/objects', { key: producer, body: 'x', headers: { 'Content-Encoding': 'br' } }),
    ];
    const sent = new Set(replies.flatMap(({ headers }) => [...headers.keys()]));
    const wanted = [...sent].filter((name) => !always.includes(name) && !notForScripts.test(name));
    expect(exposed?.map((name) => name.toLowerCase())).toEqual(expect.arrayContaining(wanted));
    expect(wanted).toEqual(expect.arrayContaining(['etag', 'location', 'idempotency-replayed', 'www-authenticate']));
  });

  it('Vary keeps the other request headers that a response depends on', async () => {
    for (const [path, name] of [
      ['/api/v1/', 'Accept'],
      ['/openapi.json', 'Accept-Encoding'],
    ] as const) {
      const { headers } = await get(api, path, ORIGIN);
      expect(headers.get('vary')?.split(', ').sort()).toEqual([name, 'Origin'].sort());
    }
  });

  it('a request without Origin is served, and OPTIONS that is no preflight request gets 405', async () => {
    expect((await get(api, '/api/v1/limits', undefined)).status).toBe(200);
    const options = `OPTIONS /api/v1/objects HTTP/1.1\r\nHost: server\r\nOrigin: ${ORIGIN}\r\nConnection: close\r\n\r\n`;
    const reply = await sendRaw(api.origin, options);
    expectProblem(reply, 'method-not-allowed');
    expect(reply.headers.get('allow')).toBe('POST, GET, HEAD, DELETE');
  });

  it('an unknown path gets 404 with every method', async () => {
    for (const method of ['GET', 'PUT', 'OPTIONS']) {
      const reply = await sendRaw(
        api.origin,
        `${method} /nothing HTTP/1.1\r\nHost: server\r\nOrigin: ${ORIGIN}\r\nConnection: close\r\n\r\n`,
      );
      expectProblem(reply, 'not-found');
    }
  });
});

describe('with CORS_ORIGINS=*', () => {
  it('every origin is allowed, without credentials', async () => {
    const api = await TestApi.start({ CORS_ORIGINS: '*' });
    try {
      for (const origin of ['https://evil.example', 'null']) {
        const replies = [
          await preflight(api, '/api/v1/objects', { origin }),
          await get(api, '/api/v1/limits', origin),
          await get(api, '/api/v1/objects', origin),
        ];
        for (const { headers } of replies) {
          expect(headers.get('access-control-allow-origin')).toBe('*');
          expect(headers.get('access-control-allow-credentials')).toBeNull();
        }
      }
    } finally {
      await api.stop();
    }
  });
});
