import { BatchService } from '#batches';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { kindOf, postBatch, type BatchBody, type PageBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start();
  project = await api.project();
  await postBatch(api, project.keys.producer, 'shoes', [
    { object_id: 's1', data: { type: 'shoe', size: 42 } },
    { object_id: 's2', data: [], subject: 'shelf-7', observed_at: '2024-05-01T12:00:00' },
  ]);
  await postBatch(api, project.keys.producer, 'boots', [{ object_id: 'b1', data: { type: 'boot' } }]);
});
afterAll(() => api.stop());

const read = (batchId: string, headers = {}): Promise<Reply> =>
  api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: project.keys.analyst, headers });

async function etagOf(batchId: string): Promise<string> {
  return (await read(batchId)).headers.get('etag') ?? '';
}

describe('GET /batches/{batch_id}', () => {
  it('gives what was sent and adds nothing that was left out', async () => {
    const reply = await read('shoes');
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
    expect(reply.json<WholeBatchBody>()).toEqual({
      batch_id: 'shoes',
      objects: [
        {
          object_id: 's1',
          data: [
            { key: 'type', value: 'shoe' },
            { key: 'size', value: 42 },
          ],
        },
        { object_id: 's2', data: [], subject: 'shelf-7', observed_at: '2024-05-01T12:00:00Z' },
      ],
    });
  });

  it.each([0, 1, 999, 1_000, 1_001, 2_000, 2_001])('gives all of %d objects in the order sent', async (count) => {
    const ids = Array.from({ length: count }, (_, i) => `n${String(count)}-${String(i)}`);
    const objects = ids.map((object_id) => ({ object_id, data: [] }));
    await postBatch(api, project.keys.producer, `count-${String(count)}`, objects);
    expect((await read(`count-${String(count)}`)).json()).toEqual({ batch_id: `count-${String(count)}`, objects });
  });

  /** Reads a batch of 3,000 objects; what happens to it does so when the first piece is out and the others have not been read. */
  async function readMeanwhile(
    name: string,
    happen: () => Promise<unknown>,
  ): Promise<{ text: string; error?: unknown }> {
    const objects = Array.from({ length: 3_000 }, (_, i) => ({
      object_id: `${name}-${String(i)}`,
      data: { a: 'x'.repeat(50) },
    }));
    await postBatch(api, project.keys.producer, name, objects);
    const { stream } = await api.app.get(BatchService).open(project.projectId, name);
    let text = '';
    try {
      for await (const piece of stream) {
        if (text === '') await happen();
        text += String(piece);
      }
      return { text };
    } catch (error) {
      return { text, error };
    }
  }
  const brokenOff = {
    text: expect.stringMatching(/"\}\]\}$/),
    error: new Error('the batch was changed while it was being read'),
  };
  const change = async (method: string, path: string, body?: object): Promise<void> => {
    const reply = await api.call(method, path, { key: project.keys.admin, body });
    expect([reply.status < 300, reply.text]).toEqual([true, reply.text]);
  };

  it.each<[string, string, string, object | undefined]>([
    ['deleted', 'DELETE', '/batches/m-deleted?cascade=true', undefined],
    ['robbed of an object', 'DELETE', '/objects/m-robbed of an object-2999', undefined],
    ['changed in an object', 'PUT', '/objects/m-changed in an object-0', { data: [] }],
    ['replaced', 'PUT', '/batches/m-replaced?on_conflict=replace', { objects: [] }],
  ])('breaks off rather than end well, when the batch is %s meanwhile', async (what, method, path, body) => {
    expect(await readMeanwhile(`m-${what}`, () => change(method, path, body))).toEqual(brokenOff);
  });

  it('breaks off when an object came among those read, from a server whose clock is behind', async () => {
    const amongThem = async (): Promise<void> => {
      await api.db.database.query(
        `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data)
         SELECT project_id, batch_id, 'among them', max(seq) - 1, now(), '[]' FROM objects
         WHERE project_id = $1 AND batch_id = 'm-among' GROUP BY project_id, batch_id`,
        [project.projectId],
      );
      await api.db.database.query(
        `UPDATE batches SET object_count = object_count + 1, revision = revision + 1 WHERE project_id = $1 AND batch_id = 'm-among'`,
        [project.projectId],
      );
    };
    expect(await readMeanwhile('m-among', amongThem)).toEqual(brokenOff);
  });

  it('is read to the end that it had while it grows, with the ETag of that', async () => {
    let etag = '';
    const { text } = await readMeanwhile('m-growing', async () => {
      etag = await etagOf('m-growing');
      await change('POST', '/objects', { batch_id: 'm-growing', object_id: 'one more', data: [] });
      await change('PUT', '/batches/m-growing?on_conflict=skip', { objects: [{ object_id: 'and another', data: [] }] });
    });
    expect((JSON.parse(text) as WholeBatchBody).objects).toHaveLength(3_000);
    const { objects } = (await read('m-growing')).json<WholeBatchBody>();
    expect([objects.length, objects.at(-1)?.object_id]).toEqual([3_002, 'and another']);
    expect(await etagOf('m-growing')).not.toBe(etag);
  });

  it.each<[string, string | undefined]>([
    ['is read while readings arrive', undefined],
    ['breaks off when one of its readings is replaced', '2024-01-01T00:00:00Z'],
  ])('of a feed %s', async (_, time) => {
    const path = `/buildings/HQ/rooms/${time ?? 'any'}/temperatures`;
    const reading = { temperature: 1, ...(time === undefined ? {} : { recorded_at: time }) };
    const { keys, projectId } = await api.project();
    const post = (body: object): Promise<Reply> => api.call('POST', path, { key: keys.producer, body });
    expect((await post([reading, ...Array.from({ length: 2_499 }, () => ({ temperature: 2 }))])).status).toBe(201);
    const list = await api.call('GET', '/batches', { key: keys.admin });
    const day = list.json<PageBody<BatchBody>>().results[0]?.batch_id ?? '';
    const { stream } = await api.app.get(BatchService).open(projectId, day);
    const readAll = async (): Promise<number> => {
      let text = '';
      for await (const piece of stream) {
        expect((await post(reading)).status).toBe(201);
        text += String(piece);
      }
      return (JSON.parse(text) as WholeBatchBody).objects.length;
    };
    if (time === undefined) expect(await readAll()).toBe(2_500);
    else await expect(readAll()).rejects.toThrow('changed while it was being read');
  });

  it('gives an object that was added later at the end', async () => {
    await postBatch(api, project.keys.producer, 'later', [{ object_id: 'z', data: [] }]);
    const body = { batch_id: 'later', object_id: 'a', data: [] };
    expect((await api.call('POST', '/objects', { key: project.keys.producer, body })).status).toBe(201);
    expect((await read('later')).json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(['z', 'a']);
  });

  it('says not found for an id that differs in one byte, and for another project', async () => {
    const other = await api.project();
    expect(kindOf(await read('Shoes'))).toBe('404 not-found');
    expect(kindOf(await read('shoes '))).toBe('404 not-found');
    const foreign = await api.call('GET', '/batches/shoes', { key: other.keys.admin });
    const never = await api.call('GET', '/batches/never', { key: other.keys.admin });
    expect(kindOf(foreign)).toBe('404 not-found');
    const body = (reply: Reply): object => ({ ...reply.json<object>(), instance: '', request_id: '' });
    expect(body(foreign)).toEqual(body(never));
  });

  it('answers 304 for as long as nothing in it changes', async () => {
    const etag = await etagOf('shoes');
    expect(etag).toMatch(/^"[^"]+"$/);
    const reply = await read('shoes', { 'If-None-Match': `"other", W/${etag}` });
    expect([reply.status, reply.text, reply.headers.get('etag')]).toEqual([304, '', etag]);
    expect((await read('shoes', { 'If-None-Match': '"other"' })).status).toBe(200);
  });

  it.each<[string, string, string, object | undefined]>([
    ['added', 'POST', '/objects', { batch_id: 'shoes', object_id: 's3', data: [] }],
    ['replaced', 'PUT', '/objects/s3', { data: { type: 'sandal' } }],
    ['patched', 'PATCH', '/objects/s3', { data: { size: 7 } }],
    ['deleted', 'DELETE', '/objects/s3', undefined],
  ])('changes its ETag when an object is %s, and no other batch does', async (_, method, path, body) => {
    const [shoes, boots] = [await etagOf('shoes'), await etagOf('boots')];
    const headers = method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {};
    const reply = await api.call(method, path, { key: project.keys.admin, body, headers });
    expect(reply.status).toBeLessThan(300);
    expect(await etagOf('shoes')).not.toBe(shoes);
    expect(await etagOf('boots')).toBe(boots);
  });

  it('changes its ETag when the batch is deleted and the same is posted again', async () => {
    const again = { batch_id: 'phoenix', objects: [{ object_id: 'ph1', data: [] }] };
    await postBatch(api, project.keys.producer, again.batch_id, again.objects);
    const etag = await etagOf('phoenix');
    await api.call('DELETE', '/batches/phoenix?cascade=true', { key: project.keys.admin });
    await postBatch(api, project.keys.producer, again.batch_id, again.objects);
    expect(await etagOf('phoenix')).not.toBe(etag);
  });

  it('refuses parameters, which it has none of', async () => {
    const reply = await api.call('GET', '/batches/shoes?include=objects', { key: project.keys.analyst });
    expect(kindOf(reply)).toBe('400 invalid-query');
  });
});
