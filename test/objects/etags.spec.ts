import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await call('POST', '/batches', { batch_id: 'b', objects: [] });
});
afterAll(() => api.stop());

const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Reply> =>
  api.call(method, path, { key: project.keys.admin, headers, ...(body === undefined ? {} : { body }) });
const etagOf = (reply: Reply): string => reply.headers.get('etag') ?? '';
/** What everyone can compute who guesses the values. */
const digestOf = (text: string): string => `"${hash('sha256', text, 'base64url').slice(0, 22)}"`;
const PATCH = { 'Content-Type': 'application/merge-patch+json' };
const data = { salary: 73_250, type: 'person' };

describe('the ETag of an object', () => {
  it('is no digest that a producer can compute, and the same in every response', async () => {
    const created = await call('POST', '/objects', { batch_id: 'b', object_id: 'o', data });
    const read = await call('GET', '/objects/o');
    const replaced = await call('PUT', '/objects/o', { data });
    const patched = await call('PATCH', '/objects/o', { data: { type: 'person' } }, PATCH);
    const replies = [created, read, replaced, patched];
    expect(replies.map(({ status }) => status)).toEqual([201, 200, 200, 200]);
    expect(new Set(replies.map(etagOf)).size).toBe(1);
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    for (const text of [read.text, `${String(project.projectId)} ${read.text}`])
      expect(etagOf(read)).not.toBe(digestOf(text));
    const refused = await call('PUT', '/objects/o', { data }, { 'If-Match': digestOf(read.text) });
    expect([refused.status, etagOf(refused)]).toEqual([412, etagOf(read)]);
    const view = await call('GET', '/objects/o?fields=data.salary');
    expect(etagOf(view)).not.toBe(digestOf(view.text));
  });

  it('is another one than that of the same object in another project', async () => {
    const body = { batch_id: 'b', objects: [{ object_id: 'same', data, observed_at: '2026-11-27T09:00:00Z' }] };
    const other = await api.project();
    const replies: Reply[] = [];
    for (const { producer, analyst } of [project.keys, other.keys]) {
      await api.call('PUT', '/batches/b?on_conflict=skip', { key: producer, body });
      replies.push(await api.call('GET', '/objects/same', { key: analyst }));
    }
    const [first, second] = replies as [Reply, Reply];
    expect(first.text).toContain('73250');
    expect(second.text).toBe(first.text);
    expect(etagOf(second)).not.toBe(etagOf(first));
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
