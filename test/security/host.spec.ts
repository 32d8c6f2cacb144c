import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply } from '../harness/api.js';

type RawReply = Omit<Reply, 'json'>;

const FORWARDED = { 'X-Forwarded-Host': 'example.org', 'X-Forwarded-Proto': 'https' };

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

/** Sends a request without a body and with exactly these headers. */
function send(line: string, headers: readonly string[], { origin } = api): Promise<RawReply> {
  return sendRaw(origin, `${[line, ...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`);
}

/** The origin of the URLs in the list of resources. */
function originIn({ status, text }: RawReply): string {
  expect(status).toBe(200);
  return new URL((JSON.parse(text) as Record<string, string>).batches ?? '').origin;
}

/** The origin of the URLs in responses to a request with these headers. */
async function originOf(server: TestApi, headers: Record<string, string>): Promise<string> {
  const origin = originIn(await server.call('GET', '/', { headers }));
  const { type } = expectProblem(await server.call('GET', '/nothing', { headers }), 'not-found');
  expect(type).toBe(`${origin}/problems#not-found`);
  return origin;
}

describe('Host', () => {
  it.each(['server', 'server:8000', 'a-b.c_d:1', '10.0.0.1', '[::1]:8000', 'SERVER', "a!$&'()*+,;=~%41"])(
    'is the host of the URLs in the response: %s',
    async (host) => {
      const { text } = await send('GET /api/v1/ HTTP/1.1', [`Host: ${host}`]);
      expect(text).toContain(`"http://${host}/api/v1/batches"`);
    },
  );

  it.each([
    '',
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'a@b',
    'a"b',
    'a\\b',
    '<script>',
    '[',
    '[::1',
    '::1',
    '[::g]',
    'x:y',
    'x:99999',
    'x:8000:8000',
    '%zz',
    '1.2.3.4.5',
    '\u00e4',
  ])('is rejected when it is no host and port: %j', async (host) => {
    const reply = await send('GET /api/v1/ HTTP/1.1', [`Host: ${host}`]);
    const { type } = expectProblem(reply, 'malformed-request');
    expect(type).toBe(`${api.origin}/problems#malformed-request`);
  });

  it('is rejected before the key is checked, and on every path', async () => {
    for (const path of ['/api/v1/objects', '/nothing', '/docs', '/openapi.json', '/health/live']) {
      expectProblem(await send(`GET ${path} HTTP/1.1`, ['Host: a b']), 'malformed-request');
    }
  });

  it.each([
    ['Host: server', 'Host: other'],
    ['Host: server', 'hOST: server'],
  ])('is rejected when it is sent twice: %s, %s', async (...hosts) => {
    const { detail } = expectProblem(await send('GET /api/v1/ HTTP/1.1', hosts), 'malformed-request');
    expect(detail).toContain('more than one Host');
  });

  it('is required in HTTP/1.1, also with a target in absolute form', async () => {
    for (const target of ['/api/v1/', `${api.origin}/api/v1/`]) {
      expectProblem(await send(`GET ${target} HTTP/1.1`, []), 'malformed-request');
    }
  });

  it('is not required in HTTP/1.0; URLs then have the address and port of the server', async () => {
    expect(originIn(await send('GET /api/v1/ HTTP/1.0', []))).toBe(api.origin);
  });
});

describe('a request target in absolute form', () => {
  it('replaces Host', async () => {
    expect(originIn(await send('GET http://public:81/api/v1/ HTTP/1.1', ['Host: server']))).toBe('http://public:81');
    expect(originIn(await send('GET http://public:81/api/v1/ HTTP/1.0', []))).toBe('http://public:81');
  });

  it('can have a query', async () => {
    const project = await api.project();
    const headers = ['Host: server', `X-Api-Key: ${project.keys.analyst}`];
    const reply = await send('GET http://server/api/v1/objects?page_size=1 HTTP/1.1', headers);
    expect([reply.status, JSON.parse(reply.text)]).toMatchObject([200, { count: 0 }]);
  });

  it.each(['http://x:99999', 'http://[', 'http://', 'http://user@server'])(
    'is rejected with the authority of %s',
    async (origin) => {
      const reply = await send(`GET ${origin}/api/v1/ HTTP/1.1`, ['Host: server']);
      expect(reply.status).toBe(400);
      expect((JSON.parse(reply.text) as { detail: string }).detail).toContain('host');
    },
  );

  it('returns 404 with a scheme other than http and https', async () => {
    expectProblem(await send('GET ftp://server/api/v1/ HTTP/1.1', ['Host: server']), 'not-found');
  });
});

describe('X-Forwarded-Host and X-Forwarded-Proto', () => {
  it('are ignored by default', async () => {
    expect(await originOf(api, FORWARDED)).toBe(api.origin);
  });

  it('are ignored from an address that is not in TRUSTED_PROXIES', async () => {
    const server = await TestApi.start({ TRUSTED_PROXIES: '10.0.0.0/8, ::1' });
    try {
      expect(await originOf(server, { ...FORWARDED, 'X-Forwarded-For': '10.0.0.1' })).toBe(server.origin);
    } finally {
      await server.stop();
    }
  });

  describe('from an address in TRUSTED_PROXIES', () => {
    let behind: TestApi;

    beforeAll(async () => {
      behind = await TestApi.start({ TRUSTED_PROXIES: '10.0.0.1, 127.0.0.0/24' });
    });
    afterAll(() => behind.stop());

    it('are the origin of the URLs in the response', async () => {
      expect(await originOf(behind, FORWARDED)).toBe('https://example.org');
    });

    it('may be missing', async () => {
      expect(await originOf(behind, {})).toBe(behind.origin);
      expect(await originOf(behind, { 'X-Forwarded-Host': 'example.org:81' })).toBe('http://example.org:81');
      expect(await originOf(behind, { 'X-Forwarded-Proto': 'https' })).toBe(behind.origin.replace('http:', 'https:'));
    });

    it('have the value of the nearest proxy last', async () => {
      const headers = { 'X-Forwarded-Host': 'forged.example, example.org', 'X-Forwarded-Proto': 'http, https' };
      expect(await originOf(behind, headers)).toBe('https://example.org');
    });

    it('have no effect on the scheme with a value other than https', async () => {
      for (const scheme of ['javascript', 'ftp', 'https:', 'x,']) {
        expect(await originOf(behind, { 'X-Forwarded-Proto': scheme })).toBe(behind.origin);
      }
    });

    it.each(['a b', '"><script>', 'x:99999', 'user@x', 'good, '])('are rejected with the host %j', async (host) => {
      const headers = ['Host: server', `X-Forwarded-Host: ${host}`];
      const { detail } = expectProblem(await send('GET /api/v1/ HTTP/1.1', headers, behind), 'malformed-request');
      expect(detail).toContain('X-Forwarded-Host');
    });
  });
});

describe('PUBLIC_URL', () => {
  let server: TestApi;

  beforeAll(async () => {
    server = await TestApi.start({ PUBLIC_URL: 'https://Stowage.example:8443/', TRUSTED_PROXIES: '127.0.0.1' });
  });
  afterAll(() => server.stop());

  const PUBLIC = 'https://stowage.example:8443';

  it('is the origin of the URLs in responses, whatever the request and the proxy send', async () => {
    expect(await originOf(server, {})).toBe(PUBLIC);
    expect(await originOf(server, FORWARDED)).toBe(PUBLIC);
    expect(originIn(await send('GET http://other/api/v1/ HTTP/1.1', ['Host: other'], server))).toBe(PUBLIC);
    expect(originIn(await send('GET /api/v1/ HTTP/1.0', [], server))).toBe(PUBLIC);
  });

  it('is the origin in Location, in pages and in batches', async () => {
    const { keys } = await server.project();
    for (const batch_id of ['a', 'b']) {
      const reply = await server.call('POST', '/batches', { key: keys.admin, body: { batch_id, objects: [] } });
      expect(reply.headers.get('location')).toBe(`${PUBLIC}/api/v1/batches/${batch_id}`);
    }
    const page = (await server.call('GET', '/batches?page_size=1', { key: keys.admin })).json<{ next: string }>();
    expect(page.next.startsWith(`${PUBLIC}/api/v1/batches?`)).toBe(true);
    const headers = { Prefer: 'respond-async' };
    const body = { batch_id: 'later', objects: [] };
    const accepted = await server.call('POST', '/batches', { key: keys.admin, body, headers });
    expect(accepted.headers.get('location')).toMatch(/^https:\/\/stowage\.example:8443\/api\/v1\/jobs\//);
  });

  it('is the origin of the problem of bytes that are not HTTP', async () => {
    const { type } = expectProblem(await sendRaw(server.origin, 'hello\r\n\r\n'), 'malformed-request');
    expect(type).toBe(`${PUBLIC}/problems#malformed-request`);
  });

  it('does not replace the check of Host', async () => {
    expectProblem(await send('GET /api/v1/ HTTP/1.1', ['Host: a b'], server), 'malformed-request');
  });
});
