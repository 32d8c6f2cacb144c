import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { places, postBatch, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

afterEach(async () => {
  const wrong = await api.db.sql(`
    SELECT batch_id, b.object_count, o.count FROM batches AS b
    FULL JOIN (SELECT project_id, batch_id, count(*) FROM objects GROUP BY 1, 2) AS o USING (project_id, batch_id)
    WHERE b.object_count IS DISTINCT FROM coalesce(o.count, 0)`);
  // After each test: no object without a batch, no batch with a wrong count.
  expect(wrong).toEqual([]);
});

const post = (body: unknown, key = project.keys.producer): Promise<Reply> =>
  api.call('POST', '/batches', { key, body });
const idsOf = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${name}-${String(i)}`);
const objects = (ids: string[]): object[] => ids.map((object_id) => ({ object_id, data: { n: 1 } }));
const statuses = (replies: Reply[]): number[] => replies.map((reply) => reply.status).sort();

/** Waits until `count` connections to this database wait for a lock. */
async function waitForLockWaits(count: number): Promise<void> {
  while ((await countLockWaits(api.db)) < count);
}

describe('concurrent requests', () => {
  it('store every batch completely', async () => {
    const names = idsOf('client', 50);
    const replies = await Promise.all(
      names.map((batch_id) => post({ batch_id, objects: objects(idsOf(batch_id, 100)) })),
    );
    expect(new Set(statuses(replies))).toEqual(new Set([201]));
    for (const name of names) {
      const reply = await api.call('GET', `/batches/${name}`, { key: project.keys.analyst });
      expect(reply.json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(idsOf(name, 100));
    }
  });

  it('store the same batch once, and return 409 to the others', async () => {
    const ids = idsOf('same', 100);
    const body = { batch_id: 'same', objects: objects(ids) };
    const replies = await Promise.all(Array.from({ length: 20 }, () => post(body)));
    expect(statuses(replies)).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
    const conflicts = replies.filter((reply) => reply.status === 409);
    for (const reply of conflicts) {
      expect(places(reply).slice(0, 2)).toEqual(['/batch_id', '/objects/0/object_id']);
    }
    const reply = await api.call('GET', '/batches/same', { key: project.keys.analyst });
    expect(reply.json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(ids);
  });

  it('store the same empty batch once', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => post({ batch_id: 'same empty', objects: [] })));
    expect(statuses(replies)).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
  });

  it('with the same ids in opposite order store one batch, and return 409 to the other after a deadlock', async () => {
    let replies: Promise<Reply[]> | undefined;
    await api.db.transaction(async (tx) => {
      // Locks the middle id until both have stored their first one, so that each then waits for the other.
      await tx.query(
        `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
         VALUES ($1, 'held', 'middle', 1, now(), '[]', 2)`,
        [project.projectId],
      );
      replies = Promise.all([
        post({ batch_id: 'up', objects: objects(['left', 'middle', 'right']) }),
        post({ batch_id: 'down', objects: objects(['right', 'middle', 'left']) }),
      ]);
      await waitForLockWaits(2);
      await tx.query('DELETE FROM objects WHERE object_id = $1', ['middle']);
    });
    expect(statuses((await replies) ?? [])).toEqual([201, 409]);
    const read = await api.call('GET', '/objects/middle', { key: project.keys.analyst });
    expect(read.status).toBe(200);
  });

  it('leave no object without a batch when a batch is deleted while objects are posted to it', async () => {
    await postBatch(api, project.keys.producer, 'doomed', objects(idsOf('doomed', 200)));
    const posts = idsOf('late', 60).map((object_id, i) =>
      i === 30
        ? api.call('DELETE', '/batches/doomed?cascade=true', { key: project.keys.admin })
        : api.call('POST', '/objects', {
            key: project.keys.producer,
            body: { batch_id: 'doomed', object_id, data: [] },
          }),
    );
    const replies = await Promise.all(posts);
    expect([201, 400]).toEqual(expect.arrayContaining(statuses(replies.toSpliced(30, 1))));
    expect(replies[30]?.status).toBe(204);
    const left = await api.db.sql(`SELECT FROM objects WHERE batch_id = 'doomed'`);
    expect(left).toHaveLength(0);
  });

  it('keep every object_count correct when batches are deleted, posted and changed', async () => {
    const ids = idsOf('churn', 20);
    const calls: Promise<Reply>[] = [];
    for (let round = 0; round < 15; round++) {
      calls.push(
        post({ batch_id: 'churn', objects: objects(ids) }),
        api.call('POST', '/objects', {
          key: project.keys.producer,
          body: { batch_id: 'churn', object_id: `extra-${String(round)}`, data: [] },
        }),
        api.call('DELETE', `/objects/churn-${String(round)}`, { key: project.keys.admin }),
        api.call('PUT', `/objects/churn-${String(round)}`, { key: project.keys.producer, body: { data: [] } }),
        api.call('DELETE', '/batches/churn?cascade=true', { key: project.keys.admin }),
      );
    }
    const replies = await Promise.all(calls);
    expect(statuses(replies).filter((status) => status >= 500)).toEqual([]);
  });

  it('keep both counts correct when an object moves to another batch before a delete gets its lock', async () => {
    await postBatch(api, project.keys.producer, 'from', objects(['mover', 'stayer']));
    await postBatch(api, project.keys.producer, 'to', objects([]));
    let deleted: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      await tx.query(`UPDATE batches SET object_count = 1 WHERE batch_id = 'from'`);
      deleted = api.call('DELETE', '/objects/mover', { key: project.keys.admin });
      await waitForLockWaits(1);
      await tx.query(`UPDATE batches SET object_count = 1 WHERE batch_id = 'to'`);
      await tx.query(`UPDATE objects SET batch_id = 'to' WHERE object_id = 'mover'`);
    });
    expect((await deleted)?.status).toBe(404);
  });
});
