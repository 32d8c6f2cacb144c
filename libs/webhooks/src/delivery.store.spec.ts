import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { DeliveryStore } from './delivery.store.js';

let db: TestDatabase;
let store: DeliveryStore;
beforeAll(async () => {
  db = await cloneDatabase();
  store = new DeliveryStore(db.database);
});
afterAll(() => db.close());

it('lists the projects with deliveries that can be sent, and not those whose webhook is not enabled', async () => {
  await db.sql(
    `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled)
     SELECT p, p, 'w', 'http://192.0.2.1/', 'whsec_', '{job.failed}', p = 1 FROM generate_series(1, 3) AS p`,
  );
  // As one that was recorded while its webhook was being disabled.
  await db.sql(
    `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     SELECT p, p, p, CASE WHEN p = 3 THEN 'webhook.test' ELSE 'job.failed' END, '{}', 'queued', 0, now() FROM generate_series(1, 3) AS p`,
  );
  expect((await store.listDue([])).sort()).toEqual([1, 3]);
  expect(await store.claim(2, [])).toBeNull();
  await db.sql('UPDATE webhooks SET is_enabled = true WHERE project_id = 2');
  expect((await store.listDue([1])).sort()).toEqual([2, 3]);
  expect(await store.claim(2, [])).toMatchObject({ delivery_id: '2', attempts: 1 });
});
