/**
 * Injection: text with a meaning to SQL, JSON paths, patterns, format strings, shells, HTML, HTTP and terminals, in every text of
 * every body, every path part, every query parameter and every request header. It is stored and returned as it was sent, or
 * rejected with its location; the server never fails, and no other project changes.
 *
 * Also: test/objects/filters.spec.ts and test/batches/round-trip.spec.ts (any text as data and in filters),
 * test/errors/json-body.spec.ts (any bytes as JSON), test/errors/addresses.spec.ts (paths without a resource).
 */
import type { ProblemDto, Role } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openApiOf, operationsOf, type OpenApi, type Operation, type Schema } from '../documents/open-api.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply } from '../harness/api.js';
import { fill, ROUTES, type Route } from '../routes/route-table.js';
import { ProjectWithResources } from './resources.js';

const TEXTS = {
  SQL: `'; DROP TABLE objects; -- " OR 1=1 /* $1 \\`,
  'format strings and a shell command': '%s%n%1$x {0} ${7*7} {{7*7}} #{7*7} `id`;$(id)|id&&id',
  'a pattern and a JSON path': '^(a+)+$|[[.*\\ $.** ? (@.k like_regex "^(a+)+$")',
  operators: '{"$ne":null,"$where":"sleep(9)"}',
  'markup and a path': `"><script src=//x>alert(1)</script><!--#exec cmd="id"-->/../../../../etc/passwd`,
  'a line break and a header': 'a\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK',
  'U+0000': 'a\0b',
  'a lone surrogate': 'a\ud800b',
  'right-to-left marks and a zero-width space': '\u202eabc\u2066\u200f\u200b\ufeff',
  'a terminal sequence': '\u001b]0;x\u0007\u001b[2J\u009b',
  'very long text': 'x'.repeat(3_000),
};
type Attack = keyof typeof TEXTS;
const ATTACKS = Object.keys(TEXTS) as Attack[];

/** Names with a meaning to JavaScript. */
const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__'];

let api: TestApi;
/** The requests with bodies may create resources with ids that the others must not find. */
let mine: ProjectWithResources;
let other: ProjectWithResources;
let bystander: ProjectWithResources;
let before: unknown;
let document: OpenApi;
let operations: Map<string, Operation>;

beforeAll(async () => {
  api = await TestApi.shared();
  [mine, other, bystander] = await Promise.all([
    ProjectWithResources.create(api, 'mine'),
    ProjectWithResources.create(api, 'other'),
    ProjectWithResources.create(api, 'bystander'),
  ]);
  before = await bystander.rows();
  document = await openApiOf(api);
  operations = new Map(operationsOf(document).map(([name, one]) => [name.replace('/api/v1', ''), one]));
});
afterAll(() => api.stop());

const roleFor = ({ roles: [role = 'admin'] }: Route): Role => role;

/** Percent-encodes text as UTF-8; a lone surrogate as the bytes that it would have. */
function encode(text: string): string {
  return text.replace(/\ud800|[^\ud800]+/g, (part) => (part === '\ud800' ? '%ED%A0%80' : encodeURIComponent(part)));
}

interface SendOptions {
  project?: ProjectWithResources;
  body?: unknown;
  headers?: Record<string, string>;
}

function send(
  route: Route,
  path: string,
  { project = mine, body = route.body, headers = {} }: SendOptions = {},
): Promise<Reply> {
  const [type] = route.types ?? [];
  return api.call(route.method, path, {
    key: project.keyOf(roleFor(route)),
    ...(body === undefined ? {} : { body }),
    headers: { ...(type === undefined ? {} : { 'Content-Type': type }), ...headers },
  });
}

/** The request is valid or is rejected with a problem, and no header was injected. */
function expectHandled(attack: string, reply: Reply): void {
  expect([attack, reply.status, reply.text]).toEqual([attack, expect.any(Number), expect.any(String)]);
  if (reply.status >= 500) throw new Error(`${attack}: ${String(reply.status)} ${reply.text}`);
  expect(reply.headers.has('x-injected')).toBe(false);
  expect(reply.headers.get('content-type') ?? 'no content').toMatch(
    /^application\/(?:(?:problem\+)?json|x-ndjson|vnd.apache.parquet)|^text\/csv|^no content/,
  );
}

/** The names of the members of a body that may be text. */
function textMembersOf(route: Route, name: string): string[] {
  const [content] = Object.values(operations.get(name)?.requestBody?.content ?? {});
  const resolve = ({ $ref, ...schema }: Schema): Schema =>
    $ref === undefined ? schema : resolve(document.components.schemas[$ref.slice($ref.lastIndexOf('/') + 1)] ?? {});
  const { properties = {}, oneOf: [first] = [] } = resolve(content?.schema ?? {});
  const members = Object.entries(first === undefined ? properties : (resolve(first).properties ?? {}));
  const isText = (schema: Schema): boolean => [resolve(schema).type].flat().includes('string');
  const documented = members
    .filter(([, schema]) => isText(schema) || schema.oneOf !== undefined)
    .map(([member]) => member);
  return [...new Set([...documented, ...Object.keys(route.body ?? {})])];
}

describe('in a body', () => {
  const routes = ROUTES.filter(([, { body }]) => body !== undefined);

  it.each(routes)('%s returns the text that it stores, or rejects it with a pointer', async (name, route) => {
    const path = fill(
      route.query === undefined ? route.path : `${route.path}?${route.query}`,
      mine.idsFor(roleFor(route)),
    );
    const members = textMembersOf(route, name);
    expect(members).not.toEqual([]);
    for (const member of members) {
      for (const attack of ATTACKS) {
        const reply = await send(route, path, { body: { ...route.body, [member]: TEXTS[attack] } });
        expectHandled(`${attack} as ${member}`, reply);
        if (reply.status === 400) {
          const slug = reply.text.includes('#invalid-cursor"') ? 'invalid-cursor' : 'invalid-body';
          const places = placesOf(expectProblem(reply, slug));
          // POST /objects: the batch `new` does not exist.
          expect([`/${member}`, '/batch_id']).toEqual(expect.arrayContaining(places));
        } else if (reply.status < 300 && member in reply.json<object>()) {
          expect(reply.json<Record<string, unknown>>()[member]).toBe(TEXTS[attack]);
        }
      }
    }
  });
});

describe('in a path', () => {
  const routes = ROUTES.filter(([, { path }]) => path.includes('{'));
  const creating = routes.filter(([, { creates }]) => creates === true);

  it.each([...routes.filter((one) => !creating.includes(one)), ...creating])('%s finds nothing', async (_, route) => {
    const ids = other.idsFor(roleFor(route));
    for (const [, name = ''] of route.path.matchAll(/\{(\w+)\}/g)) {
      for (const text of [...ATTACKS.map((attack) => TEXTS[attack]), ...NAMES]) {
        const reply = await send(route, fill(route.path, { ...ids, [name]: encode(text) }), { project: other });
        expectHandled(`${text} as ${name}`, reply);
        // Some create the batch or room with this id; objects exist already; a device key reports only for its own device.
        if (route.creates === true) expect([201, 400, 403, 409, 414]).toContain(reply.status);
        else expect([400, 404, 414]).toContain(reply.status);
      }
    }
  });
});

describe('in a query', () => {
  it.each(ROUTES.filter(([, { method }]) => method === 'GET'))(
    'every parameter of %s finds nothing, or is rejected by its name',
    async (name, route) => {
      const ids = other.idsFor(roleFor(route));
      for (const { name: parameter, in: place } of operations.get(name)?.parameters ?? []) {
        if (place !== 'query') continue;
        for (const text of ATTACKS.map((attack) => TEXTS[attack])) {
          const required = (route.query ?? '').split('&').filter((pair) => !pair.startsWith(`${parameter}=`));
          const query = [...required, `${parameter}=${encode(text)}`].filter((pair) => pair !== '').join('&');
          const reply = await send(route, fill(`${route.path}?${query}`, ids), { project: other });
          expectHandled(`${parameter}=${text}`, reply);
          // A lone surrogate is not valid UTF-8, so that no parameter can be read.
          if (reply.status !== 400 || text.includes('\ud800')) continue;
          expect([parameter, text, placesOf(reply.json<ProblemDto>())]).toEqual([
            parameter,
            text,
            expect.arrayContaining([parameter]),
          ]);
        }
      }
    },
  );
});

describe('in a header', () => {
  /** Without a meaning to the server. */
  const IGNORED = [
    ...['Accept-Language', 'User-Agent', 'Referer', 'Cookie', 'Origin', 'Range', 'Forwarded', 'X-Forwarded-For'],
    ...['X-Request-Id', 'Content-Language', 'X-HTTP-Method-Override', 'X-Original-URL', 'Traceparent', 'DNT'],
  ];
  /** Characters that a client can send in a header. */
  const SENDABLE = [...ATTACKS.map((attack) => TEXTS[attack]), ...NAMES].filter((text) => /^[\t -~]*$/.test(text));
  const read: Route = { method: 'GET', path: '/batches/other', roles: ['admin'] };
  const write: Route = { method: 'POST', path: '/batches', roles: ['admin'], body: { batch_id: 'new', objects: [] } };

  it('is ignored in headers without a meaning', async () => {
    for (const text of SENDABLE.filter((one) => one.length < 1_000)) {
      const headers = Object.fromEntries(IGNORED.map((name) => [name, text]));
      expect((await send(read, read.path, { project: other, headers })).status).toBe(200);
    }
  });

  it.each(['Accept', 'Accept-Encoding', 'If-Match', 'If-None-Match', 'Prefer', 'Idempotency-Key', 'Authorization'])(
    '%s is ignored or rejected',
    async (header) => {
      for (const text of SENDABLE) {
        for (const route of [read, write]) {
          const reply = await send(route, route.path, { project: other, headers: { [header]: text } });
          expectHandled(`${header}: ${text}`, reply);
        }
      }
    },
  );

  it.each(['Content-Type', 'Content-Encoding'])('%s is rejected', async (header) => {
    for (const text of SENDABLE)
      expectProblem(await send(write, write.path, { headers: { [header]: text } }), 'unsupported-media-type');
  });

  it.each(['a\0b', 'a\rX-Injected: 1', '\x7f', 'a\n X-Injected: 1'])(
    'a value that HTTP does not allow is rejected, or is no header of its own: %j',
    async (value) => {
      const headers = `Host: server\r\nPrefer: ${value}\r\nX-Api-Key: ${mine.keyOf('analyst')}\r\nConnection: close`;
      const reply = await sendRaw(api.origin, `GET /api/v1/me HTTP/1.1\r\n${headers}\r\n\r\n`);
      expect(reply.headers.has('x-injected')).toBe(false);
      expectProblem(reply, 'malformed-request');
    },
  );
});

describe('names with a meaning to JavaScript', () => {
  const quoted = (name: string): string => JSON.stringify(name);

  it.each(NAMES)('%s is an ordinary id, key, subject and value', async (name) => {
    const { admin: key } = (await api.project()).keys;
    // As PostgreSQL writes JSON.
    const data = `[{"key": ${quoted(name)}, "value": ${quoted(name)}}, {"key": "k", "value": ${quoted(name)}}]`;
    const object = `{"object_id":${quoted(name)},"subject":${quoted(name)},"data":${data}}`;
    const body = `{"batch_id":${quoted(name)},"objects":[${object}]}`;
    expect((await api.call('POST', '/batches', { key, body })).status).toBe(201);
    for (const path of [
      `/objects/${name}`,
      `/batches/${name}`,
      `/objects?key=${name}`,
      `/objects?key=k&value=${name}`,
      `/objects?subject=${name}`,
      `/objects?batch_id=${name}`,
      `/objects?data={${quoted(name)}:${quoted(name)}}`,
      `/batches?key=${name}&include=objects`,
    ]) {
      const found = await api.call('GET', path, { key });
      expect([path, found.status, found.text]).toEqual([path, 200, expect.stringContaining(data)]);
    }
    const groups = await api.call('GET', `/objects/aggregate?op=count&by=data.${name}`, { key });
    expect([groups.status, groups.text]).toEqual([200, expect.stringContaining(`"group":${quoted(name)}`)]);
    const patch = { key, headers: { 'Content-Type': 'application/merge-patch+json' } };
    const patched = await api.call('PATCH', `/objects/${name}`, { ...patch, body: `{"data":{${quoted(name)}:1}}` });
    expect([patched.status, patched.text]).toEqual([
      200,
      expect.stringContaining(`{"key": ${quoted(name)}, "value": 1}`),
    ]);
    expect((await api.call('DELETE', `/batches/${name}?cascade=true`, { key })).status).toBe(204);
  });

  it.each(ROUTES.filter(([, { body }]) => body !== undefined))(
    'are unknown members of a body: %s',
    async (_, route) => {
      const path = fill(route.path, mine.idsFor(roleFor(route)));
      for (const name of NAMES) {
        const body = JSON.stringify(route.body).replace('{', `{${quoted(name)}:{"role":"operator","polluted":1},`);
        expect(placesOf(expectProblem(await send(route, path, { body }), 'invalid-body'))).toContain(`/${name}`);
      }
    },
  );

  it.each(NAMES)('%s is an unknown query parameter', async (name) => {
    for (const path of ['/objects', '/batches', '/jobs', '/me']) {
      for (const parameter of [name, `${name}[polluted]`, `${name}.polluted`, `data[${name}]`]) {
        const reply = await api.call('GET', `${path}?${parameter}=1`, { key: other.keyOf('analyst') });
        expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([parameter]);
      }
    }
  });

  it('have changed no object of the server', async () => {
    const reply = await api.call('GET', '/me', { key: mine.keyOf('analyst') });
    expect(reply.json()).toMatchObject({ role: 'analyst' });
    expect(reply.text).not.toContain('polluted');
    expect(
      placesOf(expectProblem(await api.call('GET', '/me?polluted=1', { key: mine.keyOf('analyst') }), 'invalid-query')),
    ).toEqual(['polluted']);
  });
});

it('another project has not changed', async () => {
  expect(await bystander.rows()).toEqual(before);
});
