import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const objects = [{ object_id: 'o', data: [{ key: 'n', value: 1 }] }];
  await api.call('POST', '/batches', { key: project.keys.producer, body: { batch_id: 'b', objects } });
});
afterAll(() => api.stop());

function get(path: string, ifNoneMatch?: string, method = 'GET'): Promise<Reply> {
  const headers = ifNoneMatch === undefined ? {} : { 'If-None-Match': ifNoneMatch };
  const filled = path.replace('{project_id}', String(project.projectId)).replace('{device_id}', project.deviceId);
  return api.call(method, filled, {
    key: path.startsWith('/projects') ? project.keys.admin : project.keys.analyst,
    headers,
  });
}

async function tagOf(path: string): Promise<string> {
  const reply = await get(path);
  expect(reply.status).toBe(200);
  return reply.headers.get('etag') ?? '';
}

const READS = [
  '/',
  '/limits',
  '/me',
  '/devices',
  '/devices/{device_id}',
  '/projects/{project_id}',
  '/batches',
  '/batches?include=objects',
  '/batches/b',
  '/objects',
  '/objects?key=n',
  '/objects/o',
  '/objects/keys',
  '/objects/facets?key=n',
];

describe('a read', () => {
  it.each(READS.filter((path) => !path.includes('include')))(
    'of %s has an ETag, and returns 304 when If-None-Match contains it',
    async (path) => {
      const first = await get(path);
      const etag = first.headers.get('etag') ?? '';
      expect(etag).toMatch(/^"[\w-]+"$/);
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*', `"a,b",W/${etag} , "c"`]) {
        for (const method of ['GET', 'HEAD']) {
          const again = await get(path, known, method);
          expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
          expect(again.headers.get('cache-control')).toBe(first.headers.get('cache-control'));
        }
      }
      for (const other of ['"other"', etag.replaceAll('"', ''), '', etag.toUpperCase() + 'x']) {
        expect([other, (await get(path, other)).status]).toEqual([other, 200]);
      }
    },
  );

  it.each(READS)('of %s allows the client to cache the response, with revalidation', async (path) => {
    expect((await get(path)).headers.get('cache-control')).toBe('private, no-cache');
  });

  it('that returns 404 has no ETag', async () => {
    const reply = await get('/objects/nothing', '*');
    expect([reply.status, reply.headers.get('etag')]).toEqual([404, null]);
  });
});

describe('the ETag', () => {
  it.each(['/objects/o', '/batches/b', '/objects', '/objects?key=n'])('of %s changes with an object', async (path) => {
    const before = await tagOf(path);
    const body = { data: { n: Math.random() } };
    const headers = { 'Content-Type': 'application/merge-patch+json' };
    const patched = await api.call('PATCH', '/objects/o', { key: project.keys.producer, body, headers });
    expect(patched.status).toBe(200);
    const after = await get(path, before);
    expect(after.status).toBe(200);
    expect(after.headers.get('etag')).not.toBe(before);
    if (path === '/objects/o') expect(patched.headers.get('etag')).toBe(after.headers.get('etag'));
  });

  it.each(['/batches/b', '/batches', '/objects'])(
    'of %s changes when an object is added and when it is deleted',
    async (path) => {
      const before = await tagOf(path);
      const body = { batch_id: 'b', object_id: 'more', data: [] };
      await api.call('POST', '/objects', { key: project.keys.producer, body });
      const between = await tagOf(path);
      expect(between).not.toBe(before);
      expect((await api.call('DELETE', '/objects/more', { key: project.keys.admin })).status).toBe(204);
      expect(await tagOf(path)).not.toBe(between);
    },
  );

  it('of a batch changes when it is deleted and posted again', async () => {
    const body = { batch_id: 'again', objects: [] };
    const post = () => api.call('POST', '/batches', { key: project.keys.producer, body });
    await post();
    const before = await tagOf('/batches/again');
    await api.call('DELETE', '/batches/again', { key: project.keys.admin });
    await post();
    expect(await tagOf('/batches/again')).not.toBe(before);
  });
});
