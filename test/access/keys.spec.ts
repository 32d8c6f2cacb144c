import { createHash } from 'node:crypto';
import { Config, withChecksum } from '#platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { createApp } from '../../apps/api/create-app.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { lastStatusWithin } from './moved-clock.js';

interface Key {
  key_id: string;
  key?: string;
  name: string;
  role: string;
  prefix: string;
  status: string;
  expires_at: string | null;
  last_used_at: string | null;
}

interface KeyPage {
  count: number;
  next: string | null;
  previous: string | null;
  results: Key[];
}

let api: TestApp;
let project: TestProject;
let keysPath: string;

beforeAll(async () => {
  api = await TestApp.start();
  project = await api.project();
  keysPath = `/projects/${String(project.projectId)}/keys`;
});
afterAll(() => api.stop());

function create(body: object, key = project.keys.admin): Promise<Reply> {
  return api.call('POST', keysPath, { key, body });
}

async function createOne(body: object = {}): Promise<Required<Key>> {
  const reply = await create({ name: 'one of many', role: 'analyst', ...body });
  expect(reply.status).toBe(201);
  return reply.json<Required<Key>>();
}

async function statusOf(key: string, origin = api.origin): Promise<number> {
  return (await api.call('GET', `${origin}/api/v1/batches`, { key })).status;
}

function revoke({ key_id }: Key): Promise<Reply> {
  return api.call('DELETE', `${keysPath}/${key_id}`, { key: project.keys.admin });
}

function get({ key_id }: Key): Promise<Reply> {
  return api.call('GET', `${keysPath}/${key_id}`, { key: project.keys.admin });
}

function update(
  { key_id }: Pick<Key, 'key_id'>,
  body: object,
  headers: Record<string, string> = {},
  key = project.keys.admin,
): Promise<Reply> {
  return api.call('PATCH', `${keysPath}/${key_id}`, { key, body, headers });
}

function rotate(
  { key_id }: Pick<Key, 'key_id'>,
  body: object = {},
  key = project.keys.admin,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return api.call('POST', `${keysPath}/${key_id}/rotate`, { key, body, headers });
}

/** Runs the work while the clock of this process, which is also that of the server, shows this time. */
async function at<T>(timeMs: number, work: () => Promise<T>): Promise<T> {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(timeMs);
  try {
    return await work();
  } finally {
    clock.mockRestore();
  }
}

async function findInList({ key_id }: Key): Promise<Key | undefined> {
  const page = await api.call('GET', `${keysPath}?page_size=1000`, { key: project.keys.admin });
  return page.json<KeyPage>().results.find((one) => one.key_id === key_id);
}

describe('a key', () => {
  it.each([
    ['an admin', (): string => project.keys.admin],
    ['an operator', (): string => api.operatorKey],
  ])('can be created by %s; the response describes it, and the key works', async (_, by) => {
    const body = { name: 'loader', role: 'analyst', expires_at: '2999-01-01T00:00:00' };
    const reply = await create(body, by());
    expect(reply.status).toBe(201);
    expect(reply.json()).toEqual({
      key_id: expect.stringMatching(/^\d+$/),
      key: expect.stringMatching(/^stw_analyst_[0-9A-Za-z]{36}$/),
      name: 'loader',
      role: 'analyst',
      prefix: expect.stringMatching(/^stw_analyst_[0-9A-Za-z]{4}$/),
      status: 'active',
      device_id: null,
      canary: false,
      created_at: expect.stringMatching(/Z$/),
      expires_at: '2999-01-01T00:00:00.000Z',
      revoked_at: null,
      last_used_at: null,
    });
    const { key, prefix } = reply.json<Required<Key>>();
    expect(key.startsWith(prefix)).toBe(true);
    expect(await statusOf(key)).toBe(200);
  });

  it('is returned only in the response that creates it', async () => {
    const { key, ...rest } = await createOne({ name: 'secret' });
    const list = await api.call('GET', `${keysPath}?page_size=1000`, { key: project.keys.admin });
    expect(list.text).not.toContain(key.slice(rest.prefix.length));
    expect(await findInList(rest)).toEqual(rest);
  });

  it('is stored only as a keyed hash', async () => {
    const { key, key_id } = await createOne();
    const [row] = await api.db.sql<Record<string, unknown>>('SELECT * FROM api_keys WHERE key_id = $1', [key_id]);
    const { hash, ...others } = row as { hash: Buffer };
    expect(JSON.stringify(others)).not.toContain(key.slice(-20));
    expect(hash).toHaveLength(32);
    expect(hash).not.toEqual(createHash('sha256').update(key).digest());
    expect(hash.toString('latin1')).not.toContain(key.slice(-20));
  });

  it.each(['Bearer', 'bearer', 'BEARER', 'Bearer  '])('is accepted as Authorization: %s', async (scheme) => {
    const headers = { Authorization: `${scheme} ${project.keys.analyst}` };
    expect((await api.call('GET', '/batches', { headers })).status).toBe(200);
  });

  it('is accepted as X-Api-Key', async () => {
    expect(await statusOf(project.keys.analyst)).toBe(200);
  });

  it.each(['X-Device-Api-Key', 'X-Project-Membership-Api-Key', 'api_key'])('is not accepted as %s', async (name) => {
    expectProblem(await api.call('GET', '/batches', { headers: { [name]: project.keys.analyst } }), 'unauthenticated');
  });

  it('shows when it was last used', async () => {
    const key = await createOne();
    expect(await findInList(key)).toMatchObject({ last_used_at: null });
    const before = Date.now();
    await statusOf(key.key);
    const { last_used_at } = (await findInList(key)) ?? {};
    expect(Date.parse(last_used_at ?? '')).toBeGreaterThanOrEqual(before - 1);
  });

  it('with the role device requires a device_id, and with any other role rejects it', async () => {
    const { deviceId: device_id } = project;
    expect(await createOne({ role: 'device', device_id })).toMatchObject({ role: 'device', device_id });
    for (const body of [{ role: 'device' }, { role: 'device', device_id: null }, { role: 'analyst', device_id }]) {
      const problem = expectProblem(await create({ name: 'd', ...body }), 'invalid-body');
      expect(placesOf(problem)).toEqual(['/device_id']);
    }
  });
});

describe('GET /projects/{project_id}/keys/{key_id}', () => {
  it('returns the same key as the list, at the Location of its creation', async () => {
    const reply = await create({ name: 'one', role: 'analyst' });
    const { key: _, ...rest } = reply.json<Required<Key>>();
    const read = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.admin });
    expect([read.status, read.json()]).toEqual([200, rest]);
    expect(await findInList(rest)).toEqual(rest);
  });

  it('returns 404 for a key of another project, and any other text', async () => {
    const theirs = await api.project();
    const ofTheirs = (await api.call('GET', '/me', { key: theirs.keys.admin })).json<Key>();
    for (const id of [ofTheirs.key_id, 'abc', '9'.repeat(30)])
      expectProblem(await api.call('GET', `${keysPath}/${id}`, { key: project.keys.admin }), 'not-found');
  });
});

describe('PATCH /projects/{project_id}/keys/{key_id}', () => {
  it.each([
    ['an admin', (): string => project.keys.admin],
    ['an operator', (): string => api.operatorKey],
  ])('changes the name and the expiry for %s, and returns the key as it is listed, with its ETag', async (_, by) => {
    const key = await createOne();
    const reply = await update(key, { name: 'renamed', expires_at: '2999-01-01T02:00:00+02:00' }, {}, by());
    expect([reply.status, reply.json()]).toEqual([200, await findInList(key)]);
    expect(reply.json()).toMatchObject({ name: 'renamed', expires_at: '2999-01-01T00:00:00.000Z', status: 'active' });
    expect(reply.headers.get('etag')).toBe((await get(key)).headers.get('etag'));
    expect(reply.text).not.toContain(key.key.slice(-20));
  });

  it('leaves omitted members as they are', async () => {
    const expires_at = '2999-01-01T00:00:00.000Z';
    const key = await createOne({ expires_at });
    expect((await update(key, {})).json()).toMatchObject({ name: 'one of many', expires_at });
    expect((await update(key, { name: 'n' })).json()).toMatchObject({ name: 'n', expires_at });
    expect((await update(key, { expires_at: null })).json()).toMatchObject({ name: 'n', expires_at: null });
  });

  it('accepts application/merge-patch+json', async () => {
    const reply = await update(await createOne(), { name: 'n' }, { 'Content-Type': 'application/merge-patch+json' });
    expect([reply.status, reply.json<Key>().name]).toEqual([200, 'n']);
  });

  it.each<[string, unknown, string]>([
    ['an empty name', { name: '' }, '/name'],
    ['a name over 255 characters', { name: 'x'.repeat(256) }, '/name'],
    ['the name null', { name: null }, '/name'],
    ['an expiry in the past', { expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    ['an expiry that is not a time', { expires_at: 'tomorrow' }, '/expires_at'],
    ['an expiry in seconds', { expires_at: 4102444800 }, '/expires_at'],
    ['another role', { role: 'admin' }, '/role'],
    ['another device', { device_id: 'd' }, '/device_id'],
  ])('rejects %s', async (_, body, pointer) => {
    const key = await createOne();
    expect(placesOf(expectProblem(await update(key, body as object), 'invalid-body'))).toEqual([pointer]);
  });

  it('rejects an expiry that has just passed, and accepts the next millisecond', async () => {
    const key = await createOne();
    const now = Date.now();
    const [past, future] = [0, 1].map((ms) => ({ expires_at: new Date(now + ms).toISOString() }));
    expectProblem(await at(now, () => update(key, past ?? {})), 'invalid-body');
    expect((await at(now, () => update(key, future ?? {}))).status).toBe(200);
  });

  it('returns 404 for a key of another project, to its admins and to an operator', async () => {
    const theirs = await api.project();
    const ofTheirs = (await api.call('GET', '/me', { key: theirs.keys.admin })).json<Key>();
    expectProblem(await update(ofTheirs, { name: 'n' }), 'not-found');
    expectProblem(await update(ofTheirs, { name: 'n' }, {}, api.operatorKey), 'not-found');
    expectProblem(await update(await createOne(), { name: 'n' }, {}, theirs.keys.admin), 'not-found');
    for (const key_id of ['0', 'abc', '9'.repeat(30)])
      expectProblem(await update({ key_id }, { name: 'n' }), 'not-found');
  });

  it('honours If-Match and If-None-Match', async () => {
    const key = await createOne();
    const etag = (await get(key)).headers.get('etag') ?? '';
    for (const headers of [{ 'If-Match': '"old"' }, { 'If-None-Match': '*' }, { 'If-None-Match': etag }]) {
      const reply = await update(key, { name: 'n' }, headers);
      expectProblem(reply, 'precondition-failed');
      expect(reply.headers.get('etag')).toBe(etag);
    }
    expect((await update(key, { name: 'n' }, { 'If-Match': etag })).status).toBe(200);
    expectProblem(await update(key, { name: 'o' }, { 'If-Match': etag }), 'precondition-failed');
  });

  it('does not change a revoked key', async () => {
    const key = await createOne();
    await revoke(key);
    for (const body of [{ name: 'n' }, { expires_at: null }])
      expect(expectProblem(await update(key, body), 'key-not-active').detail).toContain('revoked');
    expect(await statusOf(key.key)).toBe(401);
  });

  it('makes an expired key work again, which is listed as expired until then', async () => {
    const expiresAtMs = Date.now() + 3_600_000;
    const key = await createOne({ expires_at: new Date(expiresAtMs).toISOString() });
    await at(expiresAtMs, async () => {
      expect(await findInList(key)).toMatchObject({ status: 'expired', revoked_at: null });
      expect(await statusOf(key.key)).toBe(401);
      expect((await update(key, { expires_at: null })).json()).toMatchObject({ status: 'active' });
      expect(await statusOf(key.key)).toBe(200);
    });
  });

  it('applies an earlier expiry immediately to a key that is cached', async () => {
    const key = await createOne();
    const expiresAtMs = Date.now() + 1_000;
    expect(await statusOf(key.key)).toBe(200);
    await update(key, { expires_at: new Date(expiresAtMs).toISOString() });
    expect(await at(expiresAtMs, () => statusOf(key.key))).toBe(401);
  });
});

describe('POST /projects/{project_id}/keys/{key_id}/rotate', () => {
  const expires_at = '2999-01-01T00:00:00.000Z';

  it.each([
    ['no body', undefined, undefined],
    ['an empty body', '', 'application/json'],
  ])('accepts %s, with the default overlap', async (_, body, type) => {
    const old = await createOne({ name: 'gate' });
    const headers = type === undefined ? {} : { 'Content-Type': type };
    const path = `${keysPath}/${old.key_id}/rotate`;
    const reply = await api.call('POST', path, { key: project.keys.admin, body, headers });
    expect([reply.status, reply.json()]).toMatchObject([201, { name: 'gate' }]);
    const { expires_at: end } = (await get(old)).json<Key>();
    expect(Math.abs(Date.parse(end ?? '') - Date.now() - 86_400_000)).toBeLessThan(60_000);
  });

  it.each([
    ['an admin', (): string => project.keys.admin],
    ['an operator', (): string => api.operatorKey],
  ])('creates a key with the same name, role, device and expiry for %s', async (_, by) => {
    const { deviceId: device_id } = project;
    const old = await createOne({ name: 'gate', role: 'device', device_id, expires_at });
    const reply = await rotate(old, {}, by());
    expect(reply.status).toBe(201);
    const { key, ...rest } = reply.json<Required<Key>>();
    expect(rest).toMatchObject({ name: 'gate', role: 'device', device_id, expires_at, status: 'active' });
    expect(key).toMatch(/^stw_device_[0-9A-Za-z]{36}$/);
    expect(rest.key_id).not.toBe(old.key_id);
    const located = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.admin });
    expect([located.status, located.json()]).toEqual([200, rest]);
    for (const one of [old.key, key]) expect((await api.call('GET', '/jobs', { key: one })).status).toBe(200);
  });

  it.each([
    ['for a day by default', {}, 86_400],
    ['for overlap_seconds', { overlap_seconds: 60 }, 60],
    ['for at most a week', { overlap_seconds: 604_800 }, 604_800],
  ])('lets the old key work %s, and the new one for ever', async (_, body, seconds) => {
    const old = await createOne();
    expect(await statusOf(old.key)).toBe(200);
    const now = Date.now();
    const { key } = (await at(now, () => rotate(old, body))).json<Required<Key>>();
    const endMs = now + seconds * 1_000;
    expect(await findInList(old)).toMatchObject({ status: 'active', expires_at: new Date(endMs).toISOString() });
    expect(await at(endMs - 1, () => statusOf(old.key))).toBe(200);
    expect(await at(endMs, () => statusOf(old.key))).toBe(401);
    expect(await at(endMs, () => statusOf(key))).toBe(200);
  });

  it('lets the old key work until its own expiry if that is earlier than the end of the overlap', async () => {
    const old = await createOne({ expires_at: new Date(Date.now() + 60_000).toISOString() });
    const { expires_at: end } = (await rotate(old)).json<Key>();
    expect(end).toBe(old.expires_at);
    expect(await findInList(old)).toMatchObject({ expires_at: old.expires_at });
  });

  it('without an overlap rejects the old key immediately, also the key that authenticates the request', async () => {
    const old = await createOne({ role: 'admin' });
    const reply = await rotate(old, { overlap_seconds: 0 }, old.key);
    expect(reply.status).toBe(201);
    expect(await statusOf(old.key)).toBe(401);
    expect(await statusOf(reply.json<Required<Key>>().key)).toBe(200);
    expect(await findInList(old)).toMatchObject({ status: 'expired', revoked_at: null });
  });

  it('shows neither key in the list', async () => {
    const old = await createOne();
    const { key } = (await rotate(old)).json<Required<Key>>();
    const list = await api.call('GET', `${keysPath}?page_size=1000`, { key: project.keys.admin });
    for (const secret of [old.key, key]) expect(list.text).not.toContain(secret.slice(-20));
  });

  it('replays the response for the same Idempotency-Key, with one new key', async () => {
    const old = await createOne({ name: 'rotated once' });
    const headers = { 'Idempotency-Key': 'rotation-of-a-key' };
    const [first, second] = [
      await rotate(old, {}, project.keys.admin, headers),
      await rotate(old, {}, project.keys.admin, headers),
    ];
    expect([first.status, second.status, second.text]).toEqual([201, 201, first.text]);
    expect(await api.db.sql('SELECT FROM api_keys WHERE name = $1', ['rotated once'])).toHaveLength(2);
  });

  it.each<[string, unknown, string]>([
    ['a negative overlap', { overlap_seconds: -1 }, '/overlap_seconds'],
    ['an overlap over a week', { overlap_seconds: 604_801 }, '/overlap_seconds'],
    ['a fraction of a second', { overlap_seconds: 1.5 }, '/overlap_seconds'],
    ['text', { overlap_seconds: '60' }, '/overlap_seconds'],
    ['null', { overlap_seconds: null }, '/overlap_seconds'],
    ['another name', { name: 'n' }, '/name'],
  ])('rejects %s', async (_, body, pointer) => {
    const old = await createOne();
    expect(placesOf(expectProblem(await rotate(old, body as object), 'invalid-body'))).toEqual([pointer]);
    expect(await findInList(old)).toMatchObject({ expires_at: null });
  });

  it('returns 409 for a revoked and for an expired key', async () => {
    const [revoked, expired] = [await createOne(), await createOne()];
    await revoke(revoked);
    await rotate(expired, { overlap_seconds: 0 });
    for (const [key, status] of [
      [revoked, 'revoked'],
      [expired, 'expired'],
    ] as const)
      expect(expectProblem(await rotate(key), 'key-not-active').detail).toContain(status);
  });

  it('returns 404 for a key of another project, to its admins and to an operator', async () => {
    const theirs = await api.project();
    const ofTheirs = (await api.call('GET', '/me', { key: theirs.keys.admin })).json<Key>();
    expectProblem(await rotate(ofTheirs), 'not-found');
    expectProblem(await rotate(ofTheirs, {}, api.operatorKey), 'not-found');
    expectProblem(await rotate(await createOne(), {}, theirs.keys.admin), 'not-found');
    for (const key_id of ['0', 'abc', '9'.repeat(30)]) expectProblem(await rotate({ key_id }), 'not-found');
  });
});

describe('DELETE /projects/{project_id}/keys/{key_id}', () => {
  it('honours If-Match and If-None-Match', async () => {
    const { key_id } = await createOne();
    const path = `${keysPath}/${key_id}`;
    const { admin: key } = project.keys;
    const etag = (await api.call('GET', path, { key })).headers.get('etag') ?? '';
    for (const headers of [{ 'If-Match': '"old"' }, { 'If-None-Match': '*' }, { 'If-None-Match': etag }]) {
      const reply = await api.call('DELETE', path, { key, headers });
      expectProblem(reply, 'precondition-failed');
      expect(reply.headers.get('etag')).toBe(etag);
    }
    const reply = await api.call('DELETE', path, { key, headers: { 'If-Match': etag } });
    expect(reply.status).toBe(204);
  });

  it('rejects an ETag from before the key was last used', async () => {
    const { key_id, key } = await createOne();
    const path = `${keysPath}/${key_id}`;
    const etag = (await api.call('GET', path, { key: project.keys.admin })).headers.get('etag') ?? '';
    expect(await statusOf(key)).toBe(200);
    const headers = { 'If-Match': etag };
    expectProblem(await api.call('DELETE', path, { key: project.keys.admin, headers }), 'precondition-failed');
  });
});

describe('POST /projects/{project_id}/keys rejects a key', () => {
  it.each<[string, object, string]>([
    ['without a name', { role: 'analyst' }, '/name'],
    ['with an empty name', { name: '', role: 'analyst' }, '/name'],
    ['with a name over 255 characters', { name: '😀'.repeat(256), role: 'analyst' }, '/name'],
    ['without a role', { name: 'n' }, '/role'],
    ['with the role operator', { name: 'n', role: 'operator' }, '/role'],
    ['with an unknown role', { name: 'n', role: 'Admin' }, '/role'],
    ['with an expiry in the past', { name: 'n', role: 'analyst', expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    ['with an expiry that is not a time', { name: 'n', role: 'analyst', expires_at: 'tomorrow' }, '/expires_at'],
    [
      'with an expiry on a day that does not exist',
      { name: 'n', role: 'analyst', expires_at: '2999-02-30T00:00:00Z' },
      '/expires_at',
    ],
    ['with an expiry in seconds', { name: 'n', role: 'analyst', expires_at: 4102444800 }, '/expires_at'],
    ['with a control character in the device id', { name: 'n', role: 'device', device_id: 'a\nb' }, '/device_id'],
    ['with a project_id in the body', { name: 'n', role: 'analyst', project_id: 1 }, '/project_id'],
  ])('%s', async (_, body, pointer) => {
    expect(placesOf(expectProblem(await create(body), 'invalid-body'))).toEqual([pointer]);
  });
});

describe('an expiry', () => {
  it.each([
    ['2999-01-01t00:00:00z', '2999-01-01T00:00:00.000Z'],
    ['2999-01-01T02:00:00+02:00', '2999-01-01T00:00:00.000Z'],
    ['2999-01-01T00:00:00.5', '2999-01-01T00:00:00.500Z'],
    [null, null],
  ])('of %s is stored as %s', async (expires_at, stored) => {
    expect(await createOne({ expires_at })).toMatchObject({ expires_at: stored });
  });

  it('ends the validity of the key, even while it is cached', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000);
    const { key } = await createOne({ expires_at: expiresAt.toISOString() });
    expect(await statusOf(key)).toBe(200);
    const reply = await at(expiresAt.getTime(), () => api.call('GET', '/batches', { key }));
    expectProblem(reply, 'unauthenticated');
  });
});

describe('a rejected key', () => {
  /** The number of statements on keys that the server runs for a request with this key. */
  async function countQueries(key: string): Promise<number> {
    const queries = jest.spyOn(Client.prototype, 'query');
    try {
      expectProblem(await api.call('GET', '/batches', { key }), 'unauthenticated');
      return queries.mock.calls.filter(([statement]) => JSON.stringify(statement).includes('api_keys')).length;
    } finally {
      queries.mockRestore();
    }
  }

  async function expire({ key_id }: Key): Promise<void> {
    await api.db.sql(`UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE key_id = $1`, [key_id]);
  }

  it('costs one query each time, whether it is unknown, revoked, expired, expired while it was cached, or a canary', async () => {
    const [revoked, expired] = [await createOne(), await createOne()];
    const canary = await createOne({ canary: true });
    const expiresAtMs = Date.now() + 3_600_000;
    const cached = await createOne({ expires_at: new Date(expiresAtMs).toISOString() });
    for (const { key } of [revoked, cached]) expect(await statusOf(key)).toBe(200);
    await revoke(revoked);
    await expire(expired);
    await at(expiresAtMs, async () => {
      for (const key of [
        withChecksum(`stw_analyst_${'x'.repeat(30)}`),
        revoked.key,
        expired.key,
        cached.key,
        canary.key,
      ])
        expect([await countQueries(key), await countQueries(key)]).toEqual([1, 1]);
    });
  });

  it('costs no query if its checksum is wrong', async () => {
    expect(await countQueries(`stw_analyst_${'0'.repeat(36)}`)).toBe(0);
  });

  it('does not become a used key', async () => {
    const key = await createOne();
    await expire(key);
    await countQueries(key.key);
    expect(await findInList(key)).toMatchObject({ last_used_at: null });
  });
});

describe('a revoked key', () => {
  it('stops working immediately, and is listed as revoked, without its secret', async () => {
    const key = await createOne();
    expect(await statusOf(key.key)).toBe(200);
    const reply = await revoke(key);
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(await statusOf(key.key)).toBe(401);
    const listed = await findInList(key);
    expect(listed).toMatchObject({ name: key.name, status: 'revoked', revoked_at: expect.stringMatching(/Z$/) });
    expect(JSON.stringify(listed)).not.toContain(key.key.slice(-20));
    expect((await get(key)).json()).toEqual(listed);
  });

  it('stays as it is when it is revoked again', async () => {
    const key = await createOne();
    await revoke(key);
    const revoked = await findInList(key);
    expect((await revoke(key)).status).toBe(204);
    expect(await findInList(key)).toEqual(revoked);
  });

  it('can be the key that authenticates the request', async () => {
    const { key, key_id } = await createOne({ role: 'admin' });
    expect((await api.call('DELETE', `${keysPath}/${key_id}`, { key })).status).toBe(204);
    expect((await api.call('GET', keysPath, { key })).status).toBe(401);
  });

  it.each(['0', 'abc', '1e3', '-1', '9'.repeat(18), '9'.repeat(30), '%20'])(
    'gets 404 for the id %s',
    async (key_id) => {
      expectProblem(await api.call('DELETE', `${keysPath}/${key_id}`, { key: project.keys.admin }), 'not-found');
    },
  );

  it('cannot be a key of another project', async () => {
    const theirs = await api.project();
    const key = await createOne();
    const path = `/projects/${String(theirs.projectId)}/keys/${key.key_id}`;
    expectProblem(await api.call('DELETE', path, { key: theirs.keys.admin }), 'not-found');
    expectProblem(await api.call('DELETE', `${keysPath}/${key.key_id}`, { key: theirs.keys.admin }), 'not-found');
    expectProblem(await api.call('DELETE', path, { key: api.operatorKey }), 'not-found');
    expect(await statusOf(key.key)).toBe(200);
  });
});

describe('on another server process', () => {
  let other: NestFastifyApplication;
  let origin: string;

  beforeAll(async () => {
    const settings = {
      DATABASE_URL: 'postgresql://test',
      STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
    };
    other = await createApp(new Config(settings), api.db);
    await other.listen(0, '127.0.0.1');
    origin = await other.getUrl();
  });
  afterAll(() => other.close());

  it('a revoked key stops working within 5 seconds, even in constant use', async () => {
    const key = await createOne();
    expect(await statusOf(key.key, origin)).toBe(200);
    await revoke(key);
    expect(await lastStatusWithin(5_000, () => statusOf(key.key, origin))).toBe(401);
  });

  it('a key that was rotated without an overlap stops working within 5 seconds, and the new one works at once', async () => {
    const old = await createOne();
    expect(await statusOf(old.key, origin)).toBe(200);
    const { key } = (await rotate(old, { overlap_seconds: 0 })).json<Required<Key>>();
    expect(await statusOf(key, origin)).toBe(200);
    expect(await lastStatusWithin(5_000, () => statusOf(old.key, origin))).toBe(401);
  });

  it('an earlier expiry applies within 5 seconds, even in constant use', async () => {
    const key = await createOne();
    expect(await statusOf(key.key, origin)).toBe(200);
    const expiresAtMs = Date.now() + 1_000;
    await update(key, { expires_at: new Date(expiresAtMs).toISOString() });
    const last = await at(expiresAtMs, () => lastStatusWithin(5_000, () => statusOf(key.key, origin)));
    expect(last).toBe(401);
  });
});

describe('the list of keys', () => {
  it('contains every key of the project once, newest first, through next and previous', async () => {
    const { projectId, keys } = await api.project();
    const list = async (path: string): Promise<KeyPage> => {
      const reply = await api.call('GET', path, { key: keys.admin });
      expect(reply.status).toBe(200);
      return reply.json<KeyPage>();
    };
    const first = await list(`/projects/${String(projectId)}/keys?page_size=3`);
    expect(first).toMatchObject({ count: 4, count_is: 'exact', previous: null });
    expect(first.results.map(({ role }) => role)).toEqual(['device', 'analyst', 'producer']);
    const second = await list(first.next ?? '');
    expect(second.results.map(({ role }) => role)).toEqual(['admin']);
    expect(second.next).toBeNull();
    expect((await list(second.previous ?? '')).results).toEqual(first.results);
  });

  it('rejects the cursor of another list', async () => {
    const theirs = await api.project();
    const own = await api.call('GET', `/projects/${String(theirs.projectId)}/keys?page_size=1`, {
      key: theirs.keys.admin,
    });
    const { search } = new URL(own.json<KeyPage>().next ?? '');
    const reply = await api.call('GET', keysPath + search, { key: project.keys.admin });
    expect(placesOf(expectProblem(reply, 'invalid-cursor'))).toEqual(['cursor']);
    expectProblem(await api.call('GET', `/projects${search}`, { key: api.operatorKey }), 'invalid-cursor');
  });
});
