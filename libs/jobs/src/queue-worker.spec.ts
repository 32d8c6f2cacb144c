import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { TASK } from './job-queue.store.js';
import { QueueWorker } from './queue-worker.js';

const JOBS = 4;
const UNLIMITED = { perProject: JOBS, hasWaiting: () => Promise.resolve(false) };

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

it('leaves no timer when it ends because the database fails during its jobs', async () => {
  // The timers of graphile-worker's crontab wait for the next minute; others end sooner.
  const waiting = new Set<unknown>();
  const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
  const setAndRecord = (work: () => void, ms?: number): NodeJS.Timeout => {
    const timer = set(work, ms);
    if (ms !== undefined && ms > 0 && String(work).includes('loop()')) waiting.add(timer);
    return timer;
  };
  globalThis.setTimeout = setAndRecord as typeof setTimeout;
  globalThis.clearTimeout = (timer) => {
    waiting.delete(timer);
    clear(timer);
  };
  try {
    let begun = 0;
    const worker = await QueueWorker.start({
      connections: db.database.connections,
      concurrency: JOBS,
      ...UNLIMITED,
      // After the rename, the worker cannot record the end of its jobs, and takes no more jobs.
      work: async () => {
        const place = begun++;
        while (begun < JOBS) await new Promise((resolve) => set(resolve, 5));
        if (place === 0) await db.sql('ALTER TABLE graphile_worker._private_jobs RENAME TO away');
        await new Promise((resolve) => set(resolve, 50 * place));
      },
      warn: () => undefined,
    });
    for (let i = 0; i < JOBS; i++) await db.sql(`SELECT graphile_worker.add_job($1, '{}')`, [TASK]);
    for (let i = 0; i < JOBS; i++) worker.wakeOne();
    let most = 0;
    while (!worker.isStopping) {
      most = Math.max(most, waiting.size);
      await new Promise((resolve) => set(resolve, 5));
    }
    await worker.ended();
    expect([most, waiting.size]).toEqual([1, 0]);
  } finally {
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
    await db.sql('ALTER TABLE graphile_worker.away RENAME TO _private_jobs');
  }
});

it('prints nothing when a connection breaks while it stops', async () => {
  const trace = jest.spyOn(console, 'trace').mockImplementation(() => undefined);
  const warn = jest.fn();
  const connections = db.database.connections;
  const worker = await QueueWorker.start({
    connections,
    concurrency: 1,
    ...UNLIMITED,
    work: () => Promise.resolve(),
    warn,
  });
  const lock = await connections.connect();
  await lock.query('BEGIN; LOCK TABLE graphile_worker._private_jobs IN ACCESS EXCLUSIVE MODE');
  const terminate = `
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%_private_jobs%'`;
  const waiting = terminate.replace('pg_terminate_backend(pid)', 'pid');
  while ((await db.sql(waiting)).length === 0) worker.wakeOne();
  const left = worker.stop();
  await db.sql(terminate);
  await left;
  await lock.query('ROLLBACK');
  lock.release();
  expect(trace).not.toHaveBeenCalled();
  expect(warn).toHaveBeenCalledWith(expect.stringContaining('terminating connection'));
});
