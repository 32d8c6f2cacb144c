import { COMMAND_LINE } from '#audit';
import { KeyService } from '#access';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { Reply } from '../harness/api.js';
import { TestApp } from '../harness/app.js';

interface Key {
  key_id: string;
  key: string;
  role: string;
  status: string;
}

interface Page {
  count: number;
  next: string | null;
  results: Key[];
}

let api: TestApp;
/** The id of the key that the requests of this spec use. */
let ownKeyId: string;

beforeAll(async () => {
  api = await TestApp.start();
  ownKeyId = (await api.call('GET', '/me', { key: api.operatorKey })).json<Key>().key_id;
});
/** Each test starts with one operator key. */
beforeEach(async () => {
  await api.db.sql('DELETE FROM api_keys WHERE project_id IS NULL AND key_id <> $1', [ownKeyId]);
  await api.db.sql('UPDATE api_keys SET revoked_at = NULL, expires_at = NULL WHERE key_id = $1', [ownKeyId]);
});
afterAll(() => api.stop());

function call(method: string, path = '', headers: Record<string, string> = {}, key = api.operatorKey) {
  return api.call(method, `/operator-keys${path}`, { key, headers });
}

function update(keyId: string, body: object, headers: Record<string, string> = {}, key = api.operatorKey) {
  return api.call('PATCH', `/operator-keys/${keyId}`, { key, body, headers });
}

function rotate(keyId: string, body: object = {}) {
  return api.call('POST', `/operator-keys/${keyId}/rotate`, { key: api.operatorKey, body });
}

function create(expiresAt: Date | null = null): Promise<Key> {
  return api.app
    .get(KeyService)
    .create({ projectId: null, role: 'operator', name: 'another', expiresAt }, COMMAND_LINE);
}

async function list(path = ''): Promise<Page> {
  return (await call('GET', path)).json<Page>();
}

async function statusOf(key: string): Promise<number> {
  return (await api.call('GET', '/me', { key })).status;
}

describe('GET /operator-keys', () => {
  it('lists the operator keys, newest first, in pages, without secrets and without keys of projects', async () => {
    await api.project();
    const ids = [ownKeyId];
    const created = [await create(), await create()];
    for (const { key_id } of created) ids.unshift(key_id);
    const reply = await call('GET');
    const page = reply.json<Page>();
    expect(page).toMatchObject({ count: 3, count_is: 'exact', next: null, previous: null });
    expect(page.results.map(({ key_id }) => key_id)).toEqual(ids);
    expect(page.results[0]).toEqual({
      key_id: ids[0],
      name: 'another',
      role: 'operator',
      prefix: expect.stringMatching(/^stw_operator_[0-9A-Za-z]{4}$/),
      status: 'active',
      device_id: null,
      canary: false,
      created_at: expect.stringMatching(/Z$/),
      expires_at: null,
      revoked_at: null,
      last_used_at: null,
    });
    for (const { key } of created) expect(reply.text).not.toContain(key.slice(-20));
    const first = await list('?page_size=2');
    const second = (await call('GET', new URL(first.next ?? '').search)).json<Page>();
    expect([...first.results, ...second.results]).toEqual(page.results);
  });
});

describe('GET /operator-keys/{key_id}', () => {
  it('returns the same key as the list', async () => {
    const { key_id } = await create();
    expect((await call('GET', `/${key_id}`)).json()).toEqual((await list()).results[0]);
  });

  it('returns 404 for a key of a project, whose route returns 404 for an operator key', async () => {
    const { projectId, keys } = await api.project();
    const ofProject = await api.call('GET', '/me', { key: keys.admin });
    expectProblem(await call('GET', `/${ofProject.json<Key>().key_id}`), 'not-found');
    const path = `/projects/${String(projectId)}/keys/${ownKeyId}`;
    for (const method of ['GET', 'DELETE'])
      expectProblem(await api.call(method, path, { key: api.operatorKey }), 'not-found');
    const body = { name: 'n' };
    expectProblem(await api.call('PATCH', path, { key: api.operatorKey, body }), 'not-found');
    expectProblem(await update(ofProject.json<Key>().key_id, body), 'not-found');
    expectProblem(await api.call('POST', `${path}/rotate`, { key: api.operatorKey, body: {} }), 'not-found');
    expectProblem(await rotate(ofProject.json<Key>().key_id), 'not-found');
  });

  it.each(['0', 'abc', '-1', '9'.repeat(30), '%20'])('returns 404 for the id %s', async (id) => {
    for (const method of ['GET', 'DELETE']) expectProblem(await call(method, `/${id}`), 'not-found');
  });
});

describe('PATCH /operator-keys/{key_id}', () => {
  it('changes the name and the expiry, and returns the key as it is listed, with its ETag', async () => {
    const { key, key_id } = await create();
    const reply = await update(key_id, { name: 'renamed', expires_at: '2999-01-01T00:00:00Z' });
    expect([reply.status, reply.json()]).toEqual([200, (await list()).results[0]]);
    expect(reply.json()).toMatchObject({ name: 'renamed', expires_at: '2999-01-01T00:00:00.000Z' });
    expect(reply.headers.get('etag')).toBe((await call('GET', `/${key_id}`)).headers.get('etag'));
    expect(reply.text).not.toContain(key.slice(-20));
  });

  it('rejects an expiry in the past and a false precondition', async () => {
    const past = await update(ownKeyId, { expires_at: '2020-01-01T00:00:00Z' });
    expect(placesOf(expectProblem(past, 'invalid-body'))).toEqual(['/expires_at']);
    expectProblem(await update(ownKeyId, { name: 'n' }, { 'If-Match': '"old"' }), 'precondition-failed');
  });

  it('does not change a revoked key', async () => {
    const { key_id } = await create();
    await call('DELETE', `/${key_id}`);
    expectProblem(await update(key_id, { expires_at: null }), 'key-not-active');
  });

  it('gives the last working key no earlier expiry, but a name, and a later expiry', async () => {
    const { key, key_id } = await create(new Date('2999-01-01T00:00:00Z'));
    const earlier = { expires_at: '2998-01-01T00:00:00Z' };
    expect((await update(key_id, { expires_at: '2998-06-01T00:00:00Z' })).status).toBe(200);
    await call('DELETE', `/${ownKeyId}`);
    expectProblem(await update(key_id, earlier, {}, key), 'last-operator-key');
    expect((await update(key_id, { name: 'n' }, {}, key)).status).toBe(200);
    expect((await update(key_id, { expires_at: '2999-06-01T00:00:00Z' }, {}, key)).status).toBe(200);
    expect((await update(key_id, { expires_at: null }, {}, key)).status).toBe(200);
    expectProblem(await update(key_id, { expires_at: '2999-06-01T00:00:00Z' }, {}, key), 'last-operator-key');
  });
});

describe('POST /operator-keys/{key_id}/rotate', () => {
  it('creates an operator key with the same name and expiry; the old one works until the overlap ends', async () => {
    const old = await create(new Date('2999-01-01T00:00:00Z'));
    const reply = await rotate(old.key_id, { overlap_seconds: 60 });
    expect(reply.status).toBe(201);
    const { key, ...rest } = reply.json<Key>();
    expect(rest).toMatchObject({ name: 'another', role: 'operator', expires_at: '2999-01-01T00:00:00.000Z' });
    const located = await api.call('GET', reply.headers.get('location') ?? '', { key: api.operatorKey });
    expect([located.status, located.json()]).toEqual([200, rest]);
    expect([await statusOf(old.key), await statusOf(key)]).toEqual([200, 200]);
    expect((await call('GET')).text).not.toContain(key.slice(-20));
  });

  it('replaces the last working key, also without an overlap', async () => {
    const reply = await rotate(ownKeyId, { overlap_seconds: 0 });
    expect(reply.status).toBe(201);
    expect([await statusOf(api.operatorKey), await statusOf(reply.json<Key>().key)]).toEqual([401, 200]);
  });

  it('rejects an overlap over a week, and a revoked key', async () => {
    const { key_id } = await create();
    const tooLong = expectProblem(await rotate(key_id, { overlap_seconds: 604_801 }), 'invalid-body');
    expect(placesOf(tooLong)).toEqual(['/overlap_seconds']);
    await call('DELETE', `/${key_id}`);
    expectProblem(await rotate(key_id), 'key-not-active');
  });
});

describe('DELETE /operator-keys/{key_id}', () => {
  it('revokes a key immediately and lists it as revoked; revoking it again changes nothing', async () => {
    const { key, key_id } = await create();
    expect(await statusOf(key)).toBe(200);
    const reply = await call('DELETE', `/${key_id}`);
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(await statusOf(key)).toBe(401);
    const { results } = await list();
    expect(results.map((one) => [one.key_id, one.status])).toEqual([
      [key_id, 'revoked'],
      [ownKeyId, 'active'],
    ]);
    expect((await call('DELETE', `/${key_id}`)).status).toBe(204);
    expect((await list()).results).toEqual(results);
  });

  it('revokes the key that authenticates the request if another key works', async () => {
    const { key } = await create();
    expect((await call('DELETE', `/${ownKeyId}`)).status).toBe(204);
    expect([await statusOf(api.operatorKey), await statusOf(key)]).toEqual([401, 200]);
  });

  it('does not revoke the last working key, and names the commands that can', async () => {
    const { detail } = expectProblem(await call('DELETE', `/${ownKeyId}`), 'last-operator-key');
    expect(detail).toContain('`stowage key create --role operator`');
    expect(detail).toContain(`\`stowage key revoke ${ownKeyId} --operator\``);
    expect(await statusOf(api.operatorKey)).toBe(200);
  });

  it('returns 404 for another spelling of an id, which could bypass that check', async () => {
    expectProblem(await call('DELETE', `/0${ownKeyId}`), 'not-found');
    expect(await statusOf(api.operatorKey)).toBe(200);
  });

  it('does not count an expired key as working, and revokes it', async () => {
    const { key_id } = await create(new Date(Date.now() - 1_000));
    expectProblem(await call('DELETE', `/${ownKeyId}`), 'last-operator-key');
    expect((await call('DELETE', `/${key_id}`)).status).toBe(204);
  });

  it('keeps one of two keys that revoke each other concurrently', async () => {
    const { key, key_id } = await create();
    const replies = await Promise.all([call('DELETE', `/${key_id}`), call('DELETE', `/${ownKeyId}`, {}, key)]);
    // The other request was rejected, or its key was revoked before it was authenticated.
    const statuses = replies.map(({ status }) => status).sort();
    expect([
      [204, 409],
      [204, 401],
    ]).toContainEqual(statuses[0] === 204 ? statuses : statuses.reverse());
    expect([await statusOf(api.operatorKey), await statusOf(key)].sort()).toEqual([200, 401]);
  });

  it('honours If-Match and If-None-Match', async () => {
    const { key_id } = await create();
    const etag = (await call('GET', `/${key_id}`)).headers.get('etag') ?? '';
    const refused: Reply[] = [];
    for (const headers of [{ 'If-Match': '"old"' }, { 'If-None-Match': '*' }, { 'If-None-Match': etag }])
      refused.push(await call('DELETE', `/${key_id}`, headers));
    for (const reply of refused) {
      expectProblem(reply, 'precondition-failed');
      expect(reply.headers.get('etag')).toBe(etag);
    }
    expect((await call('DELETE', `/${key_id}`, { 'If-Match': etag })).status).toBe(204);
  });
});
