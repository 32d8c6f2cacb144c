import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf, places, postBatch, type BatchBody, type PageBody, type ProblemBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

const remove = (path: string, key = project.keys.admin): Promise<Reply> =>
  api.call('DELETE', `/batches/${path}`, { key });
const status = async (path: string): Promise<number> =>
  (await api.call('GET', path, { key: project.keys.analyst })).status;
const objectsOf = (name: string, count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({ object_id: `${name}-${String(i)}`, data: { name } }));

describe('DELETE /batches/{batch_id}', () => {
  it('deletes an empty batch, and then returns 404', async () => {
    await postBatch(api, project.keys.producer, 'empty', []);
    const reply = await remove('empty');
    expect([reply.status, reply.text]).toEqual([204, '']);
    expect(await status('/batches/empty')).toBe(404);
    expect(kindOf(await remove('empty'))).toBe('404 not-found');
    expect(kindOf(await remove('empty?cascade=true'))).toBe('404 not-found');
  });

  it('rejects a batch with objects, returns their number, and deletes nothing', async () => {
    await postBatch(api, project.keys.producer, 'full', objectsOf('full', 3));
    for (const path of ['full', 'full?cascade=false']) {
      const reply = await remove(path);
      expect(kindOf(reply)).toBe('409 batch-not-empty');
      expect(reply.json<ProblemBody>()).toMatchObject({ object_count: 3 });
      expect(reply.json<ProblemBody>().detail).toContain('(3)');
    }
    expect(await status('/objects/full-0')).toBe(200);
  });

  it('deletes a batch whose last object was deleted', async () => {
    await postBatch(api, project.keys.producer, 'emptied', objectsOf('emptied', 2));
    for (const id of ['emptied-0', 'emptied-1']) {
      expect(kindOf(await remove('emptied'))).toBe('409 batch-not-empty');
      await api.call('DELETE', `/objects/${id}`, { key: project.keys.admin });
    }
    expect((await remove('emptied')).status).toBe(204);
  });

  it('never returns 409 with cascade, even if the batch is created again concurrently', async () => {
    const { keys } = await api.project();
    const reading = (): Promise<Reply> =>
      api.call('POST', '/buildings/HQ/rooms/lab/temperatures', { key: keys.producer, body: { temperature: 1 } });
    expect((await reading()).status).toBe(201);
    const list = await api.call('GET', '/batches', { key: keys.admin });
    const day = list.json<PageBody<BatchBody>>().results[0]?.batch_id ?? '';
    const statuses = new Set<number>();
    const deleting = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) statuses.add((await remove(`${day}?cascade=true`, keys.admin)).status);
    };
    const writing = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) expect((await reading()).status).toBe(201);
    };
    await Promise.all([deleting(), deleting(), writing(), writing(), writing()]);
    expect([...statuses].sort()).toEqual([204, 404]);
  });

  it('deletes its objects with cascade, but no objects of other batches or projects', async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'cascade', objectsOf('cascade', 2));
    await postBatch(api, project.keys.producer, 'cascade', objectsOf('cascade', 2));
    await postBatch(api, project.keys.producer, 'cascade2', objectsOf('bystander', 1));
    expect((await remove('cascade?cascade=true')).status).toBe(204);
    expect(await status('/batches/cascade')).toBe(404);
    expect(await status('/objects/cascade-0')).toBe(404);
    expect(await status('/objects/cascade-1')).toBe(404);
    expect(await status('/objects/bystander-0')).toBe(200);
    const foreign = await api.call('GET', '/batches/cascade', { key: other.keys.analyst });
    expect(foreign.json<{ objects: unknown[] }>().objects).toHaveLength(2);
  });

  it('allows the ids to be posted again', async () => {
    for (let round = 0; round < 3; round++) {
      await postBatch(api, project.keys.producer, 'phoenix', objectsOf('phoenix', 5));
      expect((await remove('phoenix?cascade=true')).status).toBe(204);
    }
    const body = { batch_id: 'phoenix', objects: objectsOf('phoenix', 4) };
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect(reply.json<BatchBody>().object_count).toBe(4);
  });

  it("returns 404 for another project's batch, and keeps it", async () => {
    const other = await api.project();
    await postBatch(api, project.keys.producer, 'mine', objectsOf('mine', 1));
    expect(kindOf(await remove('mine', other.keys.admin))).toBe('404 not-found');
    expect(kindOf(await remove('mine?cascade=true', other.keys.admin))).toBe('404 not-found');
    expect(await status('/objects/mine-0')).toBe(200);
  });

  it.each([
    ['cascade=yes', 'cascade'],
    ['cascade=', 'cascade'],
    ['cascade=true&cascade=true', 'cascade'],
    ['force=true', 'force'],
  ])('rejects ?%s and deletes nothing', async (query, parameter) => {
    await postBatch(api, project.keys.producer, query, []);
    const reply = await remove(`${encodeURIComponent(query)}?${query}`);
    expect(kindOf(reply)).toBe('400 invalid-query');
    expect(places(reply)).toEqual([parameter]);
    expect(await status(`/batches/${encodeURIComponent(query)}`)).toBe(200);
  });
});
