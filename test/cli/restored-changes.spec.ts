import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { brief, readChanges } from '../changes/change-client.js';
import { expectProblem } from '../errors/expect-problem.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { createDatabase, dropDatabase, Tables } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { Stowage } from './stowage.js';

let source: Tables;
let target: Tables;
let stowage: Stowage;
/** Nobody follows its changes when the backup is taken. */
let quiet: TestProject;
let followed: TestProject;
/** A webhook for stored batches follows its changes. */
let hooked: TestProject;
/** Taken before and after the backup, at the begin and at the end of several changes. */
const cursors = new Map<TestProject, string[]>();
/** The restored database. */
let restored: TestApi;

beforeAll(async () => {
  source = new Tables(await createDatabase());
  target = new Tables(await createDatabase('template0'));
  const { STOWAGE_KEY_SECRET = '' } = settingsFor(source);
  stowage = await Stowage.create({ STOWAGE_KEY_SECRET });
  // Without a worker, so that the batches of the webhook wait.
  const api = await TestApi.startOn(source, { WORKER: 'separate' });
  [quiet, followed, hooked] = [await api.project(), await api.project(), await api.project()];
  const body = { name: 'w', url: 'https://webhooks.invalid/', events: ['batch.stored'] };
  expect((await api.call('POST', '/webhooks', { key: hooked.keys.admin, body })).status).toBe(201);
  await store(api, hooked, 'before');
  await follow(api, followed);
  await store(api, followed, 'unread');
  const file = join(stowage.folder, 'backup');
  expect(await stowage.run(['backup', file], settingsFor(source))).toMatchObject({ code: 0 });
  for (const project of [quiet, followed]) await follow(api, project);
  await api.stop();
  expect(await stowage.run(['restore', file], settingsFor(target))).toMatchObject({ code: 0 });
  restored = await TestApi.startOn(target, { WORKER: 'separate' });
});
afterAll(async () => {
  await restored.stop();
  await stowage.remove();
  for (const tables of [source, target]) {
    await tables.close();
    await dropDatabase(tables.address);
  }
});

async function store(api: TestApi, { keys }: TestProject, id: string): Promise<void> {
  const body = { batch_id: id, objects: [{ object_id: id, data: {} }] };
  expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
}

/** Reads some changes, and notes the cursors. */
async function follow(api: TestApi, project: TestProject): Promise<void> {
  const noted = cursors.get(project) ?? [];
  const { next: first } = await readChanges(api, project.keys.analyst);
  for (let n = 0; n < 4; n++) await store(api, project, `${String(noted.length)}-${String(n)}`);
  const { next: last } = await readChanges(api, project.keys.analyst, first);
  cursors.set(project, [...noted, first, last]);
}

describe('the changes of a restored database', () => {
  it('have no earlier cursor that is valid, whoever follows them and whatever is written after the restore', async () => {
    for (const project of [quiet, followed]) {
      const { analyst } = project.keys;
      const expectExpired = async (): Promise<void> => {
        for (const since of cursors.get(project) ?? [])
          expectProblem(
            await restored.call('GET', `/objects/changes?since=${since}`, { key: analyst }),
            'changes-expired',
          );
      };
      await expectExpired();
      const { next } = await readChanges(restored, analyst);
      const after = Array.from({ length: 8 }, (_, n) => `after-${String(n)}`);
      for (const id of after) await store(restored, project, id);
      expect(brief((await readChanges(restored, analyst, next)).results)).toEqual(after.map((id) => `created ${id}`));
      await expectExpired();
    }
  });

  it('are followed by its webhooks: a batch is sent that is stored before the first worker starts, none of the backup', async () => {
    await store(restored, hooked, 'after');
    const worker = await TestApi.startOn(target, { WORKER: 'inline' });
    try {
      const deliveries = (): Promise<{ batch: string }[]> =>
        target.sql(`SELECT body::jsonb -> 'data' ->> 'batch_id' AS batch FROM webhook_deliveries`);
      await waitFor(async () => (await deliveries()).length > 0 || undefined);
      expect(await deliveries()).toEqual([{ batch: 'after' }]);
    } finally {
      await worker.stop();
    }
  });
});
