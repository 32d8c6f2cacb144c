import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { LimitTimes } from '#limits';
import { lastStatusWithin } from '../access/moved-clock.js';
import { expectProblem } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { TestRedis } from '../harness/redis.js';
import { submitJob, waitFor, waitForJob } from '../jobs/jobs.js';
import { CONTRACT, fill, OPEN } from '../routes/route-table.js';

const KEY_ITEMS = 1_000;
const PROJECT_ITEMS = 1_500;
const FAILURES = 5;
/** The admin's request for the device, by which a test project begins. */
const SETUP_ITEMS = 1;
const SETTINGS = {
  RATE_LIMIT_ITEMS_PER_MINUTE: String(KEY_ITEMS),
  RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: String(PROJECT_ITEMS),
  RATE_LIMIT_FAILURES_PER_MINUTE: String(FAILURES),
  TRUSTED_PROXIES: '127.0.0.1',
};

interface OpenApi {
  paths: Record<string, Record<string, { responses: Record<string, { headers?: object }> }>>;
}

let api: TestApi;
let project: TestProject;
/** Unique for each use. */
let serial = 0;

beforeAll(async () => {
  api = await TestApi.start({ ...SETTINGS, WORKER: 'inline' });
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

/** What is left of each limit, by the RateLimit field. */
function remainingOf({ headers }: Pick<Reply, 'headers'>): Record<string, number> {
  const field = headers.get('ratelimit') ?? '';
  return Object.fromEntries(
    Array.from(field.matchAll(/"(\w+)";r=(\d+);t=\d+/g), ([, name = '', rest]) => [name, Number(rest)]),
  );
}

/** The items that a request costs its key, by the fields of the requests before and after it. */
async function costOf(key: string, send: () => Promise<unknown>): Promise<number> {
  const left = async (): Promise<number> => remainingOf(await api.call('GET', '/me', { key })).key ?? NaN;
  const before = await left();
  await send();
  return before - (await left()) - 1;
}

function objects(count: number, prefix = `o${String(++serial)}-`): object[] {
  return Array.from({ length: count }, (_, n) => ({ object_id: `${prefix}${String(n)}`, data: [] }));
}

function batch(count: number): object {
  return { batch_id: `b${String(++serial)}`, objects: objects(count) };
}

function ndjson(count: number): CallOptions {
  const lines = objects(count).map((object) => JSON.stringify(object));
  return { body: lines.join('\n'), headers: { 'Content-Type': 'application/x-ndjson' } };
}

/** Uses all items of a key by one request, which exceeds its limit. */
async function exhaust(key: string, on: TestApi = api): Promise<void> {
  expect((await on.call('POST', '/batches', { key, body: batch(KEY_ITEMS) })).status).toBe(201);
}

/** Waits until a key is charged more than these items and this function's own requests. A job is charged after its result is visible. */
function chargedBeyond(charged: number, key: string): Promise<number> {
  let expected = charged;
  return waitFor(async () => {
    const left = remainingOf(await api.call('GET', '/me', { key })).key ?? NaN;
    const items = KEY_ITEMS - left - ++expected;
    return items === 0 ? undefined : items;
  }, 5_000);
}

describe('a request', () => {
  it('has the limits of its key and project in its response, and what is left of them', async () => {
    const first = await api.call('GET', '/me', { key: project.keys.analyst });
    expect(first.headers.get('ratelimit-policy')).toBe(
      `"key";q=${String(KEY_ITEMS)};w=60, "project";q=${String(PROJECT_ITEMS)};w=60`,
    );
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=999;t=(?:60|5\d), "project";r=149\d;t=(?:60|5\d)$/);
    const second = await api.call('GET', '/me', { key: project.keys.analyst });
    expect(remainingOf(second).key).toBe(998);
    expect(remainingOf(second).project).toBe((remainingOf(first).project ?? NaN) - 1);
  });

  it('has these fields in an error, too', async () => {
    const { analyst, producer } = project.keys;
    for (const reply of [
      await api.call('GET', '/objects/nothing', { key: analyst }),
      await api.call('DELETE', '/objects/nothing', { key: analyst }),
      await api.call('POST', '/batches', { key: producer, body: '{' }),
      await api.call('GET', '/objects?nonsense=1', { key: analyst }),
    ]) {
      expect(reply.status).toBeGreaterThanOrEqual(400);
      expect(Object.keys(remainingOf(reply))).toEqual(['key', 'project']);
    }
  });

  it('of an operator is limited by its key only', async () => {
    const reply = await api.call('GET', '/projects', { key: api.operatorKey });
    expect(reply.headers.get('ratelimit-policy')).toBe(`"key";q=${String(KEY_ITEMS)};w=60`);
    expect(Object.keys(remainingOf(reply))).toEqual(['key']);
  });

  it('without a key has no limit of items', async () => {
    for (const path of [...OPEN.map((route) => `/api/v1${route.replace('GET ', '')}`), '/healthcheck', '/problems']) {
      const reply = await api.call('GET', api.origin + path);
      expect([path, reply.status, reply.headers.get('ratelimit')]).toEqual([path, 200, null]);
    }
  });

  it('of another origin may read the fields', async () => {
    const other = await api.another({ ...SETTINGS, CORS_ORIGINS: 'https://app.example.org' });
    const headers = { Origin: 'https://app.example.org' };
    const reply = await other.call('GET', '/limits', { headers });
    expect(reply.headers.get('access-control-expose-headers')?.split(', ')).toEqual(
      expect.arrayContaining(['RateLimit', 'RateLimit-Policy', 'Retry-After']),
    );
    await other.stop();
  });
});

describe('the cost of', () => {
  it('a read is 1, whatever it returns', async () => {
    const { admin: key } = project.keys;
    await api.call('POST', '/batches', { key, body: { batch_id: `b${String(serial)}`, objects: objects(30) } });
    expect(await costOf(key, () => api.call('GET', '/objects?page_size=30', { key }))).toBe(1);
  });

  it.each<[string, number, (key: string) => Promise<unknown>]>([
    ['a batch is its number of objects', 25, (key) => api.call('POST', '/batches', { key, body: batch(25) })],
    ['an empty batch is 1', 1, (key) => api.call('POST', '/batches', { key, body: batch(0) })],
    ['a stream is its number of lines', 25, (key) => api.call('PUT', '/batches/stream', { key, ...ndjson(25) })],
    ['a large batch is its number of objects', 300, (key) => api.call('POST', '/batches', { key, body: batch(300) })],
    [
      'a dry run is its number of objects',
      25,
      (key) => api.call('POST', '/batches?dry_run=true', { key, body: batch(25) }),
    ],
    [
      'a batch that is stored in part is its number of objects',
      10,
      (key) =>
        api.call('POST', '/batches?mode=partial', {
          key,
          body: { batch_id: `b${String(++serial)}`, objects: [...objects(6), 1, 2, 3, 4] },
        }),
    ],
    [
      'a batch that is not valid is the number of objects that were read',
      9,
      (key) => api.call('POST', '/batches', { key, body: { ...batch(9), nonsense: 1 } }),
    ],
    [
      'a batch that exists is its number of objects, both times',
      2 * 25,
      async (key) => {
        const body = batch(25);
        await api.call('POST', '/batches', { key, body });
        expectProblem(await api.call('POST', '/batches', { key, body }), 'conflict');
      },
    ],
    [
      'a stream with an invalid line is the number of lines that were read',
      31,
      (key) => {
        const { body, ...options } = ndjson(30);
        return api.call('PUT', '/batches/invalid', { key, ...options, body: `${String(body)}\n{}` });
      },
    ],
    [
      'a list of readings that is not valid is the number of readings that were read',
      12,
      (key) =>
        api.call('POST', '/buildings/b/rooms/r/temperatures', {
          key,
          body: Array.from({ length: 12 }, () => ({ temperature: 'warm' })),
        }),
    ],
    ['a body that is not JSON is 1', 1, (key) => api.call('POST', '/batches', { key, body: '{' })],
    [
      'an object is 1',
      2,
      async (key) => {
        await api.call('POST', '/batches', { key, body: { batch_id: 'one', objects: [] } });
        await api.call('POST', '/objects', { key, body: { batch_id: 'one', object_id: 'one', data: [] } });
      },
    ],
    [
      'a list of readings is its length',
      12,
      (key) =>
        api.call('POST', '/buildings/b/rooms/r/temperatures', {
          key,
          body: Array.from({ length: 12 }, (_, n) => ({ temperature: n })),
        }),
    ],
    [
      'a file of a feed is its length, also where all of it is stored already',
      24,
      async (key) => {
        const sprocket = (teeth: number): object => ({ teeth, pitch_diameter: 5, outside_diameter: 6, pitch: 1 });
        const body = { sprockets: Array.from({ length: 12 }, (_, n) => sprocket(n + 1)) };
        for (let n = 0; n < 2; n++) await api.call('POST', '/sprockets', { key, body });
      },
    ],
    [
      'deleting a batch with its objects is their number',
      2 * 25,
      async (key) => {
        await api.call('PUT', '/batches/deleted', { key, body: { objects: objects(25) } });
        await api.call('DELETE', '/batches/deleted?cascade=true', { key });
      },
    ],
    [
      'a response that is sent again for an Idempotency-Key is 1',
      25 + 1,
      async (key) => {
        const options = { key, body: batch(25), headers: { 'Idempotency-Key': `key-${String(++serial)}` } };
        await api.call('POST', '/batches', options);
        const again = await api.call('POST', '/batches', options);
        expect(again.headers.get('idempotency-replayed')).toBe('true');
      },
    ],
  ])('%s', async (_, cost, send) => {
    expect(await costOf(project.keys.admin, () => send(project.keys.admin))).toBe(cost);
  });

  it('a job is 1 when it is accepted, and its number of objects when it has run', async () => {
    const { producer: key } = project.keys;
    const job = await submitJob(api, 'POST', '/batches', { key, body: batch(300) });
    await waitForJob(api, project.keys.admin, job);
    expect(await chargedBeyond(1, key)).toBe(300);
  });
});

describe('a job that fails', () => {
  it('is 1 when it is accepted, and the number of objects that were read when it has run', async () => {
    const { producer: key } = project.keys;
    const body = batch(300);
    await api.call('POST', '/batches', { key, body });
    const job = await submitJob(api, 'POST', '/batches', { key, body });
    await waitForJob(api, project.keys.admin, job);
    expect(await chargedBeyond(301, key)).toBe(300);
  });
});

describe('a key without items', () => {
  it('gets 429 with its limit and the time to wait, and other keys of the project do not', async () => {
    const { producer, analyst } = project.keys;
    await exhaust(producer);
    const reply = await api.call('POST', '/batches', { key: producer, body: batch(1) });
    const { detail } = expectProblem(reply, 'rate-limited');
    const wait = reply.headers.get('retry-after') ?? '';
    expect(wait).toMatch(/^(?:60|[1-5]?\d)$/);
    expect(detail).toBe(`The items of this key are limited to 1,000 per 60 seconds; retry in ${wait} seconds.`);
    expect(remainingOf(reply)).toEqual({ key: 0, project: PROJECT_ITEMS - SETUP_ITEMS - KEY_ITEMS });
    expect((await api.call('GET', '/objects', { key: analyst })).status).toBe(200);
  });

  it('is not charged for a 429', async () => {
    const { producer, analyst } = project.keys;
    await exhaust(producer);
    for (let n = 0; n < 5; n++) await api.call('GET', '/me', { key: producer });
    const { project: left } = remainingOf(await api.call('GET', '/me', { key: analyst }));
    expect(left).toBe(PROJECT_ITEMS - SETUP_ITEMS - KEY_ITEMS - 1);
  });

  it('was accepted while one item was left, and may have exceeded its limit once', async () => {
    const { producer: key } = project.keys;
    await api.call('POST', '/batches', { key, body: batch(KEY_ITEMS - 1) });
    const last = await api.call('POST', '/batches', { key, body: batch(300) });
    expect([last.status, remainingOf(last).key]).toEqual([201, 0]);
    expectProblem(await api.call('GET', '/me', { key }), 'rate-limited');
  });

  it('gets its response before the body is sent', async () => {
    const { producer: key } = project.keys;
    await exhaust(key);
    const head = [
      'POST /api/v1/batches HTTP/1.1',
      'Host: test',
      `X-Api-Key: ${key}`,
      'Content-Type: application/json',
      'Content-Length: 60000000',
    ];
    expectProblem(await sendRaw(api.origin, `${head.join('\r\n')}\r\n\r\n`), 'rate-limited');
  });

  it('gets 429 from every route, which documents it', async () => {
    const { paths } = (await api.call('GET', `${api.origin}/openapi.json`)).json<OpenApi>();
    const { admin } = project.keys;
    await exhaust(admin);
    for (const [route, { body, query, types }] of Object.entries(CONTRACT)) {
      const [method = '', path = ''] = route.split(' ');
      const address = fill(query === undefined ? path : `${path}?${query}`, { device_id: project.deviceId });
      const options = body === undefined ? {} : { body, headers: { 'Content-Type': types?.[0] ?? 'application/json' } };
      const reply = await api.call(method, address, { key: admin, ...options });
      expectProblem(reply, 'rate-limited');
      const documented = paths[`/api/v1${path}`]?.[method.toLowerCase()]?.responses;
      for (const header of ['Retry-After', 'RateLimit', 'RateLimit-Policy']) {
        expect([route, header, reply.headers.has(header)]).toEqual([route, header, true]);
        expect([route, Object.keys(documented?.['429']?.headers ?? {})]).toEqual([
          route,
          expect.arrayContaining([header]),
        ]);
      }
    }
  });
});

describe('a project without items', () => {
  it('gets 429 for all of its keys, and other projects do not', async () => {
    const { producer, admin, analyst } = project.keys;
    await exhaust(producer);
    await exhaust(admin);
    const reply = await api.call('GET', '/objects', { key: analyst });
    expect(expectProblem(reply, 'rate-limited').detail).toMatch(
      /^The items of this project are limited to 1,500 per 60/,
    );
    expect(remainingOf(reply)).toEqual({ key: KEY_ITEMS, project: 0 });
    const other = await api.project();
    expect((await api.call('GET', '/objects', { key: other.keys.analyst })).status).toBe(200);
  });
});

describe('an address that fails to authenticate', () => {
  /** The header that a trusted proxy adds: each test has an address of its own. */
  function from(address: string): CallOptions {
    return { headers: { 'X-Forwarded-For': address } };
  }

  function unknownKey(): string {
    return createHash('sha256').update(String(++serial)).digest('hex');
  }

  async function fail(address: string, count = FAILURES): Promise<void> {
    for (let n = 0; n < count; n++)
      expectProblem(await api.call('GET', '/me', { key: unknownKey(), ...from(address) }), 'unauthenticated');
  }

  it('gets 429 with the time to wait once it has failed too often, and other addresses do not', async () => {
    await fail('192.0.2.1');
    const reply = await api.call('GET', '/me', { key: unknownKey(), ...from('192.0.2.1') });
    const wait = reply.headers.get('retry-after') ?? '';
    expect(expectProblem(reply, 'rate-limited').detail).toBe(
      `The failed authentications of this address are limited to 5 per 60 seconds; retry in ${wait} seconds.`,
    );
    expect(reply.headers.get('ratelimit-policy')).toBe('"address";q=5;w=60');
    expect(remainingOf(reply)).toEqual({ address: 0 });
    await fail('192.0.2.2', 1);
  });

  it('gets it for every kind of key that does not work', async () => {
    const { producer } = project.keys;
    const mistyped = producer.slice(0, -1) + (producer.endsWith('0') ? '1' : '0');
    for (let n = 0; n < FAILURES; n++) await api.call('GET', '/me', { key: mistyped, ...from('192.0.2.3') });
    for (const key of [mistyped, 'x', unknownKey()])
      expectProblem(await api.call('GET', '/me', { key, ...from('192.0.2.3') }), 'rate-limited');
    expectProblem(await api.call('GET', '/me', from('192.0.2.3')), 'unauthenticated');
  });

  it('is a /64 of IPv6, of which a client can use every address', async () => {
    for (let n = 0; n < FAILURES; n++) await fail(`2001:db8::${String(n)}`, 1);
    expectProblem(await api.call('GET', '/me', { key: unknownKey(), ...from('2001:db8::ffff') }), 'rate-limited');
    await fail('2001:db8:0:1::1', 1);
  });

  it('is counted by its first 64 characters, where a proxy sends any text', async () => {
    const long = 'x'.repeat(8_000);
    await fail(long);
    expectProblem(await api.call('GET', '/me', { key: unknownKey(), ...from(`${long}y`) }), 'rate-limited');
  });

  it('costs no query then', async () => {
    await fail('192.0.2.4');
    await api.db.transaction(async (tx) => {
      // The look-up of a key would wait for this lock.
      await tx.query('LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
      const reply = await api.call('GET', '/me', { key: unknownKey(), ...from('192.0.2.4') });
      expectProblem(reply, 'rate-limited');
    });
  });

  it('can still use keys that have worked, but no other ones', async () => {
    const { analyst, producer } = project.keys;
    const on = from('192.0.2.5');
    expect((await api.call('GET', '/me', { key: analyst, ...on })).status).toBe(200);
    await fail('192.0.2.5');
    expect((await api.call('GET', '/me', { key: analyst, ...on })).status).toBe(200);
    // A valid key that this server has never seen may be a guess.
    expectProblem(await api.call('GET', '/me', { key: producer, ...on }), 'rate-limited');
    expect((await api.call('GET', '/me', { key: producer, ...from('192.0.2.6') })).status).toBe(200);
    expect((await api.call('GET', '/me', { key: producer, ...on })).status).toBe(200);
  });

  it('gets 429 for a key that was revoked after it had worked, as for an unknown one', async () => {
    const { analyst, admin } = project.keys;
    const on = from('192.0.2.7');
    const { key_id: keyId } = (await api.call('GET', '/me', { key: analyst, ...on })).json<{ key_id: string }>();
    await fail('192.0.2.7');
    const path = `/projects/${String(project.projectId)}/keys/${keyId}`;
    expect((await api.call('DELETE', path, { key: admin })).status).toBe(204);
    for (let n = 0; n < 2; n++) expectProblem(await api.call('GET', '/me', { key: analyst, ...on }), 'rate-limited');
  });
});

describe('in one process', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start(SETTINGS);
    app.app.get(LimitTimes).windowMs = 2_000;
  });
  afterAll(() => app.stop());

  it('a key can continue after the time in Retry-After, when the window has ended', async () => {
    const { producer: key } = (await app.project()).keys;
    await exhaust(key, app);
    const reply = await app.call('GET', '/me', { key });
    expectProblem(reply, 'rate-limited');
    expect(reply.headers.get('ratelimit-policy')).toMatch(/^"key";q=1000;w=2,/);
    await sleep(Number(reply.headers.get('retry-after')) * 1_000);
    // Combining the counts of several processes can move the end of a window by a second.
    const later = await waitFor(async () => {
      const one = await app.call('GET', '/me', { key });
      return one.status === 200 ? one : undefined;
    }, 3_000);
    expect(remainingOf(later).key).toBe(KEY_ITEMS - 1);
  });

  it('a key that has worked can be used after its cache entry ends, from an address that fails', async () => {
    app.app.get(LimitTimes).windowMs = 60_000;
    const { analyst: key } = (await app.project()).keys;
    expect((await app.call('GET', '/me', { key })).status).toBe(200);
    for (let n = 0; n < FAILURES; n++) await app.call('GET', '/me', { key: `unknown-${String(n)}` });
    expectProblem(await app.call('GET', '/me', { key: 'unknown' }), 'rate-limited');
    expect(await lastStatusWithin(7_000, async () => (await app.call('GET', '/me', { key })).status)).toBe(200);
  });
});

describe('two servers', () => {
  let other: TestApi;
  let redis: TestRedis | undefined;
  afterEach(async () => {
    await other.stop();
    await redis?.stop();
    redis = undefined;
  });

  async function exhaustBoth(first: TestApi): Promise<void> {
    const { producer, analyst } = (await first.project()).keys;
    await exhaust(producer, first);
    let passed = 0;
    const reply = await waitFor(async () => {
      const one = await other.call('GET', '/me', { key: producer });
      passed += one.status === 200 ? 1 : 0;
      await sleep(50);
      return one.status === 200 ? undefined : one;
    });
    expectProblem(reply, 'rate-limited');
    // Far from the limit of one server.
    expect(passed).toBeLessThan(KEY_ITEMS / 2);
    expect((await other.call('GET', '/me', { key: analyst })).status).toBe(200);
  }

  it('accept the keys that the other one has used, from an address that fails, when they have just started', async () => {
    const { analyst, producer } = project.keys;
    const on = { headers: { 'X-Forwarded-For': '192.0.2.8' } };
    expect((await api.call('GET', '/me', { key: analyst })).status).toBe(200);
    other = await api.another(SETTINGS);
    for (let n = 0; n < FAILURES; n++) await other.call('GET', '/me', { key: `unknown-${String(n)}`, ...on });
    expectProblem(await other.call('GET', '/me', { key: producer, ...on }), 'rate-limited');
    expect((await other.call('GET', '/me', { key: analyst, ...on })).status).toBe(200);
  });

  it('share a limit by their PostgreSQL', async () => {
    other = await api.another(SETTINGS);
    await exhaustBoth(api);
  });

  it('share a limit by a Redis, which need not run when they start', async () => {
    redis = await TestRedis.stopped();
    const first = await TestApi.start({ ...SETTINGS, REDIS_URL: redis.url });
    try {
      other = await first.another({ ...SETTINGS, REDIS_URL: redis.url });
      const { producer: key } = (await first.project()).keys;
      await exhaust(key, first);
      expectProblem(await first.call('GET', '/me', { key }), 'rate-limited');
      expect((await other.call('GET', '/me', { key })).status).toBe(200);
      await redis.run();
      await exhaustBoth(first);
      expect(await first.db.sql('SELECT FROM rate_limit_counts')).toEqual([]);
    } finally {
      await other.stop();
      await first.stop();
      // For afterEach.
      other = await api.another(SETTINGS);
    }
  });
});

describe('without limits', () => {
  it('only the 429 of a quota has their fields, no failure is counted, and nothing is stored', async () => {
    const off = await TestApi.start({
      ...SETTINGS,
      RATE_LIMIT_ITEMS_PER_MINUTE: '0',
      RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: '0',
    });
    const { projectId, keys } = await off.project();
    const { producer } = keys;
    await exhaust(producer, off);
    const path = `/projects/${String(projectId)}`;
    await off.call('PATCH', path, { key: off.operatorKey, body: { objects_max: KEY_ITEMS } });
    const full = await off.call('POST', '/batches', { key: producer, body: batch(1) });
    expectProblem(full, 'quota-exceeded');
    expect(['RateLimit-Policy', 'RateLimit', 'Retry-After'].map((name) => full.headers.get(name))).toEqual([
      `"quota-objects";q=${String(KEY_ITEMS)}`,
      '"quota-objects";r=0',
      '3600',
    ]);
    const reply = await off.call('GET', '/me', { key: producer });
    expect([reply.status, reply.headers.get('ratelimit'), reply.headers.get('ratelimit-policy')]).toEqual([
      200,
      null,
      null,
    ]);
    for (let n = 0; n < 2 * FAILURES; n++)
      expectProblem(await off.call('GET', '/me', { key: 'unknown' }), 'unauthenticated');
    expect((await off.call('GET', '/limits')).json()).toMatchObject({
      rate_limit_items_per_minute: 0,
      rate_limit_project_items_per_minute: 0,
      rate_limit_failures_per_minute: 0,
    });
    expect(await off.db.sql('SELECT FROM rate_limit_counts')).toEqual([]);
    await off.stop();
  });
});

describe('GET /limits', () => {
  it('has the rate limits', async () => {
    expect((await api.call('GET', '/limits')).json()).toMatchObject({
      rate_limit_items_per_minute: KEY_ITEMS,
      rate_limit_project_items_per_minute: PROJECT_ITEMS,
      rate_limit_failures_per_minute: FAILURES,
    });
  });
});
