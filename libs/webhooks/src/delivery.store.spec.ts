import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Queryable } from '#database';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { DeliverySlots, type DeliverySlot } from './delivery-slots.js';
import { DeliveryStore, type ClaimedDelivery } from './delivery.store.js';
import { WebhookStore } from './webhook.store.js';

let db: TestDatabase;
let store: DeliveryStore;
let webhooks: WebhookStore;
beforeAll(async () => {
  db = await cloneDatabase();
  store = new DeliveryStore(db.database);
  webhooks = new WebhookStore(db.database, new Config({}));
});
afterAll(() => db.close());

/** Stores a webhook with one queued delivery, and claims it. */
async function claimed(projectId: number): Promise<ClaimedDelivery> {
  await db.sql(
    `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled)
     VALUES ($1, 1, 'w', 'http://192.0.2.1/', 'whsec_', '{job.failed}', true)`,
    [projectId],
  );
  await db.sql(
    `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     VALUES ($1, 1, $2, 'job.failed', '{}', 'queued', 0, now())`,
    [projectId, db.sequence.next().toString()],
  );
  const slots = new DeliverySlots();
  return (await store.claim(slots.take(projectId) as DeliverySlot, slots)) as ClaimedDelivery;
}

/** Claims deliveries of a project in several slots at the same time. @returns their ids, null for none */
async function claim(projectId: number, count = 1): Promise<(string | null)[]> {
  const slots = new DeliverySlots();
  const taken = Array.from({ length: count }, () => slots.take(projectId) as DeliverySlot);
  const claimed = await Promise.all(taken.map((slot) => store.claim(slot, slots)));
  return claimed.map((delivery) => delivery?.delivery_id ?? null);
}

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
  expect(await claim(2)).toEqual([null]);
  await db.sql('UPDATE webhooks SET is_enabled = true WHERE project_id = 2');
  expect((await store.listDue([1])).sort()).toEqual([2, 3]);
  expect(await claim(2)).toEqual(['2']);
});

it('claims one delivery of a webhook at a time, and one of each of two webhooks', async () => {
  await db.sql(
    `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled)
     SELECT 7, w, 'w', 'http://192.0.2.1/', 'whsec_', '{job.failed}', w = 1 FROM generate_series(1, 2) AS w`,
  );
  await db.sql(
    `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     SELECT 7, w, d, 'job.failed', '{}', 'queued', 0, now() - d * interval '1 second'
     FROM generate_series(1, 2) AS w, generate_series(1, 2) AS d`,
  );
  expect(await claim(7, 2)).toEqual(['2', null]);
  await db.sql('UPDATE webhooks SET is_enabled = true WHERE project_id = 7');
  expect((await claim(7, 2)).sort()).toEqual(['1', '2']);
});

it.each(['failed', 'delivered'] as const)(
  'reports a result again where it is repeated, because the connection broke after the commit: %s',
  async (status) => {
    const projectId = status === 'failed' ? 8 : 9;
    const delivery = await claimed(projectId);
    const result = { status, responseStatus: null, error: 'refused', retryInSeconds: 0 };
    expect([await store.finish(delivery, result), await store.finish(delivery, result)]).toEqual([true, true]);
    const other = status === 'failed' ? 'delivered' : 'failed';
    expect(await store.finish(delivery, { ...result, status: other })).toBe(false);
    expect(await store.finish({ ...delivery, attempts: 2 }, result)).toBe(false);
  },
);

it.each([
  ['never', 'disabled', 10, false],
  ['after its pause', 'enabled', 11, true],
])(
  'makes a delivery due %s where its webhook is %s while its attempt ends',
  async (_due, _change, projectId, isEnabled) => {
    const delivery = await claimed(projectId);
    const result = { status: 'queued', responseStatus: 500, error: null, retryInSeconds: 5 } as const;
    const change = async (tx: Queryable, value: boolean): Promise<void> => {
      await webhooks.lockAll(tx, projectId);
      await tx.query('UPDATE webhooks SET is_enabled = $2 WHERE project_id = $1', [projectId, value]);
      if (value) await store.resume(tx, projectId, '1');
      else await store.hold(tx, projectId, '1');
    };
    await change(db.database, !isEnabled);
    let finished: Promise<boolean> | undefined;
    await db.transaction(async (tx) => {
      await change(tx, isEnabled);
      finished = store.finish(delivery, result);
      await waitFor(async () => ((await countLockWaits(db)) > 0 ? true : undefined));
    });
    expect(await finished).toBe(true);
    const [row] = await db.sql(
      'SELECT isfinite(due_at) AS is_due, attempts FROM webhook_deliveries WHERE project_id = $1',
      [projectId],
    );
    expect(row).toEqual({ is_due: isEnabled, attempts: 1 });
  },
);
