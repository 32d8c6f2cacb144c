import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());
afterEach(() => api.db.sql('DROP TRIGGER IF EXISTS on_commit ON batches'));

const post = (batchId: string): Promise<Reply> =>
  api.call('POST', '/batches', {
    key: project.keys.producer,
    body: { batch_id: batchId, objects: [{ object_id: batchId, data: { n: 1 } }] },
    headers: { Prefer: 'return=representation' },
  });

/** Runs SQL when the transaction that creates a batch commits, like a change by another client before the batch is read. */
async function onCommit(sql: string): Promise<void> {
  await api.db.sql(`
    CREATE OR REPLACE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${sql}; RETURN NULL; END $$`);
  await api.db.sql(`
    CREATE CONSTRAINT TRIGGER on_commit AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION on_commit()`);
}

describe('Prefer: return=representation', () => {
  it('returns the stored batch', async () => {
    const reply = await post('b1');
    expect([reply.status, reply.headers.get('preference-applied')]).toEqual([201, 'return=representation']);
    expect(reply.json()).toEqual({ batch_id: 'b1', objects: [{ object_id: 'b1', data: [{ key: 'n', value: 1 }] }] });
  });

  it.each([
    ['b2', 'deleted', 'DELETE FROM batches WHERE batch_id = NEW.batch_id'],
    ['b3', 'changed', 'UPDATE batches SET revision = revision + 1 WHERE batch_id = NEW.batch_id'],
  ])('returns 201 and the short body when %s is %s before it is read', async (batchId, _, sql) => {
    await onCommit(sql);
    const reply = await post(batchId);
    expect([reply.status, reply.headers.get('preference-applied')]).toEqual([201, null]);
    expect(reply.json()).toMatchObject({ batch_id: batchId, object_count: 1 });
    expect(reply.headers.get('location')).toContain(`/batches/${batchId}`);
  });
});
