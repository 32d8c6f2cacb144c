import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { DataKey } from '#encryption';
import type { Database } from '#database';
import { TestApi, type TestProject } from '../../../test/harness/api.js';
import { openDatabase } from '../../../test/harness/database.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { SealedProjectStore } from './sealed-project.store.js';

const key = randomBytes(32);
const settings = { STOWAGE_DATA_KEY: key.toString('base64') };
let api: TestApi;
let database: Database;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', ...settings });
  database = await openDatabase(api.db.address);
});
afterAll(async () => {
  await database.close();
  await api.stop();
});

/** A project with an object in clear text, whose walk can begin. */
beforeEach(async () => {
  project = await api.project();
  const body = { batch_id: 'b', objects: [{ object_id: 'o', data: { name: 'Ada' } }] };
  expect((await api.call('POST', '/batches', { key: project.keys.admin, body })).status).toBe(201);
  const list = { key: api.operatorKey, body: { encrypted_keys: ['name'] } };
  expect((await api.call('PATCH', `/projects/${String(project.projectId)}`, list)).status).toBe(200);
  await api.db.sql(`UPDATE projects SET encryption_changed_at = now() - interval '1 hour' WHERE project_id = $1`, [
    project.projectId,
  ]);
});

const startWorker = (): Promise<TestApi> => api.another({ WORKER: 'inline', ...settings });

/** Waits until a condition is true of the row of the project. */
async function waitUntil(condition: string): Promise<void> {
  const sql = `SELECT FROM projects WHERE project_id = $1 AND ${condition}`;
  await waitFor(async () => (await api.db.sql(sql, [project.projectId])).length > 0 || undefined);
}

/** What another process gets. */
async function takeElsewhere(): Promise<number[]> {
  const due = await new SealedProjectStore(database).take(new DataKey(key).id, [], 100);
  return due.map(({ projectId }) => projectId);
}

it('lets no other process take a project while it walks, and gives it back when it stops', async () => {
  await api.db.transaction(async (tx) => {
    // The walk cannot end.
    await tx.query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [project.projectId]);
    const worker = await startWorker();
    await waitUntil('encryption_holder IS NOT NULL');
    expect(await takeElsewhere()).toEqual([]);
    await worker.stop();
  });
  expect(await takeElsewhere()).toEqual([project.projectId]);
  await api.db.sql('UPDATE projects SET encryption_cursor = NULL');
});

it('gives a project back when a step fails, and has none when the walk has ended', async () => {
  await api.db.sql(`
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$`);
  await api.db.sql('CREATE TRIGGER fail BEFORE UPDATE ON objects FOR EACH ROW EXECUTE FUNCTION fail()');
  const worker = await startWorker();
  try {
    await waitUntil('encryption_holder IS NULL AND encryption_leased_until IS NOT NULL');
    await api.db.sql('DROP TRIGGER fail ON objects');
    await waitUntil('encryption_cursor IS NULL');
    await waitUntil('encryption_holder IS NULL AND encryption_leased_until IS NULL');
  } finally {
    await worker.stop();
  }
});
