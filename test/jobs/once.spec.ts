import { SequenceUnavailableError } from '#database';
import { JobRunner, WriteOperations, type WriteOperation } from '#jobs';
import { Config } from '#platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { createApp } from '../../apps/api/create-app.js';
import { expectProblem } from '../errors/expect-problem.js';
import { settingsFor, type Reply, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { submitJob, waitForJob, getJob, waitFor } from './jobs.js';

let api: TestApp;
let other: NestFastifyApplication;
let keys: TestProject['keys'];
let key: string;
/** How often each job was run. */
const runs = new Map<string, number>();
let isForced = false;
/** One at a time, so that the others leave slots to its second run. */
let isWaiting = false;

/**
 * Inserts a row into a table without a unique key, so that a second run would be visible. While workers are forced to run jobs again, a
 * run waits before its receipt until the second one of its job has begun.
 */
const effect: WriteOperation = {
  name: 'test.effect',
  run: async ({ projectId, requestSeq }, receipt) => {
    const timesRun = (): number => runs.get(requestSeq) ?? 0;
    runs.set(requestSeq, timesRun() + 1);
    const response = { status: 200, text: '{}' };
    await api.db.transaction(async (tx) => {
      await tx.query('INSERT INTO effects VALUES ($1)', [projectId]);
      if (isForced && !isWaiting) {
        isWaiting = true;
        await waitFor(() => Promise.resolve(timesRun() > 1 ? true : undefined));
        isWaiting = false;
      }
      await receipt?.(tx, response);
    });
    return response;
  },
};

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate' });
  other = await createApp(new Config({ ...settingsFor(api.db), WORKER: 'separate' }), api.db);
  ({ keys } = await api.project());
  key = keys.producer;
  await api.db.sql('CREATE TABLE effects (project_id integer)');
  for (const app of [api.app, other]) app.get(WriteOperations).register(effect);
});
afterAll(async () => {
  await other.close();
  await api.stop();
});

describe('a stream that becomes a job', () => {
  const put = (): Promise<Reply> => {
    const headers = { 'Content-Type': 'application/x-ndjson', Prefer: 'respond-async' };
    return api.call('PUT', '/batches/stream', { key, body: '{"object_id":"one","data":{}}\n', headers });
  };
  /** The number of parts of each job, and how many are stored. */
  const parts = (): Promise<{ parts: number; stored: number }[]> =>
    api.db.sql(`
      SELECT parts, (SELECT count(*)::int FROM job_parts AS p WHERE p.job_id = j.job_id) AS stored FROM jobs AS j`);
  afterEach(async () => {
    jest.restoreAllMocks();
    await api.db.sql('TRUNCATE jobs, job_parts, graphile_worker._private_jobs');
  });

  it('keeps its body where it was stored, but the acknowledgement was lost', async () => {
    const { database } = api.db;
    const transaction = database.transaction.bind(database);
    jest.spyOn(database, 'transaction').mockImplementationOnce(async (work) => {
      await transaction(work);
      throw Object.assign(new Error('the connection broke'), { code: '08006' });
    });
    expectProblem(await put(), 'unavailable');
    expect(await parts()).toEqual([{ parts: 1, stored: 1 }]);
  });

  it('is accepted where the lease of sequence numbers expires while it arrives, and is renewed', async () => {
    const { sequence } = api.db;
    const original = sequence.next.bind(sequence);
    const next = jest.spyOn(sequence, 'next');
    next.mockImplementationOnce(original).mockImplementationOnce(() => {
      throw new SequenceUnavailableError('the lease has expired');
    });
    expect((await put()).status).toBe(202);
    expect(await parts()).toEqual([{ parts: 1, stored: 1 }]);
  });
});

describe('two workers that are forced to run the same jobs', () => {
  it('commit the effect of each job once', async () => {
    for (let i = 0; i < 40; i++) await submitJob(api, 'POST', '/batches', { key, body: { batch_id: String(i) } });
    await api.db.sql(`UPDATE jobs SET operation = 'test.effect'`);
    isForced = true;
    await Promise.all([api.app, other].map((app) => app.get(JobRunner).start()));
    await waitFor(async () => {
      await api.db.sql(
        `SELECT graphile_worker.force_unlock_workers(array_agg(DISTINCT locked_by)) FROM graphile_worker.jobs
         WHERE locked_by IS NOT NULL`,
      );
      await api.db.sql('NOTIFY "jobs:insert"');
      const [row] = await api.db.sql<{ left: number }>(
        `SELECT count(*)::int AS left FROM jobs WHERE status IN ('queued', 'running')`,
      );
      return row?.left === 0 ? true : undefined;
    });
    isForced = false;
    expect(Math.max(...runs.values())).toBeGreaterThan(1);
    expect(runs.size).toBe(40);
    expect(await api.db.sql('SELECT FROM effects')).toHaveLength(40);
    expect(await api.db.sql(`SELECT FROM jobs WHERE status = 'succeeded' AND result = '{}'`)).toHaveLength(40);
  });
});

describe('a job with an operation that is unknown to the worker', () => {
  it('stays queued, without counting attempts, until a worker knows the operation', async () => {
    const job = await submitJob(api, 'POST', '/batches', { key, body: { batch_id: 'newer' } });
    await waitForJob(api, key, job);
    await api.db.sql(`UPDATE jobs SET status = 'failed', problem = '{}', operation = 'newer' WHERE job_id = $1`, [
      job.id,
    ]);
    const { admin } = keys;
    expect((await api.call('POST', `${job.url}/retry`, { key: admin })).status).toBe(202);
    await waitFor(async () => {
      const [row] = await api.db.sql<{ attempts: number }>(
        'SELECT attempts FROM graphile_worker.jobs WHERE locked_by IS NULL AND attempts > 0',
      );
      return row;
    });
    expect(await getJob(api, key, job)).toMatchObject({ status: 'queued', attempts: 0 });
    await api.db.sql(`UPDATE jobs SET operation = 'test.effect' WHERE job_id = $1`, [job.id]);
    await api.db.sql('UPDATE graphile_worker._private_jobs SET run_at = now()');
    await api.db.sql('NOTIFY "jobs:insert"');
    expect(await waitForJob(api, key, job)).toMatchObject({ attempts: 1 });
  });
});
