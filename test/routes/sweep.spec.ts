import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import {
  addressOf,
  CONTRACT,
  fill,
  METHODS,
  OPEN,
  pathsOf,
  ROUTES,
  type ContractRoute,
  type Route,
} from './route-table.js';

const API = '/api/v1';

interface OpenApi {
  paths: Record<string, Record<string, { requestBody?: object }>>;
}

let api: TestApi;
let mine: TestProject;
let openApi: OpenApi;

beforeAll(async () => {
  api = await TestApi.start();
  mine = await api.project();
  // A project with a batch is not deleted without cascade=true.
  const body = { batch_id: 'kept', objects: [] };
  expect((await api.call('POST', '/batches', { key: mine.keys.producer, body })).status).toBe(201);
  openApi = (await api.call('GET', `${api.origin}/openapi.json`)).json<OpenApi>();
});
afterAll(() => api.stop());

const withBody = ROUTES.filter(([, { body }]) => body !== undefined);
function typesOf({ types = ['application/json'] }: ContractRoute): readonly string[] {
  return types;
}

/** A key with a role that may call the route. */
function keyFor({ roles: [role = 'admin'] }: ContractRoute): string {
  return role === 'operator' ? api.operatorKey : mine.keys[role];
}

/** Ids of the test's own project, for routes that need existing ids. */
function ownIds(): Record<string, string | number> {
  return { project_id: mine.projectId, device_id: mine.deviceId };
}

/** Sends a valid request; its ids may not exist. */
function send(route: Route, options: CallOptions = {}, path = addressOf(route)): Promise<Reply> {
  const [type] = route.types ?? [];
  const headers = { ...(type === undefined ? {} : { 'Content-Type': type }), ...options.headers };
  const body = route.body === undefined ? {} : { body: route.body };
  return api.call(route.method, fill(path, ownIds()), { ...body, ...options, headers });
}

/** A problem without the members that differ for each request. */
function stableParts(reply: Reply): unknown {
  return { ...reply.json<object>(), request_id: '', instance: '' };
}

describe('the route table', () => {
  it('is the same in the server, in OpenAPI and in the contract', () => {
    const documented = Object.entries(openApi.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const wanted = [...Object.keys(CONTRACT), ...OPEN].map((route) => route.replace(' ', ` ${API}`).replace(/\/$/, ''));
    expect(documented.filter((route) => route.includes(API)).sort()).toEqual(wanted.sort());
    const served = pathsOf(api).filter((path) => path.startsWith('/api'));
    expect(served.sort()).toEqual(
      Object.keys(openApi.paths)
        .filter((path) => path.startsWith('/api'))
        .sort(),
    );
  });

  it('documents a body for exactly the routes that accept one', () => {
    for (const [path, item] of Object.entries(openApi.paths)) {
      for (const [method, { requestBody }] of Object.entries(item)) {
        const takes = CONTRACT[`${method.toUpperCase()} ${path.replace(API, '')}`]?.body !== undefined;
        expect([method, path, requestBody !== undefined]).toEqual([method, path, takes]);
      }
    }
  });

  it('returns 405 with Allow for exactly the methods that a path does not support', async () => {
    for (const path of pathsOf(api)) {
      const documented = Object.keys(openApi.paths[path] ?? { get: {} }).map((method) => method.toUpperCase());
      const taken = documented.includes('GET') ? [...documented, 'HEAD'] : documented;
      for (const method of METHODS) {
        const reply = await api.call(method, api.origin + fill(path));
        if (taken.includes(method)) {
          expect([method, path, reply.status]).not.toContain(405);
          continue;
        }
        expect([method, path, reply.status]).toContain(405);
        expect(reply.headers.get('allow')?.split(', ').sort()).toEqual([...taken].sort());
        if (method !== 'HEAD') expectProblem(reply, 'method-not-allowed');
      }
    }
  });
});

describe('without a key', () => {
  it.each(OPEN)('%s is public', async (route) => {
    expect((await api.call('GET', route.replace('GET ', ''))).status).toBe(200);
    expect((await api.call('GET', route.replace('GET ', ''), { key: 'wrong' })).status).toBe(200);
  });

  it('or with an invalid key, every other route returns the same 401', async () => {
    const { producer } = mine.keys;
    const mistyped = producer.slice(0, -1) + (producer.endsWith('0') ? '1' : '0');
    const headers = [
      { Authorization: `Basic ${producer}` },
      { Authorization: 'Bearer' },
      { Authorization: `Bearer ${mistyped}` },
    ];
    const keys = ['wrong', mistyped, producer.slice(0, -1), `${producer}0`, '', '\u00ff', 'x'.repeat(5000)];
    const responses = new Set<string>();
    for (const [, route] of ROUTES) {
      for (const options of [{}, ...keys.map((key) => ({ key })), ...headers.map((one) => ({ headers: one }))]) {
        const reply = await send(route, options);
        expectProblem(reply, 'unauthenticated');
        expect(reply.headers.get('www-authenticate')).toBe('Bearer realm="stowage"');
        responses.add(JSON.stringify(stableParts(reply)));
      }
    }
    expect(responses.size).toBe(1);
  });
});

describe('a body', () => {
  it.each(withBody)('with invalid members is rejected by %s with a pointer', async (_, route) => {
    const key = keyFor(route);
    expect(placesOf(expectProblem(await send(route, { key, body: [] }), 'invalid-body'))).toEqual(['']);
    const unknown = expectProblem(await send(route, { key, body: { ...route.body, nonsense: 1 } }), 'invalid-body');
    expect(placesOf(unknown)).toEqual(['/nonsense']);
  });

  it.each(withBody)('that is malformed, or missing where it is required, is rejected by %s', async (_, route) => {
    const key = keyFor(route);
    expectProblem(await send(route, { key, body: '{"a":' }), 'malformed-request');
    const missing = await send(route, { key, body: '' });
    if (route.isBodyOptional !== true) expectProblem(missing, 'malformed-request');
    // The route looks the key up, which does not exist.
    else expectProblem(missing, 'not-found');
  });

  it.each(
    withBody.filter(([, route]) => !typesOf(route).includes('application/x-ndjson') && route.isBodyOptional !== true),
  )('that is missing is rejected by %s with any media type', async (_, route) => {
    for (const type of ['application/x-ndjson', 'application/json', 'text/plain', 'constructor']) {
      const headers = { 'Content-Type': type };
      expectProblem(await send(route, { key: keyFor(route), body: '', headers }), 'malformed-request');
    }
  });

  it.each(withBody)(
    'with an unsupported media type is rejected by %s, which returns the supported types',
    async (_, route) => {
      for (const type of [
        'text/plain',
        'application/xml',
        'application/x-www-form-urlencoded',
        'application/jsonx',
        'constructor',
        '',
      ]) {
        const reply = await send(route, {
          key: keyFor(route),
          body: Buffer.from('x'),
          headers: { 'Content-Type': type },
        });
        expect(expectProblem(reply, 'unsupported-media-type').detail).not.toContain('native code');
        const name = route.method === 'PATCH' ? 'accept-patch' : 'accept';
        expect(reply.headers.get(name)).toBe(typesOf(route).join(', '));
      }
    },
  );

  it.each(withBody)('of %s can have its media type in any case and with parameters', async (_, route) => {
    for (const type of typesOf(route)) {
      const headers = { 'Content-Type': `${type.toUpperCase()} ; charset=UTF-8` };
      // A number is the header of CSV.
      const body = type === 'text/csv' ? ',' : 7;
      expectProblem(await send(route, { key: keyFor(route), body, headers }), 'invalid-body');
    }
  });
});

describe('every route', () => {
  const all = [
    ...ROUTES,
    ...OPEN.map((name): (typeof ROUTES)[number] => [name, { method: 'GET', path: name.slice(4), roles: [] }]),
  ];

  it.each(all)('rejects an unknown query parameter: %s', async (_, route) => {
    for (const [query, name] of [
      ['nonsense=1', 'nonsense'],
      ['nonsense', 'nonsense'],
      ['constructor=1', 'constructor'],
      ['Page=1', 'Page'],
    ]) {
      const asked = [query, ...(route.query === undefined ? [] : [route.query])].join('&');
      const reply = await send(route, { key: keyFor(route) }, `${route.path}?${asked}`);
      expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([name]);
    }
  });

  it.each(all)('returns 406 for XML: %s', async (_, route) => {
    for (const accept of ['application/xml', 'image/png, text/css', 'application/json;q=0, */*;q=0']) {
      expectProblem(await send(route, { key: keyFor(route), headers: { Accept: accept } }), 'not-acceptable');
    }
  });

  it.each(all.filter(([, { method }]) => method === 'POST'))(
    'returns 412 for a precondition that a POST cannot meet: %s',
    async (_, route) => {
      for (const headers of [{ 'If-Match': '"x"' }, { 'If-None-Match': '*' }, { 'If-None-Match': ' *' }])
        expectProblem(await send(route, { key: keyFor(route), headers }), 'precondition-failed');
      const body = route.body === undefined ? {} : { body: { nonsense: 1 } };
      for (const headers of [{}, { 'If-Match': '*' }, { 'If-None-Match': '"x"' }])
        expect((await send(route, { key: keyFor(route), ...body, headers })).status).not.toBe(412);
    },
  );

  it.each(all)('ignores a trailing slash: %s', async (_, route) => {
    const key = keyFor(route);
    const body = route.body === undefined ? {} : { body: { nonsense: 1 } };
    const path = route.path.replace(/\/$/, '');
    const plain = await send(route, { key, ...body }, path);
    const slash = await send(route, { key, ...body }, `${path}/`);
    expect([slash.status, stableParts(slash)]).toEqual([plain.status, stableParts(plain)]);
    expectProblem(await api.call(route.method, `${fill(path)}/more/than/there/is`, { key }), 'not-found');
  });

  it.each(all)('returns the id of the request: %s', async (_, route) => {
    const reply = await send(route, { key: keyFor(route), ...(route.body === undefined ? {} : { body: [] }) });
    expect(reply.headers.get('x-request-id')).toMatch(/^[\w-]+$/);
    if (reply.status >= 400) {
      const { request_id, instance } = reply.json<{ request_id: string; instance: string }>();
      expect(request_id).toBe(reply.headers.get('x-request-id'));
      expect(instance).toBe(API + fill(addressOf(route), ownIds()));
    }
  });
});
