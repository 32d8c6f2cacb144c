import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Queryable } from '#database';
import { MetricsStore, type DatabaseState } from '#jobs';
import { Metrics } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../test/harness/database.js';
import { DatabaseMetrics } from './database-metrics.js';

class CountingStore extends MetricsStore {
  reads = 0;

  override read(on: Queryable): Promise<DatabaseState> {
    this.reads++;
    return super.read(on);
  }
}

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

it('reads the database once for scrapes that follow each other, while every connection of the pool is in use', async () => {
  const [metrics, store] = [new Metrics(), new CountingStore()];
  new DatabaseMetrics(metrics, store, db.database);
  const { max } = db.database.poolStates.shared;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const busy = Array.from({ length: max + 1 }, () =>
    db.database.transaction(async (tx) => {
      await tx.query('SELECT 1');
      await released;
    }),
  );
  await Promise.all([metrics.text(), metrics.text()]);
  // The first scrape does not wait long for its read.
  while (!/^stowage_database_size_bytes [1-9]/m.test(await metrics.text())) {
    expect(store.reads).toBe(1);
    metrics['rendered'] = undefined;
  }
  expect(store.reads).toBe(1);
  expect(db.database.poolStates.shared).toMatchObject({ used: max, idle: 0, waiting: 1 });
  release();
  await Promise.all(busy);
});
