import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';
const SETTINGS = {
  PAGE_SIZE: '7',
  PAGE_SIZE_MAX: '77',
  PAGE_BYTES_MAX: '77777777',
  COUNT_CAP: '777',
  BODY_LIMIT_BYTES: '50000',
  BATCH_OBJECTS_MAX: '77777',
  INFLATED_LIMIT_BYTES: '7777777',
};

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start(SETTINGS);
  project = await api.project();
});
afterAll(() => api.stop());

/** The URLs that a page loads or links to, absolute. */
function linksOf(html: string, page: string): string[] {
  return Array.from(html.matchAll(/ (?:src|href|spec-url)="([^"]*)"/g), ([, link = '']) => new URL(link, page).href);
}

it('redirects / to the list of resources', async () => {
  const reply = await api.call('GET', `${api.origin}/`);
  expect([reply.status, reply.headers.get('location')]).toEqual([302, '/api/v1/']);
});

describe('GET /api/v1/', () => {
  it.each([undefined, '*/*', 'application/json', 'application/*', 'text/html;q=0.5, application/json'])(
    'lists names and absolute URLs, each of which works, for Accept: %s',
    async (accept) => {
      const reply = await api.call('GET', '/', accept === undefined ? {} : { headers: { Accept: accept } });
      expect(reply.headers.get('content-type')).toBe('application/json; charset=utf-8');
      const listing = reply.json<Record<string, string>>();
      expect(listing).toMatchObject({
        batches: `${api.origin}/api/v1/batches`,
        objects: `${api.origin}/api/v1/objects`,
        temperatures: `${api.origin}/api/v1/objects?key=temperature`,
        devices: `${api.origin}/api/v1/devices`,
      });
      for (const [name, url] of Object.entries(listing)) {
        const key = ['projects', 'operator_keys'].includes(name) ? api.operatorKey : project.keys.analyst;
        const reply = await api.call('GET', url, { key });
        // It requires device_id.
        if (name === 'firmware') expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual(['device_id']);
        else expect([name, reply.status]).toEqual([name, 200]);
      }
    },
  );

  it('returns an HTML page with the same links to a browser', async () => {
    const reply = await api.call('GET', '/', { headers: { Accept: BROWSER } });
    expect(reply.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(reply.headers.get('vary')).toBe('Accept');
    const links = linksOf(reply.text, `${api.origin}/api/v1/`);
    const listing = (await api.call('GET', '/')).json<Record<string, string>>();
    expect(links).toEqual(Object.values(listing));
  });
});

describe('GET /api/v1/limits', () => {
  it('returns the configured limits and the fixed ones', async () => {
    const wanted = Object.entries(SETTINGS).map(([name, value]) => [name.toLowerCase(), Number(value)]);
    expect((await api.call('GET', '/limits')).json()).toEqual({
      ...Object.fromEntries(wanted),
      object_limit_bytes: 50_000,
      management_limit_bytes: 50_000,
      report_limit_bytes: 16_384,
      feed_list_max: 10_000,
    });
  });

  it('returns the limits that the server enforces', async () => {
    const { analyst } = project.keys;
    const page = (size: number) => api.call('GET', `/batches?page_size=${String(size)}`, { key: analyst });
    expect([(await page(77)).status, (await page(78)).status]).toEqual([200, 400]);
  });
});

describe('the reference', () => {
  it.each(['/docs', '/docs/', '/redoc', '/redoc/', '/problems', '/problems/'])(
    'at %s is a page that loads all resources from this server',
    async (path) => {
      const reply = await api.call('GET', api.origin + path, { headers: { Accept: BROWSER } });
      expect(reply.status).toBe(200);
      expect(reply.headers.get('content-type')).toMatch(/^text\/html\b/);
      for (const link of linksOf(reply.text, api.origin + path)) {
        expect(link.startsWith(api.origin)).toBe(true);
        expect([link, (await api.call('GET', link)).status]).toEqual([link, 200]);
      }
    },
  );

  // With the test above: the page loads all resources at each of these URLs.
  it.each([
    ['/docs', ['/docs/', '/docs/?tag=jobs', '/docs?tag=a/', '/docs/index.html', '/docs/index.html/']],
    ['/redoc', ['/redoc/']],
    ['/problems', ['/problems/']],
  ])('at %s is the same page as at %j', async (path, others) => {
    const page = await api.call('GET', api.origin + path);
    for (const other of others) {
      const reply = await api.call('GET', api.origin + other);
      expect([other, reply.status, reply.text]).toEqual([other, 200, page.text]);
    }
  });

  it('serves its scripts', async () => {
    for (const path of ['/redoc/redoc.js', '/docs/swagger-ui-bundle.js', '/docs/swagger-ui-init.js']) {
      const reply = await api.call('GET', api.origin + path);
      expect(reply.headers.get('content-type')).toMatch(/^(?:text|application)\/javascript\b/);
      expect(reply.text.length).toBeGreaterThan(1000);
    }
  });
});

describe('documents', () => {
  it.each(['/docs', '/docs/swagger-ui-init.js', '/redoc', '/problems', '/openapi.json', '/openapi.yaml'])(
    'at %s can be revalidated',
    async (path) => {
      const first = await api.call('GET', api.origin + path);
      expect([first.status, first.headers.get('cache-control')]).toEqual([200, 'private, no-cache']);
      const etag = first.headers.get('etag') ?? '';
      const again = await api.call('GET', api.origin + path, { headers: { 'If-None-Match': etag } });
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
    },
  );
});

describe('health', () => {
  it.each(['/health/live', '/health/ready', '/healthcheck', '/healthcheck/'])(
    'is available at %s without a key',
    async (path) => {
      const reply = await api.call('GET', api.origin + path);
      expect([reply.status, reply.json()]).toMatchObject([200, { status: 'ok' }]);
    },
  );
});

describe('HEAD', () => {
  it('returns the headers of GET without a body', async () => {
    const body = { batch_id: 'b', objects: [{ object_id: 'o', data: [] }] };
    await api.call('POST', '/batches', { key: project.keys.producer, body });
    const below = [
      '/',
      '/limits',
      '/batches',
      '/batches/b',
      '/objects',
      '/objects/o',
      '/objects/nothing',
      '/batches?page=0',
    ];
    const urls = [...below, '/projects'].map((path) => `${api.origin}/api/v1${path}`);
    for (const url of [
      ...urls,
      ...['/redoc', '/problems', '/healthcheck', '/openapi.json'].map((path) => api.origin + path),
    ]) {
      const key = url.endsWith('/projects') ? api.operatorKey : project.keys.analyst;
      const [get, head] = [await api.call('GET', url, { key }), await api.call('HEAD', url, { key })];
      expect([url, head.status, head.text]).toEqual([url, get.status, '']);
      for (const name of ['content-type', 'etag', 'cache-control', 'vary']) {
        expect([url, name, head.headers.get(name)]).toEqual([url, name, get.headers.get(name)]);
      }
    }
  });
});
