/**
 * OWASP API3:2023, Broken Object Property Level Authorization. The attacker sends members that only the server assigns, raises
 * its own permissions, and, as a producer, reads stored data through the responses to its writes.
 *
 * Also: test/batches/producer.spec.ts, and test/routes/sweep.spec.ts (unknown members of every body).
 */
import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi } from '../harness/api.js';
import { addressOf, CONTRACT, fill, ROUTES } from '../routes/route-table.js';
import { ProjectWithResources, sendTo } from './resources.js';

let api: TestApi;
let mine: ProjectWithResources;

beforeAll(async () => {
  api = await TestApi.shared();
  mine = await ProjectWithResources.create(api, 'confidential');
});
afterAll(() => api.stop());

describe('members that the server assigns', () => {
  const ASSIGNED = [
    'created_at',
    'seq',
    'hash',
    'prefix',
    'key',
    'key_id',
    'revoked_at',
    'last_used_at',
    'object_count',
  ];

  it.each(ROUTES.filter(([, { body }]) => body !== undefined))('are rejected by %s', async (_, route) => {
    const [role = 'admin'] = route.roles;
    const assigned = Object.fromEntries(ASSIGNED.map((name) => [name, 1]));
    const reply = await api.call(route.method, fill(addressOf(route), mine.idsFor(role)), {
      key: mine.keyOf(role),
      body: { ...route.body, ...assigned },
      headers: { 'Content-Type': route.types?.[0] ?? 'application/json' },
    });
    expect(placesOf(expectProblem(reply, 'invalid-body')).sort()).toEqual(ASSIGNED.map((name) => `/${name}`).sort());
  });
});

describe('an admin', () => {
  it('creates no key of an operator', async () => {
    for (const role of ['operator', 'Operator', ['operator'], 'root']) {
      const body = { name: 'more', role };
      const path = `/projects/${String(mine.project.projectId)}/keys`;
      const reply = await api.call('POST', path, { key: mine.keyOf('admin'), body });
      expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/role']);
    }
  });

  it('changes neither the role nor the device of a key', async () => {
    const { project_id, key_id } = mine.idsFor('admin');
    const path = `/projects/${String(project_id)}/keys/${String(key_id)}`;
    for (const member of ['role', 'device_id', 'project_id', 'status', 'canary']) {
      const reply = await api.call('PATCH', path, { key: mine.keyOf('admin'), body: { [member]: 'admin' } });
      expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual([`/${member}`]);
    }
  });
});

it.each(ROUTES.filter(([, { method }]) => method === 'GET'))('%s returns no internal member', async (_, route) => {
  for (const role of route.roles) {
    const { status, text } = await sendTo(api, route, mine.idsFor(role), mine.keyOf(role));
    expect([role, status < 500]).toEqual([role, true]);
    expect(text).not.toMatch(/"(?:seq|secret|password|nonce|key_hash|place|tableoid|lane)":/);
    expect(text).not.toMatch(/stw_[a-z]+_\w{36}/);
  }
});

describe('a producer gets no stored data', () => {
  const body = { data: {} };
  const merge = { 'Content-Type': 'application/merge-patch+json' };
  const object = { object_id: 'confidential', data: {} };
  const id = '/objects/confidential';

  it.each<[string, string, string, object, Record<string, string>]>([
    ['a patch', 'PATCH', id, body, merge],
    ['a patch that asks for the object', 'PATCH', id, body, { ...merge, Prefer: 'return=representation' }],
    ['a replacement with a wrong ETag', 'PUT', id, body, { 'If-Match': '"wrong"' }],
    ['an object that exists', 'POST', '/objects', { batch_id: 'confidential', ...object }, {}],
    ['a batch that exists', 'POST', '/batches', { batch_id: 'confidential', objects: [object] }, {}],
    ['a dry run', 'POST', '/batches?dry_run=true', { batch_id: 'confidential', objects: [object] }, {}],
    ['other content', 'PUT', '/batches/confidential', { objects: [object] }, {}],
    ['a batch to be skipped', 'PUT', '/batches/confidential?on_conflict=skip', { objects: [object] }, {}],
  ])('in the response to %s', async (_, method, path, sent, headers) => {
    const before = await api.call('GET', id, { key: mine.keyOf('analyst') });
    expect(before.text).toContain('"value": "confidential"');
    const reply = await api.call(method, path, { key: mine.keyOf('producer'), body: sent, headers });
    expect(reply.status).toBeLessThan(500);
    expect(reply.text).not.toMatch(/"type"\s*,\s*"value"|"value"\s*:\s*"confidential"/);
  });

  it.each([
    ['an object', id, body],
    ['a sprocket', '/sprockets/sprocket-confidential', CONTRACT['POST /sprockets']?.body],
  ])('that it could guess by computing the ETag of %s', async (_, path, sent) => {
    const stored = await api.call('GET', path, { key: mine.keyOf('analyst') });
    const headers = { 'If-Match': '"wrong"' };
    const reply = await api.call('PUT', path, { key: mine.keyOf('producer'), body: sent ?? {}, headers });
    expectProblem(reply, 'precondition-failed');
    const [tag, digest] = [reply.headers.get('etag'), hash('sha256', stored.text, 'base64url')];
    expect(tag).toBe(stored.headers.get('etag'));
    expect(tag).not.toBe(`"${digest.slice(0, 22)}"`);
  });
});
