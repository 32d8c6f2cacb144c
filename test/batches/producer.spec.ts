import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const objects = Array.from({ length: 7 }, (_, i) => ({ object_id: `secret-${String(i)}`, data: { n: i } }));
  await api.call('POST', '/batches', { key: project.keys.admin, body: { batch_id: 'secret', objects } });
});
afterAll(() => api.stop());

describe('a producer', () => {
  const put = (key: string, query = ''): Promise<Reply> =>
    api.call('PUT', `/batches/secret?on_conflict=skip${query}`, { key, body: { objects: [] } });

  it.each(['', '&dry_run=true'])('does not get the object count of a batch that it adds to (%s)', async (query) => {
    const reply = await put(project.keys.producer, query);
    expect([reply.status, Object.keys(reply.json<object>())]).toEqual([
      200,
      expect.not.arrayContaining(['object_count']),
    ]);
    expect((await put(project.keys.admin, query)).json()).toMatchObject({ object_count: 7 });
  });

  it('gets the object count of a batch whose objects it sent in the same request', async () => {
    const objects = [{ object_id: 'own', data: {} }];
    const { producer: key } = project.keys;
    for (const status of [201, 200]) {
      const reply = await api.call('PUT', '/batches/own', { key, body: { objects } });
      expect([reply.status, reply.json()]).toEqual([status, expect.objectContaining({ object_count: 1 })]);
    }
  });
});
