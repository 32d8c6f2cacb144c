import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import type { Job } from './jobs.js';

const MAX = 1024 ** 2;
const NDJSON = { 'Content-Type': 'application/x-ndjson' };

/** Runs no jobs, so that they stay queued. */
let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', JOB_BODIES_BYTES_MAX: String(MAX) });
});
afterAll(() => api.stop());

const objectOf = (id: string, size: number): object => ({ object_id: id, data: { text: 'x'.repeat(size) } });
const batchOf = (id: string, size: number): object => ({ batch_id: id, objects: [objectOf(id, size)] });
const post = (id: string, size: number, key = project.keys.producer): Promise<Reply> =>
  api.call('POST', '/batches', { key, body: batchOf(id, size), headers: { Prefer: 'respond-async' } });
const putLines = (id: string, size: number, count: number): Promise<Reply> => {
  const lines = Array.from({ length: count }, (_, i) => `${JSON.stringify(objectOf(String(i), size))}\n`);
  const headers = { ...NDJSON, Prefer: 'respond-async' };
  return api.call('PUT', `/batches/${id}`, { key: project.keys.producer, body: lines.join(''), headers });
};

async function accept(id: string, size: number): Promise<Job> {
  const reply = await post(id, size);
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  return reply.json<Job>();
}

/** The ids of the jobs and uploads with a stored body. */
async function stored(): Promise<string[]> {
  const text = 'SELECT DISTINCT job_id FROM job_parts WHERE project_id = $1 ORDER BY job_id';
  return (await api.db.sql<{ job_id: string }>(text, [project.projectId])).map((row) => row.job_id);
}

async function failJobs(): Promise<void> {
  const text = `UPDATE jobs SET status = 'failed', finished_at = now(), problem = '{}' WHERE project_id = $1`;
  await api.db.sql(text, [project.projectId]);
}

describe('a project whose queued jobs have bodies of JOB_BODIES_BYTES_MAX', () => {
  it('gets no further job, while it can write at once and other projects can do both', async () => {
    project = await api.project();
    const jobs = [await accept('a', 400_000), await accept('b', 400_000)];
    for (const reply of [await post('c', 400_000), await putLines('c', 200_000, 4)]) {
      expect(expectProblem(reply, 'unavailable').detail).toContain('JOB_BODIES_BYTES_MAX');
      expect(reply.headers.get('retry-after')).toBe('5');
    }
    expect(await stored()).toEqual(jobs.map(({ id }) => id));
    const now = await api.call('POST', '/batches', { key: project.keys.producer, body: batchOf('c', 400_000) });
    expect(now.status).toBe(201);
    const other = await api.project();
    expect((await post('c', 400_000, other.keys.producer)).status).toBe(202);
    // What is left.
    expect((await post('d', 100_000)).status).toBe(202);
  });

  it('gets the problem too-large for a body that is larger', async () => {
    project = await api.project();
    for (const reply of [await post('large', MAX), await putLines('large', 200_000, 6)]) {
      expect(expectProblem(reply, 'too-large').detail).toContain('JOB_BODIES_BYTES_MAX');
    }
    expect(await stored()).toEqual([]);
  });
});

describe('a stream whose job cannot be stored', () => {
  it('leaves nothing', async () => {
    project = await api.project();
    await api.db.sql(
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$`,
    );
    await api.db.sql('CREATE TRIGGER fail BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION fail()');
    try {
      expectProblem(await putLines('a', 1_000, 1), 'internal');
    } finally {
      await api.db.sql('DROP FUNCTION fail CASCADE');
    }
    expect(await stored()).toEqual([]);
  });
});

describe('the bodies of failed jobs', () => {
  it('are deleted for those of new jobs, the oldest first; then a retry says so', async () => {
    project = await api.project();
    const { admin } = project.keys;
    const [first, second] = [await accept('a', 400_000), await accept('b', 400_000)];
    await failJobs();
    const third = await accept('c', 400_000);
    expect(await stored()).toEqual([second.id, third.id]);

    const retry = ({ url }: Job): Promise<Reply> => api.call('POST', `${url}/retry`, { key: admin });
    expect(expectProblem(await retry(first), 'conflict').detail).toContain('The body of this job was deleted');
    expect((await api.call('GET', first.url, { key: admin })).json()).toMatchObject({ status: 'failed' });
    expect((await retry(second)).status).toBe(202);
    // It is queued again.
    expectProblem(await post('d', 400_000), 'unavailable');
    expect(await stored()).toEqual([second.id, third.id]);
  });
});
