import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DataKey } from '#encryption';
import type { TestProject } from '../../../test/harness/api.js';
import { TestApp } from '../../../test/harness/app.js';
import { ReencryptionStep } from './reencryption-step.js';
import { SealedProjectStore } from './sealed-project.store.js';
import { startWalk, type Walk } from './walk.js';

const key = randomBytes(32);
let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate', STOWAGE_DATA_KEY: key.toString('base64') });
  project = await api.project();
  for (const batch of ['a', 'b', 'c']) {
    const objects = Array.from({ length: 600 }, (_, n) => ({
      object_id: `${batch}${String(n)}`,
      data: { name: 'Ada' },
    }));
    const options = { key: project.keys.producer, body: { batch_id: batch, objects } };
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
  }
  const body = { encrypted_keys: ['name'] };
  await api.call('PATCH', `/projects/${String(project.projectId)}`, { key: api.operatorKey, body });
  await api.db.sql(`UPDATE projects SET encryption_changed_at = now() - interval '1 hour' WHERE project_id = $1`, [
    project.projectId,
  ]);
});
afterAll(() => api.stop());

const take = (walk: Walk): Promise<Walk | null> => api.app.get(ReencryptionStep).take(walk);

async function start(): Promise<Walk> {
  const due = await api.app.get(SealedProjectStore).listDue(new DataKey(key).id);
  const found = due.find(({ projectId }) => projectId === project.projectId);
  if (found === undefined) throw new Error('the project is not due');
  return startWalk(found);
}

async function step(walk: Walk): Promise<Walk> {
  const next = await take(walk);
  if (next === null) throw new Error('the walk has ended');
  return next;
}

async function cursor(): Promise<bigint> {
  const sql = 'SELECT encryption_cursor AS cursor FROM projects WHERE project_id = $1';
  const [row] = await api.db.sql<{ cursor: string }>(sql, [project.projectId]);
  return BigInt(row?.cursor ?? -1);
}

function whileLocked<T>(batchId: string, work: () => Promise<T>): Promise<T> {
  return api.db.transaction(async (tx) => {
    await tx.query('SELECT FROM batches WHERE project_id = $1 AND batch_id = $2 FOR UPDATE', [
      project.projectId,
      batchId,
    ]);
    return work();
  });
}

it('does nothing twice: of two processes that walk through a project, one stops, and the cursor never goes back', async () => {
  const [first, second] = [await start(), await start()];
  const one = await step(first);
  expect([one.changed, await cursor()]).toEqual([500, one.cursor]);
  expect(await take(second)).toBeNull();
  expect(await cursor()).toBe(one.cursor);

  // A process that is started later continues, and the other one stops, also where the cursor stays.
  let walk = await whileLocked('a', async () => {
    const taken = await step(await start());
    expect(taken.leftOut).toHaveLength(1);
    expect([taken.changed, await cursor()]).toEqual([400, taken.leftOut[0]?.after]);
    expect(await take(one)).toBeNull();
    return taken;
  });
  while (walk.phase === 'objects') walk = await step(walk);
  // In all, each object was changed once.
  expect(one.changed + walk.changed).toBe(1_800);
  expect(await cursor()).toBe(walk.cursor);

  // Nor do two processes look at deleted objects and jobs at once.
  const late = await start();
  walk = await step(walk);
  expect(await take(late)).toBeNull();

  // Objects that were restored are looked at again. What is encrypted already needs no lock.
  await api.db.sql('UPDATE projects SET encryption_cursor = $2 WHERE project_id = $1', [
    project.projectId,
    one.cursor.toString(),
  ]);
  const restored = walk;
  walk = await whileLocked('a', () => step(restored));
  expect([walk.phase, walk.highest > one.cursor, walk.leftOut]).toEqual(['objects', true, []]);
  while (walk.phase !== 'done') walk = await step(walk);
  expect(await cursor()).toBe(-1n);
});
