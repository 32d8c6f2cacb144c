import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { AuditLog } from '#audit';
import { Database } from '#database';
import { DataKey, EncryptedKeys } from '#encryption';
import { SegmentMergeStore, SegmentStore } from '#inverted-index';
import { Config } from '#platform';
import { UsageStore } from '#usage';
import type { TestProject } from '../../../test/harness/api.js';
import { TestApp } from '../../../test/harness/app.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { ReencryptionStep } from './reencryption-step.js';
import { SealedJobStore } from './sealed-job.store.js';
import { SealedObjectStore } from './sealed-object.store.js';
import { SealedProjectStore } from './sealed-project.store.js';
import { startWalk, type Walk } from './walk.js';

const key = randomBytes(32);
let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate', STOWAGE_DATA_KEY: key.toString('base64') });
});
afterAll(() => api.stop());

/** A project with 1,800 objects in clear text, whose walk can begin. */
beforeEach(async () => {
  project = await api.project();
  for (const batch of ['a', 'b', 'c']) {
    const objects = Array.from({ length: 600 }, (_, n) => ({
      object_id: `${batch}${String(n)}`,
      data: { name: 'Ada' },
    }));
    await send('POST', '/batches', { batch_id: batch, objects });
  }
});

async function send(method: 'POST' | 'DELETE', path: string, body?: object): Promise<void> {
  const options = { key: project.keys.admin, ...(body === undefined ? {} : { body }) };
  const reply = await api.call(method, path, options);
  expect([path, reply.status < 300, reply.text]).toEqual([path, true, reply.text]);
}

async function patch(body: object): Promise<void> {
  const path = `/projects/${String(project.projectId)}`;
  expect((await api.call('PATCH', path, { key: api.operatorKey, body })).status).toBe(200);
}

async function encrypt(): Promise<void> {
  await patch({ encrypted_keys: ['name'] });
  await api.db.sql(`UPDATE projects SET encryption_changed_at = now() - interval '1 hour' WHERE project_id = $1`, [
    project.projectId,
  ]);
}

const take = (walk: Walk): Promise<Walk | null> => api.app.get(ReencryptionStep).take(walk);

/** Takes the project for a process. @returns null where another one has it */
async function find(store: SealedProjectStore): Promise<Walk | null> {
  const due = await store.take(new DataKey(key).id, [], 100);
  const found = due.find(({ projectId }) => projectId === project.projectId);
  return found === undefined ? null : startWalk(found);
}

async function start(): Promise<Walk> {
  const walk = await find(api.app.get(SealedProjectStore));
  if (walk === null) throw new Error('the project is not due');
  return walk;
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

async function countPlain(): Promise<number> {
  const sql = `SELECT count(*)::int AS n FROM objects WHERE project_id = $1 AND data::text NOT LIKE '%$enc1:%'`;
  return (await api.db.sql<{ n: number }>(sql, [project.projectId]))[0]?.n ?? 0;
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

/** Another process on the same database. */
function otherProcess(): { store: SealedProjectStore; step: ReencryptionStep } {
  const { app } = api;
  const store = new SealedProjectStore(api.db.database);
  const step = new ReencryptionStep(
    store,
    app.get(SealedObjectStore),
    app.get(SealedJobStore),
    app.get(SegmentStore),
    app.get(SegmentMergeStore),
    app.get(UsageStore),
    app.get(AuditLog),
    app.get(EncryptedKeys),
    app.get(Database),
    app.get(Config),
  );
  return { store, step };
}

/** As if no step had been taken for two minutes. */
async function expireLease(): Promise<void> {
  const sql = `UPDATE projects SET encryption_leased_until = now() WHERE project_id = $1`;
  await api.db.sql(sql, [project.projectId]);
}

it('has a project for one process, whose steps renew the lease, and ends the walk of a process that has lost it', async () => {
  await encrypt();
  const other = otherProcess();
  const first = await start();
  expect(await find(other.store)).toBeNull();
  await expireLease();
  const stepped = await step(first);
  expect(await find(other.store)).toBeNull();

  await expireLease();
  let walk = await find(other.store);
  expect(walk?.cursor).toBe(stepped.cursor);
  expect(await take(stepped)).toBeNull();
  expect(await cursor()).toBe(stepped.cursor);
  while (walk !== null && walk.phase !== 'done') walk = await other.step.take(walk);
  expect([walk?.changed, await countPlain(), await cursor()]).toEqual([1_800 - stepped.changed, 0, -1n]);
});

it('never moves the cursor back without a restore, and of two walks one stops where the other one has moved it', async () => {
  await encrypt();
  const [first, second] = [await start(), await start()];
  const one = await step(first);
  expect([one.changed, await cursor()]).toEqual([500, one.cursor]);
  expect(await take(second)).toBeNull();
  expect(await cursor()).toBe(one.cursor);

  // A walk that is started later continues; the other one stops as soon as the cursor moves.
  let walk = await whileLocked('a', async () => {
    const taken = await step(await start());
    expect(taken.leftOut).toHaveLength(1);
    expect([taken.changed, await cursor()]).toEqual([400, taken.leftOut[0]?.after]);
    return taken;
  });
  while (walk.cursor === one.cursor) walk = await step(walk);
  expect(await take(one)).toBeNull();
  while (walk.phase === 'objects') walk = await step(walk);
  // In all, each object was changed once.
  expect(one.changed + walk.changed).toBe(1_800);
  expect(await cursor()).toBe(walk.cursor);

  // Objects that were restored are looked at again. What is encrypted already needs no lock.
  walk = await step(walk);
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

it('goes on although others write the row of the project before each step, and after they have locked it', async () => {
  await send('DELETE', '/batches/c?cascade=true');
  await encrypt();
  let walk = await start();
  const locked = walk;
  walk = await api.db.transaction(async (tx) => {
    await tx.query('SELECT FROM projects WHERE project_id = $1 FOR SHARE', [project.projectId]);
    return step(locked);
  });
  expect(walk).toEqual({ ...locked, retries: 1 });
  let steps = 0;
  for (; walk.phase !== 'done' && steps < 100; steps++) {
    await patch({ name: `written-${String(project.projectId)}-${String(steps)}` });
    walk = await step(walk);
  }
  expect([walk.phase, walk.changed, await countPlain(), await cursor()]).toEqual(['done', 1_800, 0, -1n]);
});

it('looks at restored objects although the cursor stays where it is', async () => {
  await send('DELETE', '/objects/b7');
  await encrypt();
  let walk = await whileLocked('a', async () => {
    let left = await start();
    while (left.retries === 0) left = await step(left);
    const before = await cursor();
    await send('POST', '/objects/b7/restore');
    expect(await cursor()).toBe(before);
    return left;
  });
  expect(await countPlain()).toBe(601);
  while (walk.phase !== 'done') walk = await step(walk);
  expect([walk.changed, await countPlain()]).toEqual([1_800, 0]);
});

it('encrypts a stream that becomes a job, under a larger number, while a step looks at it', async () => {
  const { projectId } = project;
  await api.db.sql(
    `INSERT INTO job_parts (project_id, job_id, part, bytes) SELECT $1, n, 0, 'Ada' FROM unnest('{1, 9}'::int[]) AS n`,
    [projectId],
  );
  await encrypt();
  const before: Walk = { ...(await start()), phase: 'jobs' };
  const stepping = await api.db.transaction(async (tx) => {
    await tx.query('UPDATE job_parts SET job_id = 2 WHERE project_id = $1 AND job_id = 1', [projectId]);
    const next = step(before);
    await waitFor(async () => (await countLockWaits(api.db)) > 0 || undefined);
    return [next];
  });
  let walk = await stepping[0];
  while (walk?.phase === 'jobs') walk = await step(walk);
  const left = await api.db.sql(`SELECT job_id FROM job_parts WHERE project_id = $1 AND bytes = 'Ada'`, [projectId]);
  expect([walk?.phase, left]).toEqual(['index', []]);
});
