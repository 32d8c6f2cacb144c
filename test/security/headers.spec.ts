import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

type RawReply = Omit<Reply, 'json'>;

/** The headers of Helmet 8, without the policy and HSTS. */
const HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};
const API_POLICY = "default-src 'none'; frame-ancestors 'none'";

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

function expectHeaders({ headers }: RawReply): void {
  for (const [name, value] of Object.entries(HEADERS)) expect([name, headers.get(name)]).toEqual([name, value]);
  for (const name of ['server', 'x-powered-by', 'strict-transport-security'])
    expect([name, headers.get(name)]).toEqual([name, null]);
}

/** The directives of a Content-Security-Policy. */
function policyOf({ headers }: RawReply): Record<string, string> {
  const directives = (headers.get('content-security-policy') ?? '').split('; ').map((one) => one.split(/ (.*)/));
  return Object.fromEntries(directives.map(([name = '', sources = '']) => [name, sources]));
}

describe('the security headers', () => {
  it.each<[string, number, () => Promise<RawReply>]>([
    ['a list', 200, () => api.call('GET', '/objects', { key: project.keys.analyst })],
    [
      'a created batch',
      201,
      () => api.call('POST', '/batches', { key: project.keys.producer, body: { batch_id: 'b', objects: [] } }),
    ],
    ['a batch that is streamed', 200, () => api.call('GET', '/batches/b', { key: project.keys.analyst })],
    ['a 304', 304, () => api.call('GET', '/limits', { headers: { 'If-None-Match': '*' } })],
    ['a response to HEAD', 200, () => api.call('HEAD', '/limits')],
    ['a redirect', 302, () => api.call('GET', `${api.origin}/`)],
    ['the OpenAPI document', 200, () => api.call('GET', `${api.origin}/openapi.json`)],
    ['a script', 200, () => api.call('GET', `${api.origin}/redoc/redoc.js`)],
    ['health', 200, () => api.call('GET', `${api.origin}/healthcheck`)],
    ['a 401', 401, () => api.call('GET', '/objects')],
    ['a 404', 404, () => api.call('GET', `${api.origin}/nothing`)],
    ['a 405', 405, () => api.call('PATCH', '/objects')],
    ['an invalid body', 400, () => api.call('POST', '/objects', { key: project.keys.producer, body: '{' })],
    ['an invalid path', 400, () => api.call('GET', '/objects/%zz')],
    ['an invalid host', 400, () => sendRaw(api.origin, 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n')],
    ['a request that is not HTTP', 400, () => sendRaw(api.origin, 'hello\r\n\r\n')],
    ['CONNECT', 400, () => sendRaw(api.origin, 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n')],
  ])('are those of Helmet for %s, which is no page', async (_, status, send) => {
    const reply = await send();
    expect(reply.status).toBe(status);
    expectHeaders(reply);
    expect(reply.headers.get('content-security-policy')).toBe(API_POLICY);
  });

  it.each(['/docs', '/docs/index.html', '/redoc', '/problems', '/api/v1/'])(
    'are those of Helmet, with another policy, for the page %s and its 304',
    async (path) => {
      const headers = { Accept: 'text/html' };
      const page = await api.call('GET', api.origin + path, { headers });
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
      expectHeaders(page);
      const again = await api.call('GET', api.origin + path, { headers: { ...headers, 'If-None-Match': '*' } });
      expect([again.status, again.headers.get('content-security-policy')]).toEqual([
        304,
        page.headers.get('content-security-policy'),
      ]);
      expect(policyOf(page)).toMatchObject({
        'default-src': "'none'",
        'base-uri': "'none'",
        'form-action': "'none'",
        'frame-ancestors': "'none'",
      });
    },
  );
});

describe('the policy of a page', () => {
  async function page(path: string): Promise<Reply> {
    return api.call('GET', api.origin + path, { headers: { Accept: 'text/html' } });
  }

  it.each(['/docs', '/redoc'])('allows scripts only from this server: %s', async (path) => {
    const reply = await page(path);
    expect(policyOf(reply)).toMatchObject({ 'script-src': "'self'", 'connect-src': "'self'" });
    const scripts = [...reply.text.matchAll(/<script([^>]*)>([^<]*)/g)];
    expect(scripts.length).toBeGreaterThan(0);
    for (const [, attributes, code] of scripts)
      expect([attributes, code]).toEqual([expect.stringMatching(/ src="\//), '']);
    expect(reply.text).not.toMatch(/ on\w+=|javascript:/i);
  });

  it('allows inline styles only to ReDoc', async () => {
    expect(policyOf(await page('/redoc'))).toMatchObject({ 'style-src': "'unsafe-inline'" });
    const swagger = await page('/docs');
    expect(policyOf(swagger)).toMatchObject({ 'style-src': "'self'" });
    expect(swagger.text).not.toMatch(/<style| style=/i);
  });

  it.each(['/problems', '/api/v1/'])('allows no script and only the style of the page: %s', async (path) => {
    const reply = await page(path);
    const policy = policyOf(reply);
    expect(policy).not.toHaveProperty('script-src');
    const [, style = ''] = /<style>([^<]*)<\/style>/.exec(reply.text) ?? [];
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
    expect(policy['style-src']).toBe(`'sha256-${Buffer.from(digest).toString('base64')}'`);
    expect(reply.text).not.toMatch(/<script| style=| on\w+=/i);
  });
});

describe('Strict-Transport-Security', () => {
  it.each([
    ['https://example.org', 'max-age=31536000'],
    ['http://example.org', null],
  ])('for PUBLIC_URL=%s is %s', async (url, value) => {
    const server = await TestApi.start({ PUBLIC_URL: url });
    try {
      for (const reply of [await server.call('GET', '/limits'), await server.call('GET', '/objects')]) {
        expect(reply.headers.get('strict-transport-security')).toBe(value);
      }
    } finally {
      await server.stop();
    }
  });
});
