import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { ByteBudget, Config } from '#platform';
import { DiskReserve } from '#database';
import { RequestStream } from '#http';
import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { sealedJobs } from '../../../test/harness/sealed-jobs.js';
import { JobBodyRoom } from './job-body-room.js';
import { JobBodyStore } from './job-body.store.js';
import { JobPlaces } from './job-places.js';
import type { JobKey } from './job-key.js';
import { JobQueueStore } from './job-queue.store.js';
import { JobStore, type ClaimedJob, type NewJob } from './job.store.js';
import { Maintenance, MAINTENANCE_ROWS } from './maintenance.js';
import { StreamParts } from './stream-parts.js';
import { WorkerRegistry } from './worker-registry.js';

const OPERATION = 'test.operation';
const MIB = 1024 ** 2;
const budget = new ByteBudget({ totalBytes: 16 * MIB, waitMs: 0, waitingPerProject: 0, waitingTotal: 0 });

let db: TestDatabase;
let jobs: JobStore;
let bodies: JobBodyStore;
let registry: WorkerRegistry;
let places: JobPlaces;
/** With the statements of the job places. */
let maintenance: Maintenance;
let key: JobKey = { projectId: 0, jobId: '' };

beforeAll(async () => {
  Logger.overrideLogger(false);
  db = await cloneDatabase();
  const config = new Config({ STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters' });
  registry = new WorkerRegistry(db.database);
  maintenance = new Maintenance(db.database, registry);
  places = new JobPlaces(db.database, maintenance);
  jobs = new JobStore(db.database, config, sealedJobs(db.database));
  await new JobQueueStore(db.database).onModuleInit();
  const parts = new StreamParts(jobs, db.sequence, budget, DiskReserve.none(), config);
  bodies = new JobBodyStore(parts, new JobBodyRoom(db.database, config), config);
});
beforeEach(async () => {
  await db.sql('TRUNCATE jobs, job_parts, job_workers, graphile_worker._private_jobs');
  // A project of its own, because the places of its jobs are kept for a moment.
  key = { projectId: key.projectId + 1, jobId: db.sequence.next().toString() };
});
afterAll(() => db.close());

/** A stream of three parts. @param breaks fails after the second part */
function stream(breaks = false): RequestStream {
  return new RequestStream(
    'application/x-ndjson', // eslint-disable-next-line @typescript-eslint/require-await -- what arrives over the network does so later
    (async function* () {
      yield Buffer.alloc(MIB, 'a');
      yield Buffer.alloc(MIB, 'b');
      if (breaks) throw new Error('the client has gone');
      yield Buffer.from('c');
    })(),
    'client',
  );
}

async function save(body: RequestStream): Promise<{ jobId: string; parts: number }> {
  const saved = await bodies.save(key.projectId, key.jobId, body);
  key.jobId = saved.jobId;
  return saved;
}

async function accept(body = stream()): Promise<void> {
  await jobs.insert(db.database, { ...newJob(await save(body)), place: await places.next(key.projectId) });
}

function newJob({ jobId, parts }: { jobId: string; parts: number }, input = '{}'): NewJob {
  const media = { mediaType: 'application/x-ndjson', body: null };
  return {
    projectId: key.projectId,
    jobId,
    bodyId: jobId,
    keyId: '1',
    operation: OPERATION,
    input,
    parts,
    place: 0,
    ...media,
  };
}

async function claim(...operations: string[]): Promise<ClaimedJob> {
  const job = await jobs.claim(key, 'worker', operations.length > 0 ? operations : [OPERATION]);
  if (job === null) throw new Error('the job was not claimed');
  return job;
}

async function storedParts(): Promise<number> {
  return (await db.sql('SELECT FROM job_parts WHERE job_id = $1', [key.jobId])).length;
}

async function read(job: ClaimedJob): Promise<string> {
  return text((bodies.open(key, job) as RequestStream).bytes);
}

describe('the stored body of a job', () => {
  it('is returned unchanged', async () => {
    await accept();
    expect(await read(await claim())).toBe(`${'a'.repeat(MIB)}${'b'.repeat(MIB)}c`);
  });

  it('can be empty', async () => {
    await accept(new RequestStream('application/x-ndjson', Readable.from([]), 'client'));
    expect(await read(await claim())).toBe('');
  });

  it('is not found when its project was deleted', async () => {
    await accept();
    const job = await claim();
    await db.sql(`INSERT INTO deleted_projects (project_id, deleted_at, counts) VALUES ($1, now(), '{}')`, [
      key.projectId,
    ]);
    await db.sql('DELETE FROM job_parts WHERE part = 1');
    await expect(read(job)).rejects.toMatchObject({ slug: 'not-found' });
  });

  it.each([0, 1, 2])('throws instead of ending early when part %i is missing', async (part) => {
    await accept();
    const job = await claim();
    await db.sql('DELETE FROM job_parts WHERE part = $1', [part]);
    await expect(read(job)).rejects.toThrow(/is missing/);
  });

  it('ends early when another worker has completed the job', async () => {
    await accept();
    const job = await claim();
    expect(await jobs.succeed(db.database, key, { status: 200, text: '{}' })).toBe(true);
    expect(await read(job)).toBe('');
    expect(await jobs.succeed(db.database, key, { status: 200, text: '{}' })).toBe(false);
  });

  it('is stored under another number when an upload already uses its number', async () => {
    const first = await save(stream());
    const second = await bodies.save(
      key.projectId,
      first.jobId,
      new RequestStream('application/x-ndjson', Readable.from([Buffer.from('second')]), 'client'),
    );
    expect(second).not.toEqual(first);
    await jobs.insert(db.database, newJob(first));
    expect(await read(await claim())).toBe(`${'a'.repeat(MIB)}${'b'.repeat(MIB)}c`);
    key.jobId = second.jobId;
    await jobs.insert(db.database, newJob(second));
    expect(await read(await claim())).toBe('second');
  });

  it('is moved to the number of its job', async () => {
    const saved = await save(stream());
    key.jobId = db.sequence.next().toString();
    await jobs.insert(db.database, { ...newJob(saved), jobId: key.jobId });
    expect(await read(await claim())).toBe(`${'a'.repeat(MIB)}${'b'.repeat(MIB)}c`);
  });

  it('is not the body of a job when some of it was deleted', async () => {
    const saved = await save(stream());
    await db.sql('DELETE FROM job_parts WHERE part = 0');
    const job = { ...newJob(saved), jobId: db.sequence.next().toString() };
    const inserting = db.database.transaction((tx) => jobs.insert(tx, job));
    await expect(inserting).rejects.toMatchObject({ slug: 'unavailable' });
    expect(await db.sql('SELECT FROM jobs')).toEqual([]);
  });

  it('is deleted when the client disconnects before its end', async () => {
    await expect(save(stream(true))).rejects.toThrow('the client has gone');
    expect(await storedParts()).toBe(0);
  });
});

describe('the place of a job', () => {
  const moveQueue = (places: number): Promise<unknown> =>
    db.sql(`UPDATE graphile_worker._private_jobs SET priority = priority + ${String(places)}`);
  const addWaiting = (attempts: number): Promise<unknown> =>
    db.sql(
      `INSERT INTO graphile_worker._private_jobs (task_id, priority, attempts)
       SELECT id, 0, ${String(attempts)} FROM graphile_worker._private_tasks LIMIT 1`,
    );

  it('is behind the first job of the queue', async () => {
    await accept();
    await moveQueue(5_000);
    expect(await places.next(key.projectId + 1_000_000)).toBe(5_000);
  });

  it('does not depend on an attempt that is due again, which is from an earlier part of the queue', async () => {
    await accept();
    await moveQueue(5_000);
    await addWaiting(1);
    expect(await places.next(key.projectId + 2_000_000)).toBe(5_000);
  });

  it('is the same after 1,000 jobs of a project, so that later ones do not overtake', async () => {
    await db.sql(
      `INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
       SELECT $1, i, 1, 'test', '{}', 'application/json', 1, 'queued', 0 FROM generate_series(1, 999) AS i`,
      [key.projectId],
    );
    const found: number[] = [];
    for (let i = 0; i < 4; i++) found.push(await places.next(key.projectId));
    expect(found).toEqual([999, 1_000, 1_000, 1_000]);
  });

  it('of a job that is retried is behind the first of the queue, too', async () => {
    await accept();
    await moveQueue(5_000);
    const failed = { projectId: key.projectId + 3_000_000, jobId: db.sequence.next().toString() };
    await jobs.insert(db.database, { ...newJob({ jobId: failed.jobId, parts: 0 }), ...failed });
    await db.sql(`UPDATE jobs SET status = 'failed' WHERE project_id = $1`, [failed.projectId]);
    await db.sql(`DELETE FROM graphile_worker._private_jobs WHERE key LIKE $1`, [`${String(failed.projectId)}/%`]);
    expect(await jobs.retry(failed, await places.next(failed.projectId))).toBe(true);
    const [row] = await db.sql<{ priority: number }>(
      `SELECT priority FROM graphile_worker._private_jobs WHERE key LIKE $1`,
      [`${String(failed.projectId)}/%`],
    );
    expect(row?.priority).toBe(5_000);
  });
});

describe('maintenance', () => {
  const run = (): Promise<void> => new Maintenance(db.database, registry).run();
  const age = (minutes: number, part: number): Promise<unknown> =>
    db.sql(`UPDATE job_parts SET kept_at = now() - $1 * interval '1 minute' WHERE part = $2`, [minutes, part]);

  it('keeps an upload that began days ago and continues', async () => {
    key.jobId = '1';
    await save(stream());
    await age(5_000, 0);
    await age(2_000, 1);
    await age(59, 2);
    await run();
    expect(await storedParts()).toBe(3);
  });

  it('deletes an upload whose newest part is older than an hour, unless its job exists', async () => {
    await accept();
    for (const part of [0, 1, 2]) await age(61, part);
    await run();
    expect(await storedParts()).toBe(3);
    await db.sql('DELETE FROM jobs');
    await run();
    expect(await storedParts()).toBe(0);
  });

  it('moves the queue to the front when its places are high, in its order', async () => {
    const places = async (): Promise<number[]> =>
      (await db.sql<{ priority: number }>('SELECT priority FROM graphile_worker._private_jobs ORDER BY priority')).map(
        (row) => row.priority,
      );
    for (let i = 0; i < 3; i++) {
      key.jobId = db.sequence.next().toString();
      await accept();
    }
    expect(await places()).toEqual([0, 1, 2]);
    await db.sql('UPDATE graphile_worker._private_jobs SET priority = priority + 16000');
    await maintenance.run();
    expect(await places()).toEqual([16_000, 16_001, 16_002]);
    await db.sql('UPDATE graphile_worker._private_jobs SET priority = priority + 1000');
    await maintenance.run();
    expect(await places()).toEqual([0, 1, 2]);
  });

  it('leaves no job more than 1,000 places behind the first, such as one accepted while the queue was moved', async () => {
    for (let i = 0; i < 2; i++) {
      key.jobId = db.sequence.next().toString();
      await accept();
    }
    await db.sql('UPDATE graphile_worker._private_jobs SET priority = 17000 WHERE priority = 1');
    await db.sql(`SELECT graphile_worker.add_job('another.application', '{}', priority => 18000)`);
    await db.sql(`SELECT graphile_worker.add_job('another.application', '{}', priority => -1)`);
    await maintenance.run();
    const rows = await db.sql<{ priority: number }>(
      'SELECT priority FROM graphile_worker._private_jobs ORDER BY priority',
    );
    expect(rows.map((row) => row.priority)).toEqual([-1, 0, 1_000, 18_000]);
  });

  it('runs the statements of other libs, even after one that fails', async () => {
    const maintenance = new Maintenance(db.database, registry);
    maintenance.add(
      { name: 'fail', sql: 'SELECT 1 / 0' },
      { name: 'first', sql: `DELETE FROM job_workers WHERE worker_id = 'one'` },
      { name: 'second', sql: `DELETE FROM job_workers WHERE worker_id = 'two'` },
    );
    await registry.beat(['one', 'two', 'three']);
    await maintenance.run();
    expect(await db.sql('SELECT worker_id FROM job_workers')).toEqual([{ worker_id: 'three' }]);
  });

  it('deletes more rows in a run than a single statement does', async () => {
    await db.sql(
      `
      INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts, finished_at)
      SELECT 1, n, 1, 'x', '{}', 'application/json', 0, 'succeeded', 1, now() - interval '31 days'
      FROM generate_series(1, $1::int) AS n`,
      [2 * MAINTENANCE_ROWS + 1],
    );
    await db.sql(`
      INSERT INTO job_parts (project_id, job_id, part, bytes, kept_at)
      SELECT 2, n, 0, '', now() - interval '61 minutes' FROM generate_series(1, 201) AS n`);
    await run();
    expect(
      await db.sql('SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT count(*) FROM job_parts) AS parts'),
    ).toEqual([{ jobs: '0', parts: '0' }]);
  });

  it('releases the jobs of a worker that never sent a heartbeat, after half a minute', async () => {
    await accept();
    await db.sql('UPDATE jobs SET status = $1, worker_id = $2', ['running', 'worker']);
    const lock = (seconds: number): Promise<unknown> =>
      db.sql(
        `UPDATE graphile_worker._private_jobs SET locked_by = 'worker', locked_at = now() - $1 * interval '1 second'`,
        [seconds],
      );
    const isLocked = async (): Promise<boolean> =>
      (await db.sql('SELECT FROM graphile_worker.jobs WHERE locked_by IS NOT NULL')).length > 0;
    await lock(20);
    await run();
    expect(await isLocked()).toBe(true);
    await lock(40);
    await registry.beat(['worker']);
    await run();
    expect(await isLocked()).toBe(true);
    await registry.beat(['other']);
    await db.sql(`DELETE FROM job_workers WHERE worker_id = 'worker'`);
    await run();
    expect([await isLocked(), await jobs.statusOf(key)]).toEqual([false, 'queued']);
  });

  it('leaves the jobs of another application in the same graphile-worker schema locked', async () => {
    await db.sql(`SELECT graphile_worker.add_job('another.application', '{}')`);
    await db.sql(
      `UPDATE graphile_worker._private_jobs SET locked_by = 'their worker', locked_at = now() - interval '1 minute'`,
    );
    await run();
    expect(await db.sql('SELECT locked_by FROM graphile_worker.jobs')).toEqual([{ locked_by: 'their worker' }]);
  });
});

describe('a job whose worker', () => {
  const claimAndRelease = async (release: () => Promise<void>): Promise<object[]> => {
    await accept();
    await claim();
    await release();
    return db.sql('SELECT status, attempts, worker_id FROM jobs');
  };

  it('ends unexpectedly is queued again, and the attempt counts', async () => {
    const rows = await claimAndRelease(() => registry.freeEnded('worker'));
    expect(rows).toEqual([{ status: 'queued', attempts: 1, worker_id: null }]);
  });

  it('shuts down is queued again, and the attempt does not count', async () => {
    const rows = await claimAndRelease(() => registry.freeStopped('worker'));
    expect(rows).toEqual([{ status: 'queued', attempts: 0, worker_id: null }]);
  });
});

describe('a job with an operation that is unknown to this version', () => {
  it('is not claimed and keeps its attempts', async () => {
    await accept();
    for (let i = 0; i < 3; i++) expect(await jobs.claim(key, 'worker', ['another'])).toBeNull();
    expect(await jobs.statusOf(key)).toBe('queued');
    expect((await claim('another', OPERATION)).attempts).toBe(1);
  });
});
