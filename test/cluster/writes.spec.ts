import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Stowage } from '../cli/stowage.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { dropDatabase, type Tables } from '../harness/tables.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { createCitusDatabase } from './citus.js';

let db: Tables;
let api: TestApi;
let project: TestProject;
beforeAll(async () => {
  db = await createCitusDatabase();
  const stowage = await Stowage.create(settingsFor({ address: db.address }));
  const { code, stderr } = await stowage.run(['migrate', '--citus']);
  await stowage.remove();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  // Its statements are recorded and checked like those of all servers.
  api = await TestApi.startOn(db, { WORKER: 'inline' });
  project = await api.project();
});
afterAll(async () => {
  await api.stop();
  await db.close();
  await dropDatabase(db.address);
});

const OLD = '2024-01-01T00:00:00Z';
const marks = async (): Promise<number> =>
  (await db.sql('SELECT FROM rollup_marks WHERE project_id = $1', [project.projectId])).length;

/** What a batch of one object has stored beside it. */
async function expectStored(objectId: string): Promise<void> {
  const rows = await db.sql(
    `SELECT o.bytes > 0 AS has_bytes, b.object_count FROM objects AS o JOIN batches AS b USING (project_id, batch_id)
     WHERE project_id = $1 AND object_id = $2`,
    [project.projectId, objectId],
  );
  expect(rows).toEqual([{ has_bytes: true, object_count: expect.any(String) }]);
  const reply = await api.call('GET', `/objects?key=n&value=${objectId}&count=exact`, { key: project.keys.analyst });
  expect(reply.json()).toMatchObject({ count: 1, results: [{ object_id: objectId }] });
}

async function usage(): Promise<{ objects: number; bytes: number }> {
  return (await api.call('GET', '/usage', { key: project.keys.admin })).json();
}

describe('a server on a cluster', () => {
  it('stores a batch of one object, which is found, counted, and in the usage of the project', async () => {
    const before = await usage();
    const body = { batch_id: 'one', objects: [{ object_id: 'a', data: { n: 'a' } }] };
    const first = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect(first.status).toBe(201);
    await expectStored('a');
    expect((await usage()).objects).toBe(before.objects + 1);
    const again = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect(again.status).toBe(409);
    expect((await usage()).objects).toBe(before.objects + 1);
  });

  it('stores an object of a batch, and nothing where the batch does not exist', async () => {
    const { producer: key } = project.keys;
    const body = { batch_id: 'one', object_id: 'b', data: { n: 'b' } };
    expect((await api.call('POST', '/objects', { key, body })).status).toBe(201);
    await expectStored('b');
    const unknown = await api.call('POST', '/objects', { key, body: { ...body, object_id: 'c', batch_id: 'none' } });
    expect(unknown.status).toBe(400);
    expect((await api.call('POST', '/objects', { key, body })).status).toBe(409);
  });

  it('returns the present state last of an object that was deleted and created again, whatever the order of their changes', async () => {
    const { producer, admin } = project.keys;
    const create = (objectId: string): Promise<unknown> =>
      api.call('POST', '/objects', { key: producer, body: { batch_id: 'again', object_id: objectId, data: { n: 1 } } });
    await api.call('POST', '/batches', { key: producer, body: { batch_id: 'again', objects: [] } });
    await create('again');
    await create('gone');
    const start = await api.call('GET', '/objects/changes', { key: admin });
    for (const objectId of ['again', 'gone']) await api.call('DELETE', `/objects/${objectId}`, { key: admin });
    await create('again');
    await db.sql(
      `UPDATE pending_changes SET wal_position = CASE kind WHEN 'created' THEN '0/1' ELSE '0/2' END::pg_lsn WHERE project_id = $1`,
      [project.projectId],
    );
    const since = encodeURIComponent(start.json<{ next: string }>().next);
    const { results } = (await api.call('GET', `/objects/changes?since=${since}`, { key: admin })).json<{
      results: { change: string; object_id: string; object: unknown }[];
    }>();
    const ofObject = (id: string): unknown[] =>
      results.filter(({ object_id }) => object_id === id).map(({ change, object }) => [change, object !== null]);
    expect(ofObject('again').sort()).toEqual([
      ['changed', true],
      ['created', true],
    ]);
    expect(ofObject('gone')).toEqual([['deleted', false]]);
  });

  it('invalidates rollups only for objects with a subject', async () => {
    const { producer: key } = project.keys;
    const data = { temperature: 20 };
    const before = await marks();
    const without = { batch_id: 'one', object_id: 'd', data, observed_at: OLD };
    expect((await api.call('POST', '/objects', { key, body: without })).status).toBe(201);
    expect(await marks()).toBe(before);
    const body = { ...without, object_id: 'e', subject: 'room' };
    expect((await api.call('POST', '/objects', { key, body })).status).toBe(201);
    expect(await marks()).toBe(before + 1);
    const batch = { batch_id: 'two', objects: [{ object_id: 'f', data, observed_at: OLD, subject: 'room 2' }] };
    expect((await api.call('POST', '/batches', { key, body: batch })).status).toBe(201);
    expect(await marks()).toBe(before + 2);
  });

  it('accepts a job with its entry in the queue, runs it, and deletes what it stored', async () => {
    const { producer, admin } = project.keys;
    const objects = Array.from({ length: 300 }, (_, n) => ({
      object_id: `g${String(n)}`,
      data: { n: `g${String(n)}` },
    }));
    const job = await submitJob(api, 'POST', '/batches', { key: producer, body: { batch_id: 'job', objects } });
    expect(await waitForJob(api, producer, job)).toMatchObject({ status: 'succeeded' });
    await expectStored('g7');
    expect((await api.call('DELETE', '/batches/job?cascade=true', { key: admin })).status).toBe(204);
    const { count } = (await api.call('GET', '/objects?key=n&value=g7', { key: admin })).json<{ count: number }>();
    expect(count).toBe(0);
  });

  it('changes and deletes objects, and stores readings of feeds', async () => {
    const { producer: key, admin } = project.keys;
    const patch = await api.call('PATCH', '/objects/a', {
      key,
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: '{"data":{"n":"z"}}',
    });
    expect(patch.status).toBe(200);
    expect((await api.call('DELETE', '/objects/b', { key: admin })).status).toBe(204);
    const path = '/buildings/plant/rooms/1/temperatures';
    const body = { temperature: 10.5, recorded_at: OLD };
    expect((await api.call('POST', path, { key, body })).status).toBe(201);
    expect((await api.call('POST', path, { key, body: { ...body, temperature: 11 } })).status).toBe(201);
  });

  it('empties the pending lists of the index on data of all shards', async () => {
    const calls = await db.sql(`SELECT DISTINCT call FROM citus_calls WHERE call LIKE 'shards %'`);
    expect(calls).toEqual([{ call: 'shards objects' }]);
    const { status, text } = await api.call('GET', '/maintenance', { key: api.operatorKey });
    expect([status, text]).toEqual([200, text]);
    expect(text).not.toContain('"last_error":{');
  });
});
