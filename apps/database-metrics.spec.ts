import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Queryable } from '#database';
import { MetricsStore, type DatabaseState } from '#jobs';
import { Metrics } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../test/harness/database.js';
import { DatabaseMetrics } from './database-metrics.js';

class CountingStore extends MetricsStore {
  reads = 0;

  override read(on: Queryable, isDistributed: boolean): Promise<DatabaseState> {
    this.reads++;
    return super.read(on, isDistributed);
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

describe('the queues', () => {
  const addJobs = (projectId: number, jobs: number): Promise<unknown> =>
    db.sql(
      `INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
       SELECT $1, n, 1, 'batch.create', '{}', 'application/json', 0, 'queued', 0 FROM generate_series(1, $2::int) AS n`,
      [projectId, jobs],
    );

  it.each([
    ['on one machine', false],
    ['on a cluster', true],
  ])('have each class of project, %s', async (_, isDistributed) => {
    await db.sql('DELETE FROM jobs');
    await addJobs(0, 2);
    await addJobs(3, 99);
    await addJobs(8, 1);
    await addJobs(9, 100);
    const { queues } = await new MetricsStore().read(db.database, isDistributed);
    expect(queues).toMatchObject({
      operator: { jobs: 2, projects: 1 },
      light: { jobs: 100, projects: 2, oldestAtMs: expect.any(Number) },
      heavy: { jobs: 100, projects: 1 },
    });
  });

  it('count a part of the jobs of a project that has many, which hides no other', async () => {
    await db.sql('DELETE FROM jobs');
    await addJobs(1, 10_500);
    await addJobs(2, 5);
    const { queues } = await new MetricsStore().read(db.database, false);
    expect(queues).toMatchObject({ heavy: { jobs: 10_000, projects: 1 }, light: { jobs: 5, projects: 1 } });
  });

  it('are read on a cluster without what it refuses', async () => {
    const statements: string[] = [];
    const recorder = {
      query: (statement: unknown) => {
        statements.push(String(statement));
        return Promise.resolve([]);
      },
    };
    await new MetricsStore().read(recorder, true);
    expect(statements.length).toBeGreaterThan(3);
    for (const statement of statements) expect(statement).not.toMatch(/LATERAL|RECURSIVE/);
  });
});
