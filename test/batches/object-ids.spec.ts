import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { submitJob, waitForStatus } from '../jobs/jobs.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf, places, postBatch, type ObjectBody, type ProblemBody, type WholeBatchBody } from '../objects/wire.js';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const NDJSON = { 'Content-Type': 'application/x-ndjson' };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

type Way = 'POST' | 'PUT' | 'lines';

/** Sends objects, each as JSON text. */
function send(way: Way, batchId: string, objects: string[], query = '', headers = {}): Promise<Reply> {
  const { producer: key } = project.keys;
  const path = `/batches/${encodeURIComponent(batchId)}${query}`;
  const list = `"objects":[${objects.join()}]`;
  if (way === 'PUT') return api.call('PUT', path, { key, body: `{${list}}`, headers });
  if (way === 'lines') {
    // Empty lines have no position.
    return api.call('PUT', path, { key, body: `\n${objects.join('\n\n')}\n`, headers: { ...NDJSON, ...headers } });
  }
  return api.call('POST', `/batches${query}`, {
    key,
    body: `{${list},"batch_id":${JSON.stringify(batchId)}}`,
    headers,
  });
}

async function idsIn(batchId: string): Promise<string[]> {
  const reply = await api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: project.keys.analyst });
  return reply.json<WholeBatchBody>().objects.map((one) => one.object_id);
}

const OBJECTS = ['{"data":{"n":0}}', '{"object_id":"ID","data":{"n":1}}', '{"subject":"s","data":[]}'];
const withId = (id: string): string[] => OBJECTS.map((text) => text.replace('ID', id));

describe('objects of a batch without an object_id', () => {
  it.each<Way>(['POST', 'PUT', 'lines'])('get <batch_id>.<position> by %s', async (way) => {
    const batchId = `ids by ${way}`;
    expect((await send(way, batchId, withId(`${way} given`))).status).toBe(201);
    expect(await idsIn(batchId)).toEqual([`${batchId}.0`, `${way} given`, `${batchId}.2`]);
    const first = await api.call('GET', `/objects/${encodeURIComponent(`${batchId}.0`)}`, {
      key: project.keys.analyst,
    });
    expect(first.json<ObjectBody>()).toMatchObject({ batch_id: batchId, data: [{ key: 'n', value: 0 }] });
  });

  it('get the same ids when the batch is put again, as JSON or as NDJSON', async () => {
    expect((await send('PUT', 'repeated', withId('repeated given'))).status).toBe(201);
    for (const way of ['PUT', 'lines'] as const) {
      expect((await send(way, 'repeated', withId('repeated given'))).status).toBe(200);
    }
    expect(await idsIn('repeated')).toEqual(['repeated.0', 'repeated given', 'repeated.2']);
  });

  it.each<Way>(['PUT', 'lines'])('get positions across chunks of the request by %s', async (way) => {
    const batchId = `long by ${way}`;
    const objects = Array.from({ length: 1_100 }, () => '{"data":{}}');
    expect((await send(way, batchId, objects)).status).toBe(201);
    expect(await idsIn(batchId)).toEqual(objects.map((_, i) => `${batchId}.${String(i)}`));
  });

  it.each<Way>(['POST', 'PUT', 'lines'])('keep their positions where others are rejected, by %s', async (way) => {
    const batchId = `partial by ${way}`;
    const objects = ['{"data":{}}', '{"data":7}', '{"data":{}}'];
    const reply = await send(way, batchId, objects, '?mode=partial');
    expect([reply.status, reply.json()]).toEqual([207, expect.objectContaining({ stored: 2, rejected: 1 })]);
    expect(await idsIn(batchId)).toEqual([`${batchId}.0`, `${batchId}.2`]);
  });

  it('count in a dry run and store nothing', async () => {
    const reply = await send('PUT', 'dry', withId('dry given'), '?dry_run=true');
    expect([reply.status, reply.json()]).toEqual([200, expect.objectContaining({ outcome: 'create', stored: 3 })]);
    expect((await send('PUT', 'dry', withId('dry given'))).status).toBe(201);
  });

  it.each([
    ['/batches/job-json', `{"objects":[${OBJECTS[0] ?? ''}]}`, {}],
    ['/batches/job-lines', OBJECTS[0], NDJSON],
  ])('get their ids when a job stores them: %s', async (path, body, headers) => {
    const job = await submitJob(api, 'PUT', path, { key: project.keys.producer, body, headers });
    expect(await waitForStatus(api, project.keys.producer, job, 'succeeded', 'failed')).toMatchObject({
      status: 'succeeded',
    });
    const batchId = path.slice('/batches/'.length);
    expect(await idsIn(batchId)).toEqual([`${batchId}.0`]);
  });

  it.each<Way>(['POST', 'PUT', 'lines'])('are a conflict where the id exists or was sent, by %s', async (way) => {
    const batchId = `taken by ${way}`;
    await postBatch(api, project.keys.producer, `${batchId} elsewhere`, [{ object_id: `${batchId}.1`, data: {} }]);
    const sent = ['{"data":{}}', '{"data":{}}', `{"object_id":"${batchId}.0","data":{}}`];
    const reply = await send(way, batchId, sent);
    const pointers = way === 'lines' ? ['/lines/4', '/lines/6'] : ['/objects/1', '/objects/2'];
    expect([kindOf(reply), places(reply)]).toEqual(['409 conflict', pointers.map((one) => `${one}/object_id`)]);
    expect(reply.json<ProblemBody>().errors?.map(({ detail }) => detail)).toEqual([
      `"${batchId}.1" exists already in another batch`,
      `"${batchId}.0" appears twice in this request`,
    ]);
  });

  it.each<Way>(['POST', 'PUT', 'lines'])(
    'are rejected where batch_id leaves no room for the position, by %s',
    async (way) => {
      // 253 characters leave room for one digit; they have twice as many UTF-16 units.
      const batchId = '👢'.repeat(253);
      const objects = Array.from({ length: 11 }, () => '{"data":{}}');
      const reply = await send(way, batchId, objects);
      expect(kindOf(reply)).toBe('400 invalid-body');
      expect(places(reply)).toEqual([way === 'lines' ? '/lines/22/object_id' : '/objects/10/object_id']);
      expect(reply.json<ProblemBody>().detail).toMatch(
        /object_id is missing, and <batch_id>\.<position> would have more than 255 characters; send an object_id\.$/,
      );
      const shorter = await send(way, batchId, objects.slice(0, 10));
      expect(shorter.status).toBe(201);
      await api.call('DELETE', `/batches/${encodeURIComponent(batchId)}?cascade=true`, { key: project.keys.admin });
    },
  );

  it('add no error to that of an invalid batch_id', async () => {
    expect(places(await send('POST', 'x'.repeat(300), ['{"data":{}}']))).toEqual(['/batch_id']);
  });

  it.each<Way>(['PUT', 'lines'])('may not have a null instead of an id, by %s', async (way) => {
    const reply = await send(way, 'null', ['{"object_id":null,"data":{}}']);
    expect([kindOf(reply), places(reply)[0]?.endsWith('/object_id')]).toEqual(['400 invalid-body', true]);
  });
});

describe('POST /objects without an object_id', () => {
  const post = (headers = {}): Promise<Reply> =>
    api.call('POST', '/objects', { key: project.keys.producer, body: { batch_id: 'alone', data: {} }, headers });

  beforeAll(() => postBatch(api, project.keys.producer, 'alone', []));

  it('creates a UUID of version 7, in the order of arrival', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const reply = await post();
      const { object_id } = reply.json<ObjectBody>();
      expect([reply.status, object_id]).toEqual([201, expect.stringMatching(UUID_V7)]);
      expect(reply.headers.get('location')).toBe(`${api.origin}/api/v1/objects/${object_id}`);
      ids.push(object_id);
    }
    expect(ids).toEqual([...new Set(ids)].sort());
  });

  it('creates one object for one Idempotency-Key', async () => {
    const headers = { 'Idempotency-Key': 'one-uuid' };
    const [first, second] = [await post(headers), await post(headers)];
    expect([first.status, second.status, second.text]).toEqual([201, 201, first.text]);
  });

  it('creates the id in the job with Prefer: respond-async', async () => {
    const body = { batch_id: 'alone', data: {} };
    const job = await submitJob(api, 'POST', '/objects', { key: project.keys.producer, body });
    const done = await waitForStatus(api, project.keys.producer, job, 'succeeded', 'failed');
    expect(done.result).toMatchObject({ object_id: expect.stringMatching(UUID_V7), batch_id: 'alone' });
  });
});
