import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Database } from '#database';
import { TestApp } from '../../../test/harness/app.js';
import { OpenedBatch } from './opened-batch.js';

let api: TestApp;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate', STOWAGE_DATA_KEY: randomBytes(32).toString('base64') });
});
afterAll(() => api.stop());

it('reads the objects of a batch only while the values of its project may be stored in several texts', async () => {
  const { projectId } = await api.project();
  // There is no staged batch, so that it cannot be read.
  const isSame = (): Promise<boolean> =>
    api.app.get(Database).transaction((tx) => api.app.get(OpenedBatch).isSame(tx, [projectId, 'b']));
  expect(await isSame()).toBe(false);
  const body = { encrypted_keys: ['name'] };
  await api.call('PATCH', `/projects/${String(projectId)}`, { key: api.operatorKey, body });
  await expect(isSame()).rejects.toThrow('relation "staged" does not exist');
  await api.db.sql('UPDATE projects SET encryption_cursor = NULL WHERE project_id = $1', [projectId]);
  expect(await isSame()).toBe(false);
  await api.db.sql(`INSERT INTO data_keys (key_id, used_at) VALUES ('other', now()), ('another', now())`);
  await expect(isSame()).rejects.toThrow('relation "staged" does not exist');
});
