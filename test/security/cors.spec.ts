import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openApiOf, operationsOf } from '../documents/open-api.js';
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

  it('no response of the API allows another origin or varies by it', async () => {
    for (const path of [
      '/api/v1/',
      '/api/v1/limits',
      '/api/v1/objects',
      '/api/v1/objects/%zz',
      '/nothing',
      '/health/live',
    ]) {
      const reply = await get(api, path, ORIGIN);
      expect([path, corsHeaders(reply), reply.headers.get('vary')]).toEqual([
        path,
        [],
        path === '/api/v1/' ? 'Accept, Accept-Encoding' : null,
      ]);
    }
  });

  it('a preflight request gets 405', async () => {
    const reply = await preflight(api, '/api/v1/objects');
    expectProblem(reply, 'method-not-allowed');
    expect(corsHeaders(reply)).toEqual([]);
  });

  it.each([
    '/openapi.json',
    '/openapi.yaml',
    '/docs',
    '/docs/',
    '/redoc',
    '/problems',
    '/filters',
    '/guides/integrations',
  ])('every origin may read the document at %s, and caches may share it', async (path) => {
    const { headers } = await get(api, path, undefined);
    const etag = headers.get('etag') ?? '';
    for (const reply of [
      await get(api, path, undefined),
      await get(api, path, 'https://anyone.example'),
      await get(api, path, 'null', [`If-None-Match: ${etag}`]),
    ]) {
      expect(reply.headers.get('access-control-allow-origin')).toBe('*');
      expect(reply.headers.get('access-control-expose-headers')?.split(', ')).toContain('ETag');
      expect(reply.headers.get('vary')).toBe('Accept-Encoding');
    }
    const answered = await preflight(api, path, { method: 'GET', headers: 'if-none-match' });
    expect([answered.status, answered.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
    expect(answered.headers.get('access-control-allow-headers')).toBe('if-none-match');
  });
});

describe('with CORS_ORIGINS', () => {
  let api: TestApi;
  let project: TestProject;

  beforeAll(async () => {
    api = await TestApi.start({ CORS_ORIGINS: `http://localhost:3000, ${ORIGIN}`, BODY_LIMIT_BYTES: '50000' });
    project = await api.project();
  });
  afterAll(() => api.stop());

  it.each([ORIGIN, 'http://localhost:3000'])('a preflight request of %s is answered without a key', async (origin) => {
    for (const path of [
      '/api/v1/objects',
      '/api/v1/objects/o',
      '/api/v1/firmware',
      '/api/v1/objects/%zz',
      '/nothing',
    ]) {
      const reply = await preflight(api, path, { origin });
      expect([reply.status, reply.text]).toEqual([204, '']);
      expect(reply.headers.get('access-control-allow-origin')).toBe(origin);
      expect(reply.headers.get('access-control-allow-methods')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE');
      expect(reply.headers.get('access-control-allow-headers')).toBe('x-api-key, content-type');
      expect(reply.headers.get('access-control-max-age')).toBe('7200');
      expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
      expect(reply.headers.get('vary')).toBe('Origin, Access-Control-Request-Headers');
      expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
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
  ])('responses to the origin %s have no CORS headers', async (origin) => {
    const refused = await preflight(api, '/api/v1/objects', { origin });
    expectProblem(refused, 'method-not-allowed');
    const replies = [await get(api, '/api/v1/limits', origin), await get(api, '/api/v1/objects/%zz', origin)];
    for (const reply of [refused, ...replies]) {
      expect(corsHeaders(reply)).toEqual([]);
      expect(reply.headers.get('vary')).toContain('Origin');
    }
  });

  it.each<[string, number]>([
    ['/api/v1/limits', 200],
    ['/api/v1/objects', 401],
    ['/api/v1/objects/%zz', 400],
    [`/api/v1/objects/${'x'.repeat(5_000)}`, 414],
    ['/nothing', 404],
    ['/health/live', 200],
  ])('the response at %s is readable for an allowed origin, also with the status %i', async (path, status) => {
    const reply = await get(api, path, ORIGIN);
    expect(reply.status).toBe(status);
    expect(reply.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
    expect(reply.headers.get('vary')?.split(', ')).toContain('Origin');
  });

  it('problems of requests with a body are readable', async () => {
    const head = `Host: server\r\nOrigin: ${ORIGIN}\r\nConnection: close\r\nX-Api-Key: ${project.keys.producer}\r\n`;
    for (const [slug, fields] of [
      ['too-large', 'Content-Type: application/json\r\nContent-Length: 50001\r\n'],
      ['unsupported-media-type', 'Content-Type: text/plain\r\nContent-Length: 1\r\n'],
      ['malformed-request', 'Content-Type: application/json\r\nContent-Length: 1\r\n'],
    ] as const) {
      const reply = await sendRaw(api.origin, `POST /api/v1/batches HTTP/1.1\r\n${head}${fields}\r\n{`);
      expectProblem(reply, slug);
      expect(reply.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    }
  });

  it('every header in the OpenAPI document is readable', async () => {
    const exposed = (await get(api, '/api/v1/limits', ORIGIN)).headers.get('access-control-expose-headers');
    const documented = new Set(
      operationsOf(await openApiOf(api)).flatMap(([, { responses }]) =>
        Object.values(responses).flatMap(({ headers = {} }) => Object.keys(headers)),
      ),
    );
    // Always readable, for the browser itself, or trailers, which browsers do not show.
    const others = ['Cache-Control', 'Content-Encoding', 'Vary', 'Trailer', 'Export-Count', 'Export-SHA256'];
    expect([...documented]).toEqual(expect.arrayContaining(['ETag', 'Content-Disposition']));
    expect(
      [...documented].filter((name) => !others.includes(name) && exposed?.split(', ').includes(name) !== true),
    ).toEqual([]);
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
    expect((await get(api, '/api/v1/', ORIGIN)).headers.get('vary')).toBe('Origin, Accept, Accept-Encoding');
    expect((await get(api, '/openapi.json', ORIGIN)).headers.get('vary')).toBe('Accept-Encoding');
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
  let api: TestApi;

  beforeAll(async () => {
    api = await TestApi.start({ CORS_ORIGINS: '*', RATE_LIMIT_FAILURES_PER_MINUTE: '1' });
  });
  afterAll(() => api.stop());

  it('every origin is allowed, without credentials, and responses do not vary by it', async () => {
    for (const origin of ['https://evil.example', 'null', undefined]) {
      for (const path of ['/api/v1/limits', '/nothing', '/api/v1/objects/%zz']) {
        const { headers } = await get(api, path, origin);
        expect(headers.get('access-control-allow-origin')).toBe('*');
        expect(headers.get('access-control-allow-credentials')).toBeNull();
        expect(headers.get('vary')).toBeNull();
      }
    }
  });

  it('preflight requests are no failed authentications, and are answered when the address has too many', async () => {
    const send = async (): Promise<number> => (await get(api, '/api/v1/objects', ORIGIN, ['X-Api-Key: wrong'])).status;
    const ask = async (): Promise<number> => (await preflight(api, '/api/v1/objects')).status;
    const statuses = [await ask(), await ask(), await ask(), await send()];
    const limited = await get(api, '/api/v1/objects', ORIGIN, ['X-Api-Key: wrong']);
    expectProblem(limited, 'rate-limited');
    expect(limited.headers.get('access-control-allow-origin')).toBe('*');
    expect([...statuses, await ask()]).toEqual([204, 204, 204, 401, 204]);
  });
});
