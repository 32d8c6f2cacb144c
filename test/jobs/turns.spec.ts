import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob, type Job } from './jobs.js';

/** Accepts jobs and runs none. */
let api: TestApi;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
});
afterAll(() => api.stop());

async function submitJobs({ projectId, keys }: TestProject, count: number): Promise<Job[]> {
  const jobs: Job[] = [];
  for (let i = 0; i < count; i++) {
    const body = { batch_id: `batch-${String(projectId)}-${String(i)}`, objects: [] };
    jobs.push(await submitJob(api, 'POST', '/batches', { key: keys.producer, body }));
  }
  return jobs;
}

/**
 * Runs all jobs one after the other; their last transactions have increasing ids.
 * @returns the projects in the order in which their jobs ended
 */
async function runJobs(last: Job, { keys }: TestProject): Promise<number[]> {
  const worker = await api.another({ WORKER: 'inline', JOB_CONCURRENCY: '1' });
  try {
    await waitForJob(api, keys.admin, last);
  } finally {
    await worker.stop();
  }
  const rows = await api.db.sql<{ project_id: number }>(
    `SELECT project_id FROM jobs WHERE status = 'succeeded' ORDER BY xmin::text::bigint`,
  );
  return rows.map((row) => row.project_id);
}

it('jobs of projects run in turn, however many another project has queued before', async () => {
  const [first, second, third] = [await api.project(), await api.project(), await api.project()];
  const many = await submitJobs(first, 40);
  await submitJobs(second, 20);
  await submitJobs(third, 2);
  const order = await runJobs(many.at(-1) as Job, first);
  const name = (id: number): string =>
    ['first', 'second', 'third'][[first, second, third].findIndex((one) => one.projectId === id)] ?? '';
  const named = order.map(name);
  expect(named.slice(0, 6).toSorted()).toEqual(['first', 'first', 'second', 'second', 'third', 'third']);
  // While both have jobs, each has every second turn.
  expect(named.slice(6, 40).filter((one) => one === 'second')).toHaveLength(17);
  expect(named).toHaveLength(62);
});

it('the jobs of one project run in the order in which they were accepted', async () => {
  const project = await api.project();
  const jobs = await submitJobs(project, 30);
  await runJobs(jobs.at(-1) as Job, project);
  const rows = await api.db.sql<{ job_id: string }>(
    'SELECT job_id FROM jobs WHERE project_id = $1 ORDER BY xmin::text::bigint',
    [project.projectId],
  );
  expect(rows.map((row) => row.job_id)).toEqual(jobs.map(({ id }) => id));
});

describe('one project runs at most half of the jobs of a process', () => {
  const running = async (projectId: number): Promise<number> =>
    (await api.db.sql(`SELECT FROM jobs WHERE project_id = $1 AND status = 'running'`, [projectId])).length;

  /** Runs jobs of a project that wait for a lock, and meanwhile those of another one. */
  async function runBeside(longJobs: number): Promise<void> {
    const [long, other] = [await api.project(), await api.project()];
    const { producer: key } = long.keys;
    await api.call('POST', '/batches', { key, body: { batch_id: 'locked', objects: [] } });
    await api.db.transaction(async (tx) => {
      await tx.query(`SELECT FROM batches WHERE project_id = $1 FOR UPDATE`, [long.projectId]);
      for (let i = 0; i < longJobs; i++) {
        const body = { batch_id: 'locked', object_id: `object-${String(i)}`, data: {} };
        await submitJob(api, 'POST', '/objects', { key, body });
      }
      // Further jobs of a project with 1,000 queued jobs have the same place, so others may be behind all of them.
      await api.db.sql(`UPDATE graphile_worker._private_jobs SET priority = 0`);
      const worker = await api.another({ WORKER: 'inline', JOB_CONCURRENCY: '4' });
      try {
        while ((await running(long.projectId)) < 2) await sleep(5);
        const jobs = await submitJobs(other, 3);
        for (const job of jobs) expect((await waitForJob(api, other.keys.admin, job)).status).toBe('succeeded');
        expect(await running(long.projectId)).toBeLessThanOrEqual(2);
      } finally {
        await worker.stop();
      }
    });
    await api.db.sql(`DELETE FROM jobs`);
    await api.db.sql(`DELETE FROM graphile_worker._private_jobs`);
  }

  it('so that its long jobs leave room for those of others', () => runBeside(8));

  it('also when more jobs of it are queued than are searched at a time', () => runBeside(600));
});
