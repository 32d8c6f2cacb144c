import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { Stowage, type Running } from '../cli/stowage.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob, waitForStatus, getJob, waitFor, type Job } from './jobs.js';

const batch = (batch_id: string): object => ({ batch_id, objects: [{ object_id: `${batch_id}-1`, data: [] }] });

describe('a job that fails because of the database', () => {
  let api: TestApi;
  let project: TestProject;
  let key: string;

  beforeAll(async () => {
    api = await TestApi.start({ WORKER: 'inline' });
    project = await api.project();
    key = project.keys.admin;
  });
  afterEach(async () => {
    await api.db.sql('ALTER TABLE IF EXISTS objects_away RENAME TO objects');
  });
  afterAll(() => api.stop());

  const breakDatabase = (): Promise<unknown> => api.db.sql('ALTER TABLE objects RENAME TO objects_away');
  const repairDatabase = (): Promise<unknown> => api.db.sql('ALTER TABLE objects_away RENAME TO objects');
  const endDelays = (): Promise<unknown> => api.db.sql('UPDATE graphile_worker._private_jobs SET run_at = now()');
  /** Ends the delays of retries, and notifies idle workers, which otherwise poll every two seconds. */
  const retryNow = async (): Promise<void> => {
    await endDelays();
    await api.db.sql('NOTIFY "jobs:insert"');
  };
  const listDelayed = (): Promise<{ wait: number }[]> =>
    api.db.sql(
      `SELECT extract(epoch FROM run_at - now())::float AS wait FROM graphile_worker._private_jobs
       WHERE locked_at IS NULL AND run_at > now()`,
    );

  /** Waits until attempt number `attempts` has failed and the job is delayed. @returns the job */
  async function waitForDelay(job: Job, attempts: number): Promise<Job> {
    const now = await waitFor(async () => {
      const one = await getJob(api, key, job);
      return one.attempts === attempts && one.status === 'queued' && (await listDelayed()).length === 1
        ? one
        : undefined;
    });
    expect([now.finished_at, now.problem]).toEqual([null, undefined]);
    return now;
  }

  it('is retried after increasing delays, and succeeds when the database is available again', async () => {
    await breakDatabase();
    const job = await submitJob(api, 'POST', '/batches', { key, body: batch('fault') });
    await waitForDelay(job, 1);
    const [first] = await listDelayed();
    await retryNow();
    await waitForDelay(job, 2);
    const [second] = await listDelayed();
    expect(second?.wait).toBeGreaterThan(first?.wait ?? Infinity);
    await repairDatabase();
    await retryNow();
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 3 });
  });

  it('becomes a dead letter after ten attempts, with a problem without internal details, and can be retried', async () => {
    await breakDatabase();
    const job = await submitJob(api, 'POST', '/batches', { key, body: batch('dead') });
    await waitForDelay(job, 1);
    await api.db.sql('UPDATE jobs SET attempts = 9 WHERE job_id = $1', [job.id]);
    await retryNow();
    const dead = await waitForJob(api, key, job);
    expect(dead).toMatchObject({ status: 'failed', attempts: 10, finished_at: expect.any(String) });
    expectProblem({ status: 500, headers: PROBLEM, text: JSON.stringify(dead.problem) }, 'internal');
    expect(JSON.stringify(dead.problem)).not.toMatch(/relation|objects_away|postgres|\.js/i);
    const list = await api.call('GET', '/jobs?status=failed', { key });
    expect(list.json<{ results: Job[] }>().results.map(({ id }) => id)).toEqual([job.id]);
    await repairDatabase();
    expect((await api.call('POST', `${job.url}/retry`, { key })).status).toBe(202);
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect((await api.call('GET', '/batches/dead', { key })).status).toBe(200);
  });

  it('becomes a dead letter even if the worker dies in the last attempt', async () => {
    await breakDatabase();
    const job = await submitJob(api, 'POST', '/batches', { key, body: batch('deadly') });
    await waitForDelay(job, 1);
    await api.db.sql('UPDATE jobs SET attempts = 10 WHERE job_id = $1', [job.id]);
    await repairDatabase();
    await retryNow();
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'failed', problem: { status: 500 } });
  });

  it('succeeds after all connections are terminated, like jobs accepted later', async () => {
    const jobs = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        submitJob(api, 'POST', '/batches', { key, body: batch(`cut-${String(i)}`) }),
      ),
    );
    await api.db.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`,
    );
    jobs.push(await submitJob(api, 'POST', '/batches', { key, body: batch('after') }));
    await waitFor(async () => {
      await endDelays();
      const queued = await api.call('GET', '/jobs?status=queued&count=exact', { key });
      const running = await api.call('GET', '/jobs?status=running&count=exact', { key });
      const counts = [queued, running].map((reply) => reply.json<{ count: number }>().count);
      return counts.every((count) => count === 0) ? true : undefined;
    }, 45_000);
    for (const job of jobs) expect(await getJob(api, key, job)).toMatchObject({ status: 'succeeded' });
  }, 60_000);
});

/** Headers of the response whose problem a failed job stores. */
const PROBLEM = new Headers({ 'Content-Type': 'application/problem+json', 'X-Request-Id': 'stored' });

describe('stowage worker', () => {
  let api: TestApi;
  let stowage: Stowage;
  let key: string;

  beforeAll(async () => {
    api = await TestApi.start({ WORKER: 'separate' });
    stowage = await Stowage.create(settingsFor(api.db));
    key = (await api.project()).keys.admin;
    await api.call('POST', '/batches', { key, body: { batch_id: 'all', objects: [] } });
  });
  afterAll(async () => {
    await stowage.remove();
    await api.stop();
  });

  async function startWorker(): Promise<Running> {
    const running = stowage.start(['worker']);
    await running.prints(/worker is ready/);
    return running;
  }

  async function stopWorker({ child, ended }: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    child.kill(signal);
    return (await ended).code;
  }

  const postObject = (object_id: string): Promise<Job> =>
    submitJob(api, 'POST', '/objects', { key, body: { batch_id: 'all', object_id, data: [] } });

  /** Runs `work` while a lock blocks all jobs that write to the batch. */
  async function whileLocked(work: () => Promise<void>): Promise<void> {
    await api.db.transaction(async (tx) => {
      await tx.query(`SELECT FROM batches WHERE batch_id = 'all' FOR UPDATE`);
      await work();
    });
  }

  it('runs jobs that were accepted before it started', async () => {
    const job = await postObject('before');
    const kept = await api.db.sql(
      'SELECT status FROM jobs JOIN job_parts USING (project_id, job_id) WHERE job_id = $1',
      [job.id],
    );
    expect(kept).toEqual([{ status: 'queued' }]);
    expect((await getJob(api, key, job)).status).toBe('queued');
    const one = await startWorker();
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(await waitForJob(api, key, await postObject('notified'))).toMatchObject({ status: 'succeeded' });
    expect(await stopWorker(one)).toBe(0);
    expect(await api.db.sql('SELECT FROM job_workers')).toEqual([]);
  });

  it('and a second worker commit every job once, even if both are forced to run it', async () => {
    const before = await api.call('GET', '/batches', { key });
    const count = before.json<{ results: { object_count: number }[] }>().results[0]?.object_count ?? 0;
    const jobs = await Promise.all(Array.from({ length: 150 }, (_, i) => postObject(`once-${String(i)}`)));
    const two = await Promise.all([startWorker(), startWorker()]);
    const isDone = async (): Promise<boolean> => {
      // Unlocks the jobs repeatedly, as if each worker were dead.
      await api.db.sql(
        `SELECT graphile_worker.force_unlock_workers(array_agg(DISTINCT locked_by)) FROM graphile_worker.jobs
         WHERE locked_by IS NOT NULL`,
      );
      const [row] = await api.db.sql<{ left: number }>(
        `SELECT count(*)::int AS left FROM jobs WHERE status IN ('queued', 'running')`,
      );
      return row?.left === 0;
    };
    await waitFor(async () => ((await isDone()) ? true : undefined));
    const rows = await api.db.sql<{ status: string; attempts: number }>(
      `SELECT status, attempts FROM jobs WHERE job_id >= $1`,
      [jobs[0]?.id],
    );
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    const after = await api.call('GET', '/batches', { key });
    expect(after.json()).toMatchObject({ results: [{ object_count: count + 150 }] });
    expect(await Promise.all(two.map((one) => stopWorker(one)))).toEqual([0, 0]);
  });

  it('that was killed during a job leaves the job to another worker', async () => {
    let job: Job | undefined;
    await whileLocked(async () => {
      const one = await startWorker();
      job = await postObject('killed');
      await waitForStatus(api, key, job, 'running');
      await stopWorker(one, 'SIGKILL');
      expect((await getJob(api, key, job)).status).toBe('running');
      // A worker counts as dead 20 s after its last heartbeat.
      await api.db.sql(`UPDATE job_workers SET beat_at = beat_at - interval '20 seconds'`);
    });
    const other = await startWorker();
    const done = await waitFor(async () => {
      const now = await getJob(api, key, job as Job);
      return now.status === 'succeeded' ? now : undefined;
    }, 40_000);
    expect(done.attempts).toBe(2);
    expect(await stopWorker(other)).toBe(0);
  }, 60_000);

  it('sends heartbeats, and can be stopped, while its maintenance is blocked', async () => {
    const beat = async (): Promise<string | undefined> =>
      (await api.db.sql<{ beat: string }>('SELECT max(beat_at)::text AS beat FROM job_workers'))[0]?.beat;
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE idempotency_keys');
      const one = await startWorker();
      const first = await beat();
      await waitFor(async () => ((await beat()) === first ? undefined : true), 8_000);
      expect(await stopWorker(one)).toBe(0);
    });
  }, 30_000);

  it('that is stopped during a long job returns the job to the queue and exits with code 0 within 10 s', async () => {
    await whileLocked(async () => {
      const one = await startWorker();
      const job = await postObject('given-back');
      await waitForStatus(api, key, job, 'running');
      const from = Date.now();
      one.child.kill('SIGTERM');
      expect(await stopWorker(one)).toBe(0);
      expect(Date.now() - from).toBeLessThan(10_000);
      expect(await getJob(api, key, job)).toMatchObject({ status: 'queued', attempts: 0 });
      const locked = await api.db.sql('SELECT FROM graphile_worker.jobs WHERE locked_by IS NOT NULL');
      expect(locked).toEqual([]);
    });
  });

  it('that is stopped finishes its running jobs and starts no others', async () => {
    const idsOf = async (status: string): Promise<string[]> =>
      (await api.db.sql<{ job_id: string }>('SELECT job_id FROM jobs WHERE status = $1 ORDER BY job_id', [status])).map(
        (row) => row.job_id,
      );
    // A worker that stops first ends this connection, on which it is notified of jobs.
    const isListening = async (): Promise<boolean> => {
      const listening = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN "jobs:insert"%'`;
      return (await api.db.sql(listening)).length > 0;
    };
    let started: string[] = [];
    let queued: string[] = [];
    let code: Promise<number | null> | undefined;
    await whileLocked(async () => {
      const one = await startWorker();
      await Promise.all(Array.from({ length: 10 }, (_, i) => postObject(`stop-${String(i)}`)));
      started = await waitFor(async () => {
        const running = await idsOf('running');
        // Half of JOB_CONCURRENCY.
        return running.length === 3 ? running : undefined;
      });
      queued = await idsOf('queued');
      expect(await isListening()).toBe(true);
      code = stopWorker(one);
      await waitFor(async () => ((await isListening()) ? undefined : true));
    });
    expect(await code).toBe(0);
    expect(queued.length).toBeGreaterThanOrEqual(7);
    expect(await idsOf('queued')).toEqual(queued);
    expect(await idsOf('succeeded')).toEqual(expect.arrayContaining(started));
  });
});
