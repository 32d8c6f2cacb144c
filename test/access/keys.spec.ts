import { createHash } from 'node:crypto';
import { Config, createLog, withChecksum } from '#platform';
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
      device_id: null,
      created_at: expect.stringMatching(/Z$/),
      expires_at: '2999-01-01T00:00:00.000Z',
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

  it('returns 404 for a revoked key, a key of another project, and any other text', async () => {
    const revoked = await createOne();
    await revoke(revoked);
    const theirs = await api.project();
    const ofTheirs = (await api.call('GET', '/me', { key: theirs.keys.admin })).json<Key>();
    for (const id of [revoked.key_id, ofTheirs.key_id, 'abc', '9'.repeat(30)])
      expectProblem(await api.call('GET', `${keysPath}/${id}`, { key: project.keys.admin }), 'not-found');
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
    expectProblem(await api.call('DELETE', path, { key, headers: { 'If-Match': '*' } }), 'not-found');
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
    const clock = jest.spyOn(Date, 'now').mockReturnValue(expiresAt.getTime());
    try {
      expectProblem(await api.call('GET', '/batches', { key }), 'unauthenticated');
    } finally {
      clock.mockRestore();
    }
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
    await api.db.sql('UPDATE api_keys SET expires_at = now() WHERE key_id = $1', [key_id]);
  }

  it('costs one query each time, whether it is unknown, revoked, expired, or expired while it was cached', async () => {
    const [revoked, expired] = [await createOne(), await createOne()];
    const expiresAtMs = Date.now() + 3_600_000;
    const cached = await createOne({ expires_at: new Date(expiresAtMs).toISOString() });
    for (const { key } of [revoked, cached]) expect(await statusOf(key)).toBe(200);
    await revoke(revoked);
    await expire(expired);
    const clock = jest.spyOn(Date, 'now').mockReturnValue(expiresAtMs);
    try {
      for (const key of [withChecksum(`stw_analyst_${'x'.repeat(30)}`), revoked.key, expired.key, cached.key])
        expect([await countQueries(key), await countQueries(key)]).toEqual([1, 1]);
    } finally {
      clock.mockRestore();
    }
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
  it('stops working immediately and is no longer listed', async () => {
    const key = await createOne();
    expect(await statusOf(key.key)).toBe(200);
    const reply = await revoke(key);
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(await statusOf(key.key)).toBe(401);
    expect(await findInList(key)).toBeUndefined();
  });

  it('cannot be revoked again', async () => {
    const key = await createOne();
    await revoke(key);
    expectProblem(await revoke(key), 'not-found');
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

  describe('on another process', () => {
    let other: NestFastifyApplication;

    beforeAll(async () => {
      const settings = {
        DATABASE_URL: 'postgresql://test',
        STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      };
      other = await createApp(new Config(settings), api.db, createLog('silent'));
      await other.listen(0, '127.0.0.1');
    });
    afterAll(() => other.close());

    it('stops working within 5 seconds, even in constant use', async () => {
      const key = await createOne();
      const origin = await other.getUrl();
      expect(await statusOf(key.key, origin)).toBe(200);
      await revoke(key);
      expect(await lastStatusWithin(5_000, () => statusOf(key.key, origin))).toBe(401);
    });
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
