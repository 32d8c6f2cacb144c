import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { EventStore } from '#events';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { WebhookStore } from './webhook.store.js';

let db: TestDatabase;
let store: WebhookStore;
let events: EventStore;
/** A project of its own for each test, with this number also as the id of its webhook. */
let projectId = 0;

beforeAll(async () => {
  db = await cloneDatabase();
  store = new WebhookStore(db.database, new Config({}));
  events = new EventStore(db.sequence, Telemetry.off());
});
afterAll(() => db.close());
beforeEach(async () => {
  projectId++;
  const content = { name: 'w', url: 'http://192.0.2.1/', threshold: null, is_enabled: true };
  await store.insert(db.database, projectId, String(projectId), { ...content, events: ['job.failed'] }, 'whsec_', null);
});

const record = (on = db.database as Parameters<EventStore['record']>[0]): Promise<string | null> =>
  events.record(on, projectId, { type: 'job.failed', data: {} });
const deliveries = (): Promise<object[]> => db.sql('SELECT FROM webhook_deliveries WHERE project_id = $1', [projectId]);
const isWaiting = (): Promise<true> => waitFor(async () => ((await countLockWaits(db)) > 0 ? true : undefined));

it('records no event for a webhook that is being deleted', async () => {
  let recorded: Promise<string | null> | undefined;
  await db.transaction(async (tx) => {
    await store.lockAll(tx, projectId);
    await store.delete(tx, projectId, String(projectId));
    recorded = record();
    await isWaiting();
  });
  await recorded;
  expect(await deliveries()).toEqual([]);
});

it('deletes with a webhook the events that are being recorded for it', async () => {
  let deleted: Promise<void> | undefined;
  await db.transaction(async (tx) => {
    await record(tx);
    deleted = db.database.transaction(async (other) => {
      await store.lockAll(other, projectId);
      await store.delete(other, projectId, String(projectId));
    });
    await isWaiting();
  });
  await deleted;
  expect(await deliveries()).toEqual([]);
});

it('records an event while a webhook is not being deleted', async () => {
  await record();
  expect(await deliveries()).toHaveLength(1);
});
