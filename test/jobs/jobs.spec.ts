import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitFor, waitForJob, getJob, type Job } from './jobs.js';

let api: TestApi;
let project: TestProject;
let producer: string;
let analyst: string;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  ({ producer, analyst } = project.keys);
});
afterAll(() => api.stop());

const shoe = (object_id: string): object => ({ object_id, data: [{ key: 'size', value: 42 }] });

/** Removes the values of created_at and observed_at. */
function withoutTimes(text: string): string {
  return text.replace(/"(created_at|observed_at)":"[^"]+"/g, '"$1":""');
}

describe('a request with Prefer: respond-async', () => {
  it('returns a job, which contains the result when it has succeeded', async () => {
    const body = { batch_id: 'later', objects: [shoe('later-1')] };
    const job = await submitJob(api, 'POST', '/batches', { key: producer, body });
    expect(job).toEqual({
      id: expect.stringMatching(/^\d+$/),
      status: 'queued',
      attempts: 0,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      finished_at: null,
      url: `${api.origin}/api/v1/jobs/${job.id}`,
    });
    const done = await waitForJob(api, producer, job);
    expect(done).toMatchObject({ ...job, status: 'succeeded', attempts: 1, finished_at: expect.any(String) });
    expect(Date.parse(done.finished_at ?? '')).toBeGreaterThanOrEqual(Date.parse(job.created_at));
    expect(done.result).toMatchObject({ batch_id: 'later', object_count: 1 });
    expect(await (await api.call('GET', '/batches/later', { key: analyst })).json()).toEqual(body);
  });

  it('has a greater id, and a later time, than the jobs that were accepted while its stream arrived', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const client = writable.getWriter();
    const headers = { 'X-Api-Key': producer, 'Content-Type': 'application/x-ndjson', Prefer: 'respond-async' };
    const init = { method: 'PUT', headers, body: readable, duplex: 'half' } as const;
    const reply = fetch(`${api.origin}/api/v1/batches/arriving`, init);
    const line = `${JSON.stringify(shoe('arriving'))}\n`;
    await client.write(Buffer.from(line.padStart(70 * 1024)));
    // The request has begun, so that its own number is less.
    await waitFor(async () => {
      const parts = await api.db.sql('SELECT FROM job_parts WHERE project_id = $1', [project.projectId]);
      return parts.length > 0 ? true : undefined;
    });
    const meanwhile = await submitJob(api, 'POST', '/batches', {
      key: producer,
      body: { batch_id: 'meanwhile', objects: [] },
    });
    await waitForJob(api, producer, meanwhile);
    await client.close();
    const job = (await (await reply).json()) as Job;
    expect(BigInt(job.id)).toBeGreaterThan(BigInt(meanwhile.id));
    expect(Date.parse(job.created_at)).toBeGreaterThanOrEqual(Date.parse(meanwhile.created_at));
    expect(await waitForJob(api, producer, job)).toMatchObject({ status: 'succeeded', result: { object_count: 1 } });
  });

  it('has the same result as the response without Prefer, with every digit', async () => {
    const text = (id: string): string =>
      `{"batch_id":"digits","object_id":"${id}","data":[{"key":"n","value":12345678901234567890.0100}]}`;
    await api.call('POST', '/batches', { key: producer, body: { batch_id: 'digits', objects: [] } });
    const now = await api.call('POST', '/objects', { key: producer, body: text('now') });
    expect(now.status).toBe(201);
    const job = await submitJob(api, 'POST', '/objects', { key: producer, body: text('then') });
    expect((await waitForJob(api, producer, job)).result_status).toBe(201);
    const { text: shown } = await api.call('GET', job.url, { key: producer });
    const result = /"result":(.*)\}$/.exec(shown)?.[1] ?? '';
    expect(withoutTimes(result).replace('then', 'now')).toBe(withoutTimes(now.text));
  });

  it.each([
    ['POST', '/batches', { batch_id: 'every-post', objects: [] }],
    ['PUT', '/batches/every-put', { objects: [shoe('every-put')] }],
    ['POST', '/objects', { batch_id: 'digits', ...shoe('every-object') }],
    ['PUT', '/objects/now', { data: [{ key: 'k', value: null }] }],
  ])('is accepted for %s %s', async (method, path, body) => {
    const done = await waitForJob(api, producer, await submitJob(api, method, path, { key: producer, body }));
    expect([done.status, done.problem]).toEqual(['succeeded', undefined]);
  });

  it('returns result_status 201 for a new batch and 200 for an existing one', async () => {
    for (const status of [201, 200]) {
      expect((await api.call('PUT', '/batches/twice-now', { key: producer, body: { objects: [] } })).status).toBe(
        status,
      );
      const job = await submitJob(api, 'PUT', '/batches/twice', { key: producer, body: { objects: [] } });
      expect(await waitForJob(api, producer, job)).toMatchObject({ status: 'succeeded', result_status: status });
    }
  });

  it('accepts an NDJSON stream larger than BODY_LIMIT_BYTES', async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => JSON.stringify(shoe(`line-${String(i)}`))).join('\n');
    expect(lines.length).toBeGreaterThan(1024 ** 2);
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const job = await submitJob(api, 'PUT', '/batches/lines', { key: producer, body: lines, headers });
    const done = await waitForJob(api, producer, job);
    expect(done).toMatchObject({ status: 'succeeded', result: { batch_id: 'lines', object_count: 30_000 } });
  });

  it('applies If-Match, mode=partial and dry_run', async () => {
    const key = producer;
    const stale = await submitJob(api, 'PUT', '/objects/now', {
      key,
      body: { data: [] },
      headers: { 'If-Match': '"x"' },
    });
    expect((await waitForJob(api, key, stale)).problem).toMatchObject({ status: 412 });
    const body = { batch_id: 'part', objects: [shoe('part-1'), shoe('later-1')] };
    const partial = await submitJob(api, 'POST', '/batches?mode=partial', { key, body });
    expect(await waitForJob(api, key, partial)).toMatchObject({
      status: 'succeeded',
      result_status: 207,
      result: { batch_id: 'part', stored: 1, rejected: 1 },
    });
    const dry = await submitJob(api, 'POST', '/batches?dry_run=true', { key, body: { batch_id: 'dry', objects: [] } });
    expect(await waitForJob(api, key, dry)).toMatchObject({ status: 'succeeded', result: { dry_run: true } });
    expectProblem(await api.call('GET', '/batches/dry', { key: analyst }), 'not-found');
  });

  it('deletes the stored body after success', async () => {
    const job = await submitJob(api, 'POST', '/batches', {
      key: producer,
      body: { batch_id: 'forgotten', objects: [] },
    });
    await waitForJob(api, producer, job);
    expect(await api.db.sql('SELECT FROM job_parts WHERE job_id = $1', [job.id])).toEqual([]);
  });
});

describe('an invalid request with Prefer: respond-async', () => {
  it.each<[string, string, unknown]>([
    ['POST', '/batches', '{"batch_id":'],
    ['POST', '/batches', ''],
    ['POST', '/batches', { batch_id: 'bad', objects: [{ object_id: 7 }] }],
    ['POST', '/batches', { batch_id: 'later', objects: [shoe('later-1')] }],
    ['POST', '/objects', { batch_id: 'no such batch', ...shoe('o') }],
    ['PUT', '/objects/no-such-object', { data: [] }],
    ['PUT', '/batches/later', { objects: [] }],
  ])('fails after one attempt with the same problem as without Prefer: %s %s %j', async (method, path, body) => {
    const now = await api.call(method, path, { key: producer, body });
    expect(now.status).toBeLessThan(500);
    const job = await waitForJob(api, producer, await submitJob(api, method, path, { key: producer, body }));
    expect([job.status, job.attempts, job.result, job.result_status]).toEqual(['failed', 1, undefined, undefined]);
    const { problem } = job;
    expect({ ...problem, request_id: '' }).toEqual({ ...now.json<object>(), request_id: '' });
    expect(problem?.request_id).toMatch(/^[\w-]+$/);
  });

  it('is rejected without a job for an invalid query, role or key', async () => {
    const headers = { Prefer: 'respond-async' };
    const body = { batch_id: 'x', objects: [] };
    expectProblem(await api.call('POST', '/batches?nonsense=1', { key: producer, body, headers }), 'invalid-query');
    expectProblem(await api.call('POST', '/batches', { key: analyst, body, headers }), 'forbidden');
    expectProblem(await api.call('POST', '/batches', { body, headers }), 'unauthenticated');
  });
});

describe('Idempotency-Key with Prefer: respond-async', () => {
  it('returns the same job for a retry', async () => {
    const options = { key: producer, body: { batch_id: 'same', objects: [] }, headers: { 'Idempotency-Key': 'one' } };
    const first = await submitJob(api, 'POST', '/batches', options);
    await waitForJob(api, producer, first);
    expect(await submitJob(api, 'POST', '/batches', options)).toEqual(first);
    const jobs = await api.db.sql('SELECT FROM jobs WHERE input LIKE $1 AND job_id >= $2', ['%', first.id]);
    expect(jobs).toHaveLength(1);
  });
});

describe('GET /jobs', () => {
  let others: TestProject;
  let jobs: Job[];

  beforeAll(async () => {
    others = await api.project();
    const { keys } = others;
    // Sequential: of two concurrent jobs for the same batch either may succeed.
    const send = async (key: string, batch_id: string): Promise<Job> => {
      const job = await submitJob(api, 'POST', '/batches', { key, body: { batch_id, objects: [] } });
      await waitForJob(api, keys.admin, job);
      return job;
    };
    jobs = [
      await send(keys.producer, 'one'),
      await send(keys.admin, 'two'),
      await send(keys.producer, 'three'),
      await send(keys.producer, 'three'),
    ];
  });

  async function ids(query: string, key = others.keys.admin): Promise<string[]> {
    const reply = await api.call('GET', `/jobs${query}`, { key });
    expect(reply.status).toBe(200);
    return reply.json<{ results: Job[] }>().results.map(({ id }) => id);
  }

  /** The ids of jobs by their index in the order of acceptance. */
  const at = (...indexes: number[]): (string | undefined)[] => indexes.map((index) => jobs[index]?.id);

  it('returns pages, newest first, and filters by status', async () => {
    expect(await ids('')).toEqual(at(3, 2, 1, 0));
    expect(await ids('?status=failed')).toEqual(at(3));
    expect(await ids('?status=succeeded')).toEqual(at(2, 1, 0));
    expect(await ids('?status=queued')).toEqual([]);
    const first = (await api.call('GET', '/jobs?page_size=3', { key: others.keys.admin })).json<{
      count: number;
      next: string;
      results: Job[];
    }>();
    expect([first.count, first.results.map(({ id }) => id)]).toEqual([4, at(3, 2, 1)]);
    const second = await api.call('GET', first.next, { key: others.keys.admin });
    expect(second.json<{ results: Job[] }>().results.map(({ id }) => id)).toEqual(at(0));
    const crossed = first.next.replace('?', '?status=failed&');
    expectProblem(await api.call('GET', crossed, { key: others.keys.admin }), 'invalid-cursor');
  });

  it('includes problems, and omits results', async () => {
    const { results } = (await api.call('GET', '/jobs', { key: others.keys.admin })).json<{ results: Job[] }>();
    expect(results[0]?.problem).toMatchObject({ status: 409 });
    expect(results.every((job) => !('result' in job))).toBe(true);
    expect((await getJob(api, others.keys.admin, results[1] as Job)).result).toMatchObject({ batch_id: 'three' });
  });

  it('hides jobs of other keys from producers and devices, like GET /jobs/{id}', async () => {
    const { keys } = others;
    expect(await ids('', keys.producer)).toEqual(at(3, 2, 0));
    expect(await ids('', keys.analyst)).toEqual(at(3, 2, 1, 0));
    expect(await ids('', keys.device)).toEqual([]);
    const url = jobs[1]?.url ?? '';
    for (const key of [keys.producer, keys.device]) expectProblem(await api.call('GET', url, { key }), 'not-found');
    for (const key of [keys.admin, keys.analyst]) expect((await api.call('GET', url, { key })).status).toBe(200);
  });

  it('rejects an unknown status', async () => {
    const reply = await api.call('GET', '/jobs?status=done', { key: others.keys.admin });
    expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual(['status']);
  });

  it.each(['0', '-1', '01', '1x', '9'.repeat(19), '9'.repeat(40), '%20', 'x', '%F0%9F%91%9F'])(
    'returns 404 for the job id %s',
    async (id) => {
      for (const [method, path] of [
        ['GET', `/jobs/${id}`],
        ['POST', `/jobs/${id}/retry`],
      ] as const) {
        const reply: Reply = await api.call(method, path, { key: others.keys.admin });
        expect(expectProblem(reply, 'not-found').detail).toBe('Job not found.');
      }
    },
  );

  it('allows only admins to retry a job, and only if it has failed', async () => {
    const [succeeded, , , failed] = jobs as [Job, Job, Job, Job];
    const { admin, producer: key } = others.keys;
    expectProblem(await api.call('POST', `${succeeded.url}/retry`, { key: admin }), 'job-not-failed');
    expectProblem(await api.call('POST', `${failed.url}/retry`, { key }), 'forbidden');
    await api.call('DELETE', '/batches/three', { key: admin });
    const reply = await api.call('POST', `${failed.url}/retry`, { key: admin });
    expect([reply.status, reply.json<Job>().id]).toEqual([202, failed.id]);
    expect(reply.json<Job>().problem).toBeUndefined();
    expect(await waitForJob(api, admin, failed)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect((await api.call('GET', '/batches/three', { key: admin })).status).toBe(200);
  });
});
