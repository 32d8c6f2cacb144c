import type { Role } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import { pathsOf, CONTRACT, fill, METHODS, OPEN, ROLES, type ContractRoute } from './route-table.js';

const API = '/api/v1';

interface OpenApi {
  paths: Record<string, Record<string, { requestBody?: object }>>;
}

let api: TestApi;
let mine: TestProject;
let theirs: TestProject;
let openApi: OpenApi;

beforeAll(async () => {
  api = await TestApi.start();
  [mine, theirs] = [await api.project(), await api.project()];
  openApi = (await api.call('GET', `${api.origin}/openapi.json`)).json<OpenApi>();
});
afterAll(() => api.stop());

const routes = Object.entries(CONTRACT).map(
  ([name, rules]): [string, { method: string; path: string } & ContractRoute] => {
    const [method = '', path = ''] = name.split(' ');
    return [name, { method, path, ...rules }];
  },
);
const withBody = routes.filter(([, { body }]) => body !== undefined);
/** Routes of one project. Routes that only an operator may call concern all projects. */
const withId = routes.filter(
  ([, { path, creates, roles }]) => path.includes('{') && creates !== true && roles.includes('admin'),
);

function typesOf({ types = ['application/json'] }: ContractRoute): readonly string[] {
  return types;
}

/** A key with a role that may call the route. */
function keyFor({ roles }: ContractRoute): string {
  return keyOf(roles[0] ?? 'admin');
}

function keyOf(role: Role): string {
  return role === 'operator' ? api.operatorKey : mine.keys[role];
}

/** Ids of the test's own project, for routes that need existing ids. */
function ownIds(): Record<string, string | number> {
  return { project_id: mine.projectId, device_id: mine.deviceId };
}

function addressWithQuery({ path, query }: { path: string } & ContractRoute): string {
  return query === undefined ? path : `${path}?${query}`;
}

/** Sends a valid request; its ids may not exist. */
function send(
  route: { method: string; path: string } & ContractRoute,
  options: CallOptions = {},
  path = addressWithQuery(route),
): Promise<Reply> {
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
    for (const [, route] of routes) {
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

describe('the roles of a route', () => {
  it.each(routes)('%s returns 403 to every other role', async (_, route) => {
    for (const role of ROLES) {
      // The body is invalid, so the allowed roles change nothing.
      const reply = await send(route, {
        key: keyOf(role),
        ...(route.body === undefined ? {} : { body: { nonsense: 1 } }),
      });
      if (route.roles.includes(role)) expect([role, [200, 400, 404].includes(reply.status)]).toEqual([role, true]);
      else expect([role, expectProblem(reply, 'forbidden').status]).toEqual([role, 403]);
    }
  });
});

describe('the resources of another project', () => {
  let ids: Record<string, string | number>;

  beforeAll(async () => {
    const { admin: key } = theirs.keys;
    const body = { batch_id: 'theirs', objects: [{ object_id: 'theirs', data: [] }] };
    await api.call('POST', '/batches', { key, body });
    const keys = await api.call('GET', `/projects/${String(theirs.projectId)}/keys`, { key });
    const [{ key_id } = { key_id: '' }] = keys.json<{ results: { key_id: string }[] }>().results;
    const headers = { Prefer: 'respond-async' };
    const job = await api.call('POST', '/batches', { key, headers, body: { ...body, batch_id: 'later' } });
    const { id: job_id } = job.json<{ id: string }>();
    await api.call('POST', '/factories', { key, body: { id: 'factory', ...CONTRACT['POST /factories']?.body } });
    await api.call('POST', '/sprockets', { key, body: { id: 'sprocket', ...CONTRACT['POST /sprockets']?.body } });
    const { projectId: project_id, deviceId: device_id } = theirs;
    await api.call('POST', '/buildings/theirs/rooms/theirs/temperatures', { key, body: { temperature: 10.5 } });
    const feeds = { factory_id: 'factory', sprocket_id: 'sprocket', building: 'theirs', room: 'theirs' };
    ids = { project_id, key_id, device_id, batch_id: 'theirs', object_id: 'theirs', job_id, ...feeds };
  });

  it.each(withId)('%s returns the same 404 as for missing resources', async (_, route) => {
    const others = await send(route, { key: mine.keys.admin }, fill(addressWithQuery(route), ids));
    const missing = {
      project_id: theirs.projectId ^ 1,
      key_id: '1',
      device_id: 'nothing',
      batch_id: 'nothing',
      object_id: 'nothing',
      job_id: '1',
    };
    const nobodys = await send(route, { key: mine.keys.admin }, fill(addressWithQuery(route), missing));
    expectProblem(others, 'not-found');
    expect(stableParts(others)).toEqual(stableParts(nobodys));
    expect(others.headers.get('etag')).toBeNull();
  });

  it('are in no list and match no filter', async () => {
    const { analyst: key } = mine.keys;
    for (const list of [
      '/batches',
      '/objects',
      '/batches?batch_id=theirs',
      '/objects?batch_id=theirs',
      '/batches?include=objects',
      '/sprockets',
    ]) {
      expect((await api.call('GET', list, { key })).json()).toMatchObject({ count: 0, results: [] });
    }
  });

  it('are not in the list of devices', async () => {
    const { results } = (await api.call('GET', '/devices', { key: mine.keys.analyst })).json<{ results: object[] }>();
    expect(results).toEqual([{ device_id: mine.deviceId, project_id: mine.projectId, created_at: expect.any(String) }]);
  });

  it('do not reserve ids', async () => {
    const body = { batch_id: 'theirs', objects: [{ object_id: 'theirs', data: [{ key: 'whose', value: 'mine' }] }] };
    expect((await api.call('POST', '/batches', { key: mine.keys.producer, body })).status).toBe(201);
    const read = await api.call('GET', '/objects/theirs', { key: theirs.keys.analyst });
    expect(read.json()).toMatchObject({ data: [] });
    expect((await api.call('DELETE', '/batches/theirs?cascade=true', { key: mine.keys.admin })).status).toBe(204);
    expect((await api.call('GET', '/batches/theirs', { key: theirs.keys.analyst })).json()).toMatchObject({
      objects: [{ object_id: 'theirs' }],
    });
  });

  it('accept no object: POST /objects treats their batch as missing', async () => {
    const post = (batch_id: string): Promise<Reply> =>
      api.call('POST', '/objects', { key: mine.keys.producer, body: { batch_id, object_id: 'o', data: [] } });
    const others = expectProblem(await post('theirs'), 'invalid-body');
    const nobodys = expectProblem(await post('nothing'), 'invalid-body');
    expect(placesOf(others)).toEqual(['/batch_id']);
    const essence = ({ detail, errors }: typeof others): string => JSON.stringify([detail, errors]);
    expect(essence(others).replaceAll('theirs', 'nothing')).toBe(essence(nobodys));
  });
});

describe('a body', () => {
  it.each(withBody)('with invalid members is rejected by %s with a pointer', async (_, route) => {
    const key = keyFor(route);
    expect(placesOf(expectProblem(await send(route, { key, body: [] }), 'invalid-body'))).toEqual(['']);
    const unknown = expectProblem(await send(route, { key, body: { ...route.body, nonsense: 1 } }), 'invalid-body');
    expect(placesOf(unknown)).toEqual(['/nonsense']);
  });

  it.each(withBody)('that is malformed or missing is rejected by %s', async (_, route) => {
    const key = keyFor(route);
    for (const body of ['{"a":', '']) expectProblem(await send(route, { key, body }), 'malformed-request');
  });

  it.each(withBody.filter(([, route]) => !typesOf(route).includes('application/x-ndjson')))(
    'that is missing is rejected by %s with any media type',
    async (_, route) => {
      for (const type of ['application/x-ndjson', 'application/json', 'text/plain', 'constructor']) {
        const headers = { 'Content-Type': type };
        expectProblem(await send(route, { key: keyFor(route), body: '', headers }), 'malformed-request');
      }
    },
  );

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
      expectProblem(await send(route, { key: keyFor(route), body: [], headers }), 'invalid-body');
    }
  });
});

describe('every route', () => {
  const all = [
    ...routes,
    ...OPEN.map((name): (typeof routes)[number] => [name, { method: 'GET', path: name.slice(4), roles: [] }]),
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
      expect(instance).toBe(API + fill(addressWithQuery(route), ownIds()));
    }
  });
});
