import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { Stowage, type Running } from '../cli/stowage.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { accepted, ended, reaches, read, until, type Job } from './jobs.js';

const batch = (batch_id: string): object => ({ batch_id, objects: [{ object_id: `${batch_id}-1`, data: [] }] });

describe('a job that meets a fault', () => {
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

  const breakIt = (): Promise<unknown> => api.db.sql('ALTER TABLE objects RENAME TO objects_away');
  const mendIt = (): Promise<unknown> => api.db.sql('ALTER TABLE objects_away RENAME TO objects');
  const endWaits = (): Promise<unknown> => api.db.sql('UPDATE graphile_worker._private_jobs SET run_at = now()');
  /** Ends the waits, and has idle workers look at once, which they otherwise do every two seconds. */
  const hurry = async (): Promise<void> => {
    await endWaits();
    await api.db.sql('NOTIFY "jobs:insert"');
  };
  const waiting = (): Promise<{ wait: number }[]> =>
    api.db.sql(
      `SELECT extract(epoch FROM run_at - now())::float AS wait FROM graphile_worker._private_jobs
       WHERE locked_at IS NULL AND run_at > now()`,
    );

  /** The job after its attempt `attempts`, which met a fault. */
  async function putOff(job: Job, attempts: number): Promise<Job> {
    const now = await until(async () => {
      const one = await read(api, key, job);
      return one.attempts === attempts && one.status === 'queued' && (await waiting()).length === 1 ? one : undefined;
    });
    expect([now.finished_at, now.problem]).toEqual([null, undefined]);
    return now;
  }

  it('waits for its next attempt, longer each time, and succeeds when the fault is gone', async () => {
    await breakIt();
    const job = await accepted(api, 'POST', '/batches', { key, body: batch('fault') });
    await putOff(job, 1);
    const [first] = await waiting();
    await hurry();
    await putOff(job, 2);
    const [second] = await waiting();
    expect(second?.wait).toBeGreaterThan(first?.wait ?? Infinity);
    await mendIt();
    await hurry();
    expect(await ended(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 3 });
  });

  it('that never goes is a dead letter after ten attempts, says nothing of the inside, and can be tried again', async () => {
    await breakIt();
    const job = await accepted(api, 'POST', '/batches', { key, body: batch('dead') });
    await putOff(job, 1);
    await api.db.sql('UPDATE jobs SET attempts = 9 WHERE job_id = $1', [job.id]);
    await hurry();
    const dead = await ended(api, key, job);
    expect(dead).toMatchObject({ status: 'failed', attempts: 10, finished_at: expect.any(String) });
    expectProblem({ status: 500, headers: PROBLEM, text: JSON.stringify(dead.problem) }, 'internal');
    expect(JSON.stringify(dead.problem)).not.toMatch(/relation|objects_away|postgres|\.js/i);
    const list = await api.call('GET', '/jobs?status=failed', { key });
    expect(list.json<{ results: Job[] }>().results.map(({ id }) => id)).toEqual([job.id]);
    await mendIt();
    expect((await api.call('POST', `${job.url}/retry`, { key })).status).toBe(202);
    expect(await ended(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect((await api.call('GET', '/batches/dead', { key })).status).toBe(200);
  });

  it('such as a worker that dies of it each time, comes to an end too', async () => {
    await breakIt();
    const job = await accepted(api, 'POST', '/batches', { key, body: batch('deadly') });
    await putOff(job, 1);
    await api.db.sql('UPDATE jobs SET attempts = 10 WHERE job_id = $1', [job.id]);
    await mendIt();
    await hurry();
    expect(await ended(api, key, job)).toMatchObject({ status: 'failed', problem: { status: 500 } });
  });

  it('of all connections at once goes on by itself, and so does what is accepted after it', async () => {
    const jobs = await Promise.all(
      Array.from({ length: 40 }, (_, i) => accepted(api, 'POST', '/batches', { key, body: batch(`cut-${String(i)}`) })),
    );
    await api.db.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    jobs.push(await accepted(api, 'POST', '/batches', { key, body: batch('after') }));
    await until(async () => {
      await endWaits();
      const left = await api.call('GET', '/jobs?status=queued&count=exact', { key });
      const running = await api.call('GET', '/jobs?status=running&count=exact', { key });
      const counts = [left, running].map((reply) => reply.json<{ count: number }>().count);
      return counts.every((count) => count === 0) ? true : undefined;
    }, 45_000);
    for (const job of jobs) expect(await read(api, key, job)).toMatchObject({ status: 'succeeded' });
  }, 60_000);
});

const PROBLEM = new Headers({ 'Content-Type': 'application/problem+json' });

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

  async function worker(): Promise<Running> {
    const running = stowage.start(['worker']);
    await running.prints(/worker is ready/);
    return running;
  }

  async function end({ child, ended: over }: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    child.kill(signal);
    return (await over).code;
  }

  const postObject = (object_id: string): Promise<Job> =>
    accepted(api, 'POST', '/objects', { key, body: { batch_id: 'all', object_id, data: [] } });

  /** Runs the work while every job that wants to write into the batch has to wait. */
  async function whileLocked(work: () => Promise<void>): Promise<void> {
    await api.db.transaction(async (tx) => {
      await tx.query(`SELECT FROM batches WHERE batch_id = 'all' FOR UPDATE`);
      await work();
    });
  }

  it('runs what was accepted, and kept, before it was there', async () => {
    const job = await postObject('before');
    const kept = await api.db.sql(
      'SELECT status FROM jobs JOIN job_parts USING (project_id, job_id) WHERE job_id = $1',
      [job.id],
    );
    expect(kept).toEqual([{ status: 'queued' }]);
    expect((await read(api, key, job)).status).toBe('queued');
    const one = await worker();
    expect(await ended(api, key, job)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(await ended(api, key, await postObject('notified'))).toMatchObject({ status: 'succeeded' });
    expect(await end(one)).toBe(0);
    expect(await api.db.sql('SELECT FROM job_workers')).toEqual([]);
  });

  it('and another one do every job once to effect, even where both are made to run it', async () => {
    const before = await api.call('GET', '/batches', { key });
    const count = before.json<{ results: { object_count: number }[] }>().results[0]?.object_count ?? 0;
    const jobs = await Promise.all(Array.from({ length: 150 }, (_, i) => postObject(`once-${String(i)}`)));
    const two = await Promise.all([worker(), worker()]);
    const isDone = async (): Promise<boolean> => {
      // As if each of them were dead, again and again.
      await api.db.sql(
        `SELECT graphile_worker.force_unlock_workers(array_agg(DISTINCT locked_by)) FROM graphile_worker.jobs
         WHERE locked_by IS NOT NULL`,
      );
      const [row] = await api.db.sql<{ left: number }>(
        `SELECT count(*)::int AS left FROM jobs WHERE status IN ('queued', 'running')`,
      );
      return row?.left === 0;
    };
    await until(async () => ((await isDone()) ? true : undefined));
    const rows = await api.db.sql<{ status: string; attempts: number }>(
      `SELECT status, attempts FROM jobs WHERE job_id >= $1`,
      [jobs[0]?.id],
    );
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    const after = await api.call('GET', '/batches', { key });
    expect(after.json()).toMatchObject({ results: [{ object_count: count + 150 }] });
    expect(await Promise.all(two.map((one) => end(one)))).toEqual([0, 0]);
  });

  it('that was killed in the middle of a job leaves it to another one', async () => {
    let job: Job | undefined;
    await whileLocked(async () => {
      const one = await worker();
      job = await postObject('killed');
      await reaches(api, key, job, 'running');
      await end(one, 'SIGKILL');
      expect((await read(api, key, job)).status).toBe('running');
      // It would be taken for dead after twenty seconds.
      await api.db.sql(`UPDATE job_workers SET beat_at = beat_at - interval '15 seconds'`);
    });
    const other = await worker();
    const done = await until(async () => {
      const now = await read(api, key, job as Job);
      return now.status === 'succeeded' ? now : undefined;
    }, 40_000);
    expect(done.attempts).toBe(2);
    expect(await end(other)).toBe(0);
  }, 60_000);

  it('shows that it lives, and can be stopped, while its housekeeping waits', async () => {
    const beat = async (): Promise<string | undefined> =>
      (await api.db.sql<{ beat: string }>('SELECT max(beat_at)::text AS beat FROM job_workers'))[0]?.beat;
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE idempotency_keys');
      const one = await worker();
      const first = await beat();
      await until(async () => ((await beat()) === first ? undefined : true), 8_000);
      expect(await end(one)).toBe(0);
    });
  }, 30_000);

  it('that is stopped in the middle of a job that takes too long gives it back within ten seconds, and ends with 0', async () => {
    await whileLocked(async () => {
      const one = await worker();
      const job = await postObject('given-back');
      await reaches(api, key, job, 'running');
      const from = Date.now();
      one.child.kill('SIGTERM');
      expect(await end(one)).toBe(0);
      expect(Date.now() - from).toBeLessThan(10_000);
      expect(await read(api, key, job)).toMatchObject({ status: 'queued', attempts: 0 });
      const locked = await api.db.sql('SELECT FROM graphile_worker.jobs WHERE locked_by IS NOT NULL');
      expect(locked).toEqual([]);
    });
  });

  it('that is stopped finishes the jobs that it has begun, and begins no other', async () => {
    const idsOf = async (status: string): Promise<string[]> =>
      (await api.db.sql<{ job_id: string }>('SELECT job_id FROM jobs WHERE status = $1 ORDER BY job_id', [status])).map(
        (row) => row.job_id,
      );
    let begun: string[] = [];
    let queued: string[] = [];
    let code: Promise<number | null> | undefined;
    await whileLocked(async () => {
      const one = await worker();
      await Promise.all(Array.from({ length: 10 }, (_, i) => postObject(`stop-${String(i)}`)));
      begun = await until(async () => {
        const running = await idsOf('running');
        return running.length === 4 ? running : undefined;
      });
      queued = await idsOf('queued');
      code = end(one);
      await sleep(300);
    });
    expect(await code).toBe(0);
    expect(queued.length).toBeGreaterThanOrEqual(6);
    expect(await idsOf('queued')).toEqual(queued);
    expect(await idsOf('succeeded')).toEqual(expect.arrayContaining(begun));
  });
});
