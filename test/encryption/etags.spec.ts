import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { encrypt } from './encrypted-project.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await encrypt(api, project, ['name']);
});
afterAll(() => api.stop());

const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Reply> =>
  api.call(method, path, { key: project.keys.admin, headers, ...(body === undefined ? {} : { body }) });
const etagOf = (reply: Reply): string => reply.headers.get('etag') ?? '';
/** What everyone can compute who guesses the values. */
const digestOf = ({ text }: Reply): string => `"${hash('sha256', text, 'base64url').slice(0, 22)}"`;
const PATCH = { 'Content-Type': 'application/merge-patch+json' };

describe('the ETag of an object with encrypted keys', () => {
  it('is no digest that a producer can compute, and the same in every response', async () => {
    const body = { batch_id: 'b', objects: [] };
    expect((await call('POST', '/batches', body)).status).toBe(201);
    const data = { name: 'Ada', type: 'person' };
    const created = await call('POST', '/objects', { batch_id: 'b', object_id: 'o', data });
    const read = await call('GET', '/objects/o');
    const replaced = await call('PUT', '/objects/o', { data });
    const patched = await call('PATCH', '/objects/o', { data: { type: 'person' } }, PATCH);
    const replies = [created, read, replaced, patched];
    expect(replies.map(({ status }) => status)).toEqual([201, 200, 200, 200]);
    expect(new Set(replies.map(etagOf)).size).toBe(1);
    for (const reply of replies) expect(etagOf(reply)).not.toBe(digestOf(reply));
    const refused = await call('PUT', '/objects/o', { data }, { 'If-Match': digestOf(read) });
    expect([refused.status, etagOf(refused)]).toEqual([412, etagOf(read)]);
    const view = await call('GET', '/objects/o?fields=data.name');
    expect(etagOf(view)).not.toBe(digestOf(view));
  });

  it('is for conditional requests what it always is', async () => {
    const current = etagOf(await call('GET', '/objects/o'));
    expect((await call('GET', '/objects/o', undefined, { 'If-None-Match': current })).status).toBe(304);
    const patched = await call('PATCH', '/objects/o', { data: { name: 'Eve' } }, { ...PATCH, 'If-Match': current });
    expect(patched.status).toBe(200);
    expect(etagOf(patched)).not.toBe(current);
    const replace = { data: { name: 'Bob' } };
    expect((await call('PUT', '/objects/o', replace, { 'If-Match': current })).status).toBe(412);
    const replaced = await call('PUT', '/objects/o', replace, { 'If-Match': etagOf(patched) });
    expect(replaced.status).toBe(200);
    expect((await call('DELETE', '/objects/o', undefined, { 'If-Match': etagOf(replaced) })).status).toBe(204);
  });
});
