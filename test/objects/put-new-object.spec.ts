import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitForStatus } from '../jobs/jobs.js';
import { kindOf, places, postBatch, type BatchBody, type ObjectBody, type PageBody, type ProblemBody } from './wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  for (const batchId of ['shoes', 'boots']) await postBatch(api, project.keys.producer, batchId, []);
});
afterAll(() => api.stop());

const path = (id: string): string => `/objects/${encodeURIComponent(id)}`;
const put = (id: string, body: unknown, headers = {}): Promise<Reply> =>
  api.call('PUT', path(id), { key: project.keys.producer, body, headers });
const read = (id: string): Promise<Reply> => api.call('GET', path(id), { key: project.keys.analyst });

async function countOf(batchId: string): Promise<number> {
  const reply = await api.call('GET', `/batches?batch_id=${batchId}`, { key: project.keys.analyst });
  return reply.json<PageBody<BatchBody>>().results[0]?.object_count ?? NaN;
}

describe('PUT of an object that does not exist', () => {
  it('creates it in the batch of the body with 201, Location and ETag, and counts it', async () => {
    const before = await countOf('shoes');
    const reply = await put('new/ü', { batch_id: 'shoes', data: { n: 1 }, subject: 's' });
    expect([reply.status, reply.json()]).toEqual([
      201,
      {
        object_id: 'new/ü',
        batch_id: 'shoes',
        subject: 's',
        observed_at: expect.any(String),
        data: [{ key: 'n', value: 1 }],
      },
    ]);
    const get = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
    expect([get.text, get.headers.get('etag')]).toEqual([reply.text, reply.headers.get('etag')]);
    expect(await countOf('shoes')).toBe(before + 1);
  });

  it('replaces the object when the same request is sent again', async () => {
    const body = { batch_id: 'shoes', object_id: 'again', data: { n: 1 }, observed_at: '2024-05-01T00:00:00Z' };
    const replies = [await put('again', body), await put('again', body)];
    expect(replies.map(({ status }) => status)).toEqual([201, 200]);
    expect(replies[1]?.text).toBe(replies[0]?.text);
  });

  it('returns 404 without a batch_id, and creates nothing', async () => {
    const reply = await put('no batch', { data: {} });
    expect([kindOf(reply), reply.json<ProblemBody>().detail]).toEqual([
      '404 not-found',
      'Object not found. To create it, send its batch_id.',
    ]);
    expect((await read('no batch')).status).toBe(404);
  });

  it("rejects an unknown batch and another project's batch with a pointer", async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'theirs', []);
    for (const batch_id of ['never', 'theirs']) {
      const reply = await put('homeless', { batch_id, data: {} });
      expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', '/batch_id']);
    }
    expect((await read('homeless')).status).toBe(404);
  });

  it('rejects an object_id that differs from the path', async () => {
    const reply = await put('in path', { batch_id: 'shoes', object_id: 'in body', data: {} });
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', '/object_id']);
    expect((await read('in path')).status).toBe(404);
  });

  it.each(['x'.repeat(256), 'a\u0007b'])('rejects an id that no object can have: %s', async (id) => {
    expect(kindOf(await put(id, { batch_id: 'shoes', data: {} }))).toBe('400 invalid-path');
  });

  it.each(['keys', 'facets', 'aggregate', 'export', 'search', 'changes'])('rejects the reserved id %s', async (id) => {
    // Where a route has the name, it does not support PUT.
    const expected = ['400 invalid-path', '405 method-not-allowed'];
    expect(expected).toContain(kindOf(await put(id, { batch_id: 'shoes', data: {} })));
  });

  it('creates it with If-None-Match: *, which then protects it', async () => {
    const headers = { 'If-None-Match': '*' };
    expect((await put('only once', { batch_id: 'shoes', data: { n: 1 } }, headers)).status).toBe(201);
    const second = await put('only once', { batch_id: 'shoes', data: { n: 2 } }, headers);
    expect(kindOf(second)).toBe('412 precondition-failed');
    expect((await read('only once')).json<ObjectBody>().data).toEqual([{ key: 'n', value: 1 }]);
  });

  it.each(['*', '"some"'])('rejects If-Match: %s, and creates and counts nothing', async (tag) => {
    const before = await countOf('shoes');
    const reply = await put('not created', { batch_id: 'shoes', data: {} }, { 'If-Match': tag });
    expect(kindOf(reply)).toBe('412 precondition-failed');
    expect((await read('not created')).status).toBe(404);
    expect(await countOf('shoes')).toBe(before);
  });

  it('reports an error of the body before a failed precondition', async () => {
    const reply = await put('no reason', { batch_id: 'never', data: {} }, { 'If-Match': '*' });
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', '/batch_id']);
  });

  it('is created once by 20 concurrent clients, and replaced by the others', async () => {
    const before = await countOf('shoes');
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => put('raced', { batch_id: 'shoes', data: { n } })),
    );
    const statuses = replies.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array.from({ length: 19 }, () => 200), 201]);
    expect(await countOf('shoes')).toBe(before + 1);
  });

  it('is created in one of two batches by concurrent clients, and rejected by the others', async () => {
    const before = (await countOf('shoes')) + (await countOf('boots'));
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => put('torn', { batch_id: n % 2 === 0 ? 'shoes' : 'boots', data: { n } })),
    );
    const { batch_id } = (await read('torn')).json<ObjectBody>();
    for (const [n, reply] of replies.entries()) {
      const isOwn = (n % 2 === 0 ? 'shoes' : 'boots') === batch_id;
      expect(isOwn ? reply.status < 300 : kindOf(reply) === '400 invalid-body').toBe(true);
    }
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    expect((await countOf('shoes')) + (await countOf('boots'))).toBe(before + 1);
  });

  it('is created by a job with Prefer: respond-async', async () => {
    const { producer: key } = project.keys;
    const job = await submitJob(api, 'PUT', path('by job'), { key, body: { batch_id: 'shoes', data: { n: 1 } } });
    expect(await waitForStatus(api, key, job, 'succeeded', 'failed')).toMatchObject({
      status: 'succeeded',
      result_status: 201,
      result: { object_id: 'by job', batch_id: 'shoes' },
    });
  });

  it('counts for the quota of the project', async () => {
    const limited = await TestApi.start({ PROJECT_OBJECTS_MAX: '1' });
    try {
      const { keys } = await limited.project();
      await postBatch(limited, keys.producer, 'b', []);
      const send = (id: string): Promise<Reply> =>
        limited.call('PUT', path(id), { key: keys.producer, body: { batch_id: 'b', data: {} } });
      expect((await send('first')).status).toBe(201);
      expect(kindOf(await send('second'))).toBe('429 quota-exceeded');
      expect((await send('first')).status).toBe(200);
    } finally {
      await limited.stop();
    }
  });
});
