import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import type { WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
});
beforeEach(async () => {
  project = await api.project();
});
afterAll(() => api.stop());

type Headers = Record<string, string>;
const line = (n: number): string => `${JSON.stringify({ object_id: 'o', data: [{ key: 'n', value: n }] })}\n`;

/** The same write as JSON and as NDJSON: replaces the batch `b` with one object with the number `n`. */
const WRITES: [string, (n: number, headers?: Headers) => Promise<Reply>][] = [
  [
    'JSON',
    (n, headers) =>
      api.call('PUT', PATH, { key: project.keys.admin, body: `{"objects":[${line(n)}]}`, headers: { ...headers } }),
  ],
  [
    'NDJSON',
    (n, headers) =>
      api.call('PUT', PATH, {
        key: project.keys.admin,
        body: line(n),
        headers: { 'Content-Type': 'application/x-ndjson', ...headers },
      }),
  ],
];
const PATH = '/batches/b?on_conflict=replace';

async function read(): Promise<{ n: unknown; etag: string }> {
  const reply = await api.call('GET', '/batches/b', { key: project.keys.analyst });
  const n = reply.json<WholeBatchBody>().objects[0]?.data[0]?.value;
  return { n, etag: reply.headers.get('etag') ?? '' };
}

describe.each(WRITES)('PUT of a batch as %s', (_, put) => {
  it('with If-None-Match: * creates a batch, and returns 412 for an existing one', async () => {
    expect((await put(1, { 'If-None-Match': '*' })).status).toBe(201);
    const rejected = await put(2, { 'If-None-Match': '*' });
    expectProblem(rejected, 'precondition-failed');
    expect(rejected.headers.get('etag')).toBe((await read()).etag);
    expect((await read()).n).toBe(1);
  });

  it('with If-Match replaces only the batch with that ETag', async () => {
    expectProblem(await put(1, { 'If-Match': '*' }), 'precondition-failed');
    expect((await api.call('GET', '/batches/b', { key: project.keys.analyst })).status).toBe(404);
    await put(1);
    const { etag } = await read();
    expect((await put(2, { 'If-Match': etag })).status).toBe(200);
    expectProblem(await put(3, { 'If-Match': etag }), 'precondition-failed');
    expect((await read()).n).toBe(2);
    expect((await put(4, { 'If-Match': '*' })).status).toBe(200);
  });
});

describe('DELETE of a batch', () => {
  const remove = (headers: Headers, path = '/batches/b?cascade=true'): Promise<Reply> =>
    api.call('DELETE', path, { key: project.keys.admin, headers });

  it('with If-Match deletes only the batch with that ETag', async () => {
    expectProblem(await remove({ 'If-Match': '*' }), 'not-found');
    const [, put] = WRITES[0] ?? [];
    await put?.(1);
    const { etag } = await read();
    await put?.(2);
    const rejected = await remove({ 'If-Match': etag });
    expectProblem(rejected, 'precondition-failed');
    expect(rejected.headers.get('etag')).toBe((await read()).etag);
    expectProblem(await remove({ 'If-None-Match': '*' }), 'precondition-failed');
    expect((await remove({ 'If-Match': (await read()).etag })).status).toBe(204);
  });

  it('without cascade returns 409 for a batch with objects, for any preconditions', async () => {
    const [, put] = WRITES[0] ?? [];
    await put?.(1);
    for (const headers of [{ 'If-Match': '"stale"' }, { 'If-None-Match': '*' }, { 'If-Match': (await read()).etag }]) {
      expectProblem(await remove(headers, '/batches/b'), 'batch-not-empty');
    }
    expect((await read()).n).toBe(1);
  });
});

describe('a job', () => {
  it('checks its preconditions when it runs', async () => {
    const { admin: key } = project.keys;
    const job = (n: number): ReturnType<typeof submitJob> =>
      submitJob(api, 'PUT', PATH, { key, body: `{"objects":[${line(n)}]}`, headers: { 'If-None-Match': '*' } });
    const [first, second] = [await job(1), await job(2)];
    const results = [await waitForJob(api, key, first), await waitForJob(api, key, second)];
    expect(results.map(({ status }) => status).sort()).toEqual(['failed', 'succeeded']);
    expect(results.find(({ status }) => status === 'failed')?.problem).toMatchObject({ status: 412 });
  });
});

describe('POST of a batch', () => {
  it('returns the ETag of the batch', async () => {
    const { producer: key } = project.keys;
    const reply = await api.call('POST', '/batches', { key, body: `{"batch_id":"b","objects":[${line(1)}]}` });
    expect([reply.status, reply.headers.get('etag')]).toEqual([201, (await read()).etag]);
  });
});
