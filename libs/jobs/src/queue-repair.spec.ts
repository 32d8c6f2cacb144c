import { Config } from '#platform';
import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { sealedJobs } from '../../../test/harness/sealed-jobs.js';
import { JobPlaces } from './job-places.js';
import type { JobKey } from './job-key.js';
import { JobQueueStore } from './job-queue.store.js';
import { JobStore, type NewJob } from './job.store.js';
import { Maintenance } from './maintenance.js';
import { QueueRepair } from './queue-repair.js';
import { WorkerRegistry } from './worker-registry.js';

let db: TestDatabase;
let jobs: JobStore;
let repair: QueueRepair;
/** What happens after a run has compared the jobs, before it adds entries. */
let meanwhile: () => Promise<void> = () => Promise.resolve();

class InterruptedPlaces extends JobPlaces {
  override async next(projectId: number): Promise<number> {
    await meanwhile();
    return super.next(projectId);
  }
}

beforeAll(async () => {
  Logger.overrideLogger(false);
  db = await cloneDatabase();
  const maintenance = new Maintenance(db.database, new WorkerRegistry(db.database));
  jobs = new JobStore(db.database, new Config({}), sealedJobs(db.database));
  const queue = new JobQueueStore(db.database);
  await queue.onModuleInit();
  repair = new QueueRepair(queue, new InterruptedPlaces(db.database, maintenance), maintenance);
});
beforeEach(async () => {
  await db.sql('TRUNCATE jobs, job_parts, graphile_worker._private_jobs');
});
afterAll(async () => {
  Logger.overrideLogger(true);
  await db.close();
});

/** A job that was accepted long ago, unless its number says otherwise. */
async function store(key: JobKey): Promise<void> {
  const job: NewJob = {
    ...key,
    bodyId: key.jobId,
    keyId: '1',
    operation: 'test',
    input: '{}',
    mediaType: 'application/json',
    parts: 1,
    body: Buffer.from('null'),
    place: 3,
  };
  await jobs.insert(db.database, job);
}

/** The state after a crash between the commit of the job and that of its entry. */
async function loseEntry({ projectId, jobId }: JobKey): Promise<void> {
  await db.sql('DELETE FROM graphile_worker._private_jobs WHERE key = $1', [`${String(projectId)}/${jobId}`]);
}

const entries = async (): Promise<unknown[]> =>
  (
    await db.sql<{ payload: JobKey; key: string }>(
      'SELECT payload, key FROM graphile_worker._private_jobs ORDER BY key',
    )
  ).map(({ payload }) => payload);

it('adds an entry for each queued job that has none, once', async () => {
  const lost = [
    { projectId: 1, jobId: '1024' },
    { projectId: 2, jobId: '2048' },
  ];
  const kept = { projectId: 1, jobId: '4096' };
  for (const key of [...lost, kept]) await store(key);
  for (const key of lost) await loseEntry(key);
  await repair.run();
  expect(await entries()).toEqual([lost[0], kept, lost[1]]);
  await repair.run();
  expect(await entries()).toHaveLength(3);
});

it('adds no second entry for a job that another process has added and runs', async () => {
  const key = { projectId: 1, jobId: '1024' };
  await store(key);
  await loseEntry(key);
  meanwhile = async () => {
    meanwhile = () => Promise.resolve();
    await repair.run();
    await db.sql(`UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'worker'`);
  };
  await repair.run();
  expect(await entries()).toEqual([key]);
});

it('adds no entry for a job that has ended meanwhile', async () => {
  const key = { projectId: 1, jobId: '1024' };
  await store(key);
  await loseEntry(key);
  meanwhile = async () => {
    meanwhile = () => Promise.resolve();
    await jobs.fail(db.database, key, {});
  };
  await repair.run();
  expect(await entries()).toEqual([]);
});

it('leaves jobs alone that have ended, that run, or that were accepted a moment ago', async () => {
  const ended = { projectId: 1, jobId: '1024' };
  const running = { projectId: 1, jobId: '2048' };
  const young = { projectId: 1, jobId: db.sequence.next().toString() };
  for (const key of [ended, running, young]) {
    await store(key);
    await loseEntry(key);
  }
  await jobs.fail(db.database, ended, {});
  await jobs.claim(running, 'worker', ['test']);
  await repair.run();
  expect(await entries()).toEqual([]);
});
