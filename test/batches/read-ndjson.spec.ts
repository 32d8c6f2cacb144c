import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf, postBatch } from '../objects/wire.js';

const NDJSON = 'application/x-ndjson';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await postBatch(api, project.keys.producer, 'two', [
    { object_id: 't1', data: { size: 42 } },
    { object_id: 't2', data: [], subject: 'shelf-7', observed_at: '2024-05-01T12:00:00' },
  ]);
});
afterAll(() => api.stop());

const read = (batchId: string, headers: Record<string, string> = { Accept: NDJSON }): Promise<Reply> =>
  api.call('GET', `/batches/${batchId}`, { key: project.keys.analyst, headers });

/** The media type, after checking that it states the charset of both, a text and a stream. */
function typeOf({ headers }: Reply): string | undefined {
  const [type, ...parameters] = headers.get('content-type')?.split('; ') ?? [];
  expect(parameters).toEqual(['charset=utf-8']);
  return type;
}

describe('GET /batches/{batch_id} as NDJSON', () => {
  it('returns one object a line as it was sent', async () => {
    const reply = await read('two');
    expect(typeOf(reply)).toBe(NDJSON);
    expect(reply.headers.get('vary')).toContain('Accept');
    expect(reply.text).toBe(
      '{"object_id":"t1","data":[{"key": "size", "value": 42}]}\n' +
        '{"object_id":"t2","data":[],"subject":"shelf-7","observed_at":"2024-05-01T12:00:00Z"}\n',
    );
  });

  it.each([0, 1, 1_000, 1_001, 2_500])('of %d objects is the same batch when it is put again', async (count) => {
    const id = `n${String(count)}`;
    const objects = Array.from({ length: count }, (_, i) => ({
      object_id: `${id}-${String(i)}`,
      data: { i, t: '\n"é' },
    }));
    await postBatch(api, project.keys.producer, id, objects);
    const reply = await read(id);
    const { text } = reply;
    expect(typeOf(reply)).toBe(NDJSON);
    expect(text.split('\n')).toHaveLength(count + 1);
    const other = await api.project();
    const put = (key: string): Promise<Reply> =>
      api.call('PUT', `/batches/${id}`, { key, body: text === '' ? '\n' : text, headers: { 'Content-Type': NDJSON } });
    expect((await put(project.keys.producer)).status).toBe(200);
    expect((await put(other.keys.producer)).status).toBe(201);
    const [mine, theirs] = await Promise.all(
      [project, other].map(({ keys }) => api.call('GET', `/batches/${id}`, { key: keys.analyst })),
    );
    expect(theirs?.text).toBe(mine?.text);
  });

  it.each([
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    ['application/x-ndjson;q=0.5, application/json;q=0.4', NDJSON],
    ['application/x-ndjson;q=0.4, application/*;q=0.5', 'application/json'],
    ['application/json;q=0, */*', NDJSON],
  ])('is what Accept prefers: %s', async (accept, type) => {
    const reply = await read('two', accept === undefined ? {} : { Accept: accept });
    expect([reply.status, typeOf(reply)]).toEqual([200, type]);
  });

  it('is rejected with 406 where Accept allows neither', async () => {
    expect(kindOf(await read('two', { Accept: 'text/csv' }))).toBe('406 not-acceptable');
    expect(kindOf(await read('none'))).toBe('404 not-found');
  });

  it('has an ETag of its own', async () => {
    const etags = [(await read('two', {})).headers.get('etag'), (await read('two')).headers.get('etag')];
    expect(etags[0]).not.toBe(etags[1]);
    const headers = { Accept: NDJSON, 'If-None-Match': etags[1] ?? '' };
    expect((await read('two', headers)).status).toBe(304);
    expect((await read('two', { ...headers, Accept: 'application/json' })).status).toBe(200);
  });
});
