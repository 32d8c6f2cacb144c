import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ChangeStore } from '#changes';
import { Database } from '#database';
import { EventStore } from '#events';
import { Metrics, Telemetry } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { BatchWatch } from './batch-watch.js';

const metrics = new Metrics();
const PROJECT = 1;
const WEBHOOK = '5';
/** One for all statements, beside the two that are reserved. */
const POOL_MAX = 3;

let db: TestDatabase;
let small: Database;
let changes: ChangeStore;
let watch: BatchWatch;

beforeAll(async () => {
  db = await cloneDatabase();
  const logger = { log: () => undefined, warn: () => undefined, error: () => undefined };
  small = await Database.connect({ at: db.address, poolMax: POOL_MAX, entities: [], migrations: [], logger });
  changes = new ChangeStore(small);
  watch = new BatchWatch(changes, new EventStore(db.sequence, { metrics } as unknown as Telemetry), small);
  await db.sql(
    `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled, change_position)
     VALUES ($1, $2, 'w', 'http://192.0.2.1/', 'whsec_', '{batch.stored}', true, $3)`,
    [PROJECT, WEBHOOK, await changes.follow(PROJECT)],
  );
});
afterAll(async () => {
  await small.close();
  await db.close();
});

async function storeBatches(count: number): Promise<void> {
  await db.sql(
    `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, first_seq, last_seq, objects, changed_at)
     SELECT $1, pg_current_wal_insert_lsn(), 'created', 'b' || n, true, n, n, 1, now() FROM generate_series(1, $2::int) AS n`,
    [PROJECT, count],
  );
}

const queued = async (): Promise<unknown> =>
  (await db.sql('SELECT count(*)::int AS count FROM webhook_deliveries WHERE webhook_id = $1', [WEBHOOK]))[0];

describe('the watch for stored batches', () => {
  it('needs one connection at a time, so that it cannot wait for one while it holds another', async () => {
    await storeBatches(2);
    const { signal } = new AbortController();
    expect(await watch.look(signal)).toBe(true);
    expect(await queued()).toEqual({ count: 2 });
    expect(await watch.look(signal)).toBe(false);
  });

  it('queues each batch once, however many processes look at the same time', async () => {
    await storeBatches(3);
    const another = new BatchWatch(
      new ChangeStore(db.database),
      new EventStore(db.sequence, Telemetry.off()),
      db.database,
    );
    const { signal } = new AbortController();
    await Promise.all([watch.look(signal), another.look(signal), another.look(signal)]);
    expect(await queued()).toEqual({ count: 5 });
  });

  it('reads on while there is more than it reads at a time', async () => {
    await storeBatches(450);
    await watch.look(new AbortController().signal);
    expect(await queued()).toEqual({ count: 455 });
  });

  it('queues as many as may wait, and counts the others', async () => {
    for (let round = 0; round < 6; round++) {
      await storeBatches(200);
      await watch.look(new AbortController().signal);
    }
    expect(await queued()).toEqual({ count: 1_000 });
    expect(await metrics.text()).toContain('stowage_webhook_events_dropped_total 655\n');
  });
});
