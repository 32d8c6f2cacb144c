import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8';
const SETTINGS = {
  PAGE_SIZE: '7',
  PAGE_SIZE_MAX: '77',
  PAGE_BYTES_MAX: '77777777',
  COUNT_CAP: '777',
  QUERY_TIMEOUT_MS: '7777',
  BODY_LIMIT_BYTES: '50000',
  BATCH_OBJECTS_MAX: '77777',
  INFLATED_LIMIT_BYTES: '7777777',
  PROJECT_OBJECTS_MAX: '77777777',
  PROJECT_BYTES_MAX: '777777777',
  UNDELETE_HOURS: '777',
  RATE_LIMIT_ITEMS_PER_MINUTE: '777777',
  RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: '7777777',
  RATE_LIMIT_FAILURES_PER_MINUTE: '77',
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

it.each([
  ['*/*', '/api/v1/'],
  [BROWSER, '/browse'],
])('redirects / for Accept: %s to %s', async (Accept, location) => {
  const reply = await api.call('GET', `${api.origin}/`, { headers: { Accept } });
  expect([reply.status, reply.headers.get('location'), reply.headers.get('vary')]).toEqual([302, location, 'Accept']);
});

describe('the browser page', () => {
  it('is the same for each view, and is not cached without a check', async () => {
    const page = await api.call('GET', `${api.origin}/browse`);
    for (const path of ['/browse/', '/browse/objects?data=1', '/browse/batches/']) {
      expect((await api.call('GET', api.origin + path)).text).toBe(page.text);
    }
    expect(page.headers.get('cache-control')).toBe('public, no-cache');
  });

  it('allows scripts, styles and requests of this server only', async () => {
    const policy = (await api.call('GET', `${api.origin}/browse`)).headers.get('content-security-policy') ?? '';
    expect(policy).toContain(
      `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';`,
    );
    expect(policy).not.toContain('unsafe');
  });

  it('has files with a hash in their name, which browsers keep', async () => {
    const { text } = await api.call('GET', `${api.origin}/browse`);
    const files = linksOf(text, api.origin).filter((link) => link.includes('/assets/'));
    expect(files).toHaveLength(2);
    for (const file of files) {
      const reply = await api.call('GET', file);
      expect([reply.status, reply.headers.get('cache-control')]).toEqual([200, 'public, max-age=31536000, immutable']);
    }
    expect((await api.call('GET', `${api.origin}/favicon.ico`)).headers.get('content-type')).toBe('image/svg+xml');
  });
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
        const { admin, analyst } = project.keys;
        const isOfOperator = ['projects', 'operator_keys', 'audit', 'maintenance', 'metrics'].includes(name);
        const isOfAdmin = ['usage', 'deletions', 'webhooks'].includes(name);
        const reply = await api.call('GET', url, { key: isOfOperator ? api.operatorKey : isOfAdmin ? admin : analyst });
        const required = { firmware: 'device_id', facets: 'key', aggregate: 'op' }[name];
        if (required === undefined) expect([name, reply.status]).toEqual([name, 200]);
        else expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([required]);
      }
    },
  );

  it('lists every resource whose path has no parameter', async () => {
    const { paths } = (await api.call('GET', `${api.origin}/openapi.json`)).json<{ paths: Record<string, object> }>();
    const resources = Object.entries(paths).flatMap(([path, item]) =>
      path.startsWith('/api/v1/') && !path.includes('{') && 'get' in item ? [api.origin + path] : [],
    );
    expect(resources.length).toBeGreaterThan(20);
    const listed = Object.values((await api.call('GET', '/')).json<Record<string, string>>());
    expect(listed).toEqual(expect.arrayContaining(resources));
  });

  it('returns an HTML page with the same links to a browser', async () => {
    const reply = await api.call('GET', '/', { headers: { Accept: BROWSER } });
    expect(reply.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(reply.headers.get('vary')).toBe('Accept, Accept-Encoding');
    const [, listed = ''] = reply.text.split('<main>');
    const links = linksOf(listed, `${api.origin}/api/v1/`);
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
      patch_operations_max: 1_000,
      patched_data_limit_bytes: 4 * 1024 * 1024,
      delete_objects_max: 10_000,
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
  it.each([
    '/docs',
    '/docs/',
    '/redoc',
    '/redoc/',
    '/problems',
    '/problems/',
    '/filters',
    '/filters/',
    '/guides/operations',
    '/guides/operations/settings',
    '/guides/integrations',
  ])('at %s is a page that loads all resources from this server', async (path) => {
    const reply = await api.call('GET', api.origin + path, { headers: { Accept: BROWSER } });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^text\/html\b/);
    for (const link of linksOf(reply.text, api.origin + path)) {
      expect(link.startsWith(api.origin)).toBe(true);
      expect([link, (await api.call('GET', link)).status]).toEqual([link, 200]);
    }
  });

  // With the test above: the page loads all resources at each of these URLs.
  it.each([
    ['/docs', ['/docs/', '/docs/?tag=jobs', '/docs?tag=a/', '/docs/index.html', '/docs/index.html/']],
    ['/redoc', ['/redoc/']],
    ['/problems', ['/problems/']],
    ['/filters', ['/filters/']],
    ['/guides/integrations', ['/guides/integrations/']],
  ])('at %s is the same page as at %j', async (path, others) => {
    const page = await api.call('GET', api.origin + path);
    for (const other of others) {
      const reply = await api.call('GET', api.origin + other);
      expect([other, reply.status, reply.text]).toEqual([other, 200, page.text]);
    }
  });

  it('has guides whose links lead to pages and headings that exist', async () => {
    const pages = new Map<string, string>();
    const textOf = async (path: string): Promise<string> => {
      const known = pages.get(path) ?? (await api.call('GET', api.origin + path)).text;
      pages.set(path, known);
      return known;
    };
    const [, listed = ''] = (await textOf('/problems')).split('class="top"');
    const guides = [...(listed.split('</nav>')[0] ?? '').matchAll(/href="([^"]+)"/g)].map(([, href = '']) => href);
    expect(guides).toContain('/guides/operations');
    const operations = linksOf(await textOf('/guides/operations'), api.origin)
      .map((link) => new URL(link).pathname)
      .filter((path) => path.startsWith('/guides/operations/'));
    expect(operations).toHaveLength((await readdir('docs/operations')).length);
    for (const guide of [...guides, ...operations].filter((path) => path !== '/browse' && path !== '/docs')) {
      const text = await textOf(guide);
      expect(text.match(/<h2 id=/g)?.length).toBe(text.match(/<li><a href="#/g)?.length);
      for (const link of linksOf(text, api.origin + guide)) {
        const { origin, pathname, hash } = new URL(link);
        if (origin !== api.origin || hash === '') continue;
        expect([guide, link, (await textOf(pathname)).includes(`id="${hash.slice(1)}"`)]).toEqual([guide, link, true]);
      }
    }
  });

  it('serves its scripts', async () => {
    for (const path of ['/redoc/redoc.js', '/docs/swagger-ui-bundle.js', '/docs/swagger-ui-init.js']) {
      const reply = await api.call('GET', api.origin + path);
      expect(reply.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
      expect(reply.text.length).toBeGreaterThan(path.includes('init') ? 100 : 1_000_000);
    }
  });
});

const PAGES = [
  '/docs',
  '/docs/swagger-ui-init.js',
  '/redoc',
  '/problems',
  '/filters',
  '/guides/integrations',
  '/guides/grafana-temperatures.json',
  '/openapi.json',
  '/openapi.yaml',
];
const FILES = [
  '/docs/swagger-ui-bundle.js',
  '/docs/swagger-ui.css',
  '/docs/index.css',
  '/docs/favicon-32x32.png',
  '/redoc/redoc.js',
];

describe('documents', () => {
  function get(path: string, encoding: string, ifNoneMatch?: string): Promise<Reply> {
    const headers = {
      'Accept-Encoding': encoding,
      ...(ifNoneMatch === undefined ? {} : { 'If-None-Match': ifNoneMatch }),
    };
    return api.call('GET', api.origin + path, { headers });
  }

  it.each(PAGES)('at %s are revalidated by every cache', async (path) => {
    expect((await get(path, 'identity')).headers.get('cache-control')).toBe('public, no-cache');
  });

  it.each(FILES)('at %s, which are files of a dependency, are cached for a day', async (path) => {
    expect((await get(path, 'identity')).headers.get('cache-control')).toBe('public, max-age=86400');
  });

  it.each([...PAGES, ...FILES])('at %s have a strong ETag for each encoding, which gets 304', async (path) => {
    const tags = new Set<string>();
    for (const encoding of ['identity', 'gzip']) {
      const first = await get(path, encoding);
      const etag = first.headers.get('etag') ?? '';
      expect(etag).toMatch(/^"[\w-]+"$/);
      tags.add(etag);
      expect([first.status, first.headers.get('vary')]).toEqual([200, 'Accept-Encoding']);
      const again = await get(path, encoding, `"other", ${etag}`);
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
      for (const name of ['cache-control', 'vary']) expect(again.headers.get(name)).toBe(first.headers.get(name));
      for (const name of ['content-type', 'content-encoding']) expect(again.headers.get(name)).toBeNull();
      expect((await get(path, encoding, '"other"')).status).toBe(200);
    }
    expect(tags.size).toBe(path.endsWith('.png') ? 1 : 2);
  });

  it.each([
    ['', null],
    ['identity', null],
    ['br', null],
    ['gzip;q=0', null],
    ['gzip;q=0.1, identity', null],
    ['gzip', 'gzip'],
    ['GZIP', 'gzip'],
    ['gzip, deflate, br, zstd', 'gzip'],
    ['br;q=1.0, gzip;q=0.2', 'gzip'],
    ['*', 'gzip'],
  ])('for Accept-Encoding %j have the Content-Encoding %j, and the same content', async (accepted, encoding) => {
    const plain = await get('/problems', 'identity');
    const reply = await get('/problems', accepted);
    expect([reply.headers.get('content-encoding'), reply.text]).toEqual([encoding, plain.text]);
  });

  it('are not compressed when that would not make them smaller', async () => {
    expect((await get('/docs/favicon-32x32.png', 'gzip')).headers.get('content-encoding')).toBeNull();
  });
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
    for (const url of [...urls, ...[...PAGES, ...FILES, '/healthcheck'].map((path) => api.origin + path)]) {
      const key = url.endsWith('/projects') ? api.operatorKey : project.keys.analyst;
      const [get, head] = [await api.call('GET', url, { key }), await api.call('HEAD', url, { key })];
      expect([url, head.status, head.text]).toEqual([url, get.status, '']);
      for (const name of ['content-type', 'content-length', 'content-encoding', 'etag', 'cache-control', 'vary']) {
        expect([url, name, head.headers.get(name)]).toEqual([url, name, get.headers.get(name)]);
      }
    }
  });
});
