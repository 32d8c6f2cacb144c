import { BatchReader } from '#batches';
import { get as httpGet, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
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
  it('returns the batch as it was sent, without fields that were omitted', async () => {
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

  it.each([0, 1, 999, 1_000, 1_001, 2_000, 2_001])('returns all of %d objects in the order sent', async (count) => {
    const ids = Array.from({ length: count }, (_, i) => `n${String(count)}-${String(i)}`);
    const objects = ids.map((object_id) => ({ object_id, data: [] }));
    await postBatch(api, project.keys.producer, `count-${String(count)}`, objects);
    expect((await read(`count-${String(count)}`)).json()).toEqual({ batch_id: `count-${String(count)}`, objects });
  });

  it('returns objects that were added later at the end', async () => {
    await postBatch(api, project.keys.producer, 'later', [{ object_id: 'z', data: [] }]);
    const body = { batch_id: 'later', object_id: 'a', data: [] };
    expect((await api.call('POST', '/objects', { key: project.keys.producer, body })).status).toBe(201);
    expect((await read('later')).json<WholeBatchBody>().objects.map((one) => one.object_id)).toEqual(['z', 'a']);
  });

  it('returns 404 for an id that differs in one byte, and for another project', async () => {
    const other = await api.project();
    expect(kindOf(await read('Shoes'))).toBe('404 not-found');
    expect(kindOf(await read('shoes '))).toBe('404 not-found');
    const foreign = await api.call('GET', '/batches/shoes', { key: other.keys.admin });
    const never = await api.call('GET', '/batches/never', { key: other.keys.admin });
    expect(kindOf(foreign)).toBe('404 not-found');
    const body = (reply: Reply): object => ({ ...reply.json<object>(), instance: '', request_id: '' });
    expect(body(foreign)).toEqual(body(never));
  });

  it('returns 304 when If-None-Match matches, until the batch changes', async () => {
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
  ])('changes the ETag of this batch only when an object is %s', async (_, method, path, body) => {
    const [shoes, boots] = [await etagOf('shoes'), await etagOf('boots')];
    const headers = method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {};
    const reply = await api.call(method, path, { key: project.keys.admin, body, headers });
    expect(reply.status).toBeLessThan(300);
    expect(await etagOf('shoes')).not.toBe(shoes);
    expect(await etagOf('boots')).toBe(boots);
  });

  it('changes the ETag when the batch is deleted and posted again', async () => {
    const again = { batch_id: 'phoenix', objects: [{ object_id: 'ph1', data: [] }] };
    await postBatch(api, project.keys.producer, again.batch_id, again.objects);
    const etag = await etagOf('phoenix');
    await api.call('DELETE', '/batches/phoenix?cascade=true', { key: project.keys.admin });
    await postBatch(api, project.keys.producer, again.batch_id, again.objects);
    expect(await etagOf('phoenix')).not.toBe(etag);
  });

  it('rejects all query parameters', async () => {
    const reply = await api.call('GET', '/batches/shoes?include=objects', { key: project.keys.analyst });
    expect(kindOf(reply)).toBe('400 invalid-query');
  });
});

describe('GET of a batch that is larger than one chunk', () => {
  const change = async (method: string, path: string, body?: object, key = project.keys.admin): Promise<void> => {
    const reply = await api.call(method, path, { key, body });
    expect([reply.status < 300, reply.text]).toEqual([true, reply.text]);
  };

  /** Starts to read a batch: reads its row and its first chunk. */
  async function startReading(
    batchId: string,
    projectId = project.projectId,
  ): Promise<{ etag: string; body: Readable }> {
    const { batch, body } = await api.app.get(BatchReader).read(projectId, batchId);
    if (typeof body === 'string') throw new Error('the batch fits into one chunk');
    return { etag: `"${BigInt(batch.revision).toString(36)}"`, body };
  }

  async function postLarge(batchId: string, bytes = 50): Promise<object[]> {
    const objects = Array.from({ length: 3_000 }, (_, i) => ({
      object_id: `${batchId}-${String(i)}`,
      data: [{ key: 'a', value: 'x'.repeat(bytes) }],
    }));
    await postBatch(api, project.keys.producer, batchId, objects);
    return objects;
  }

  async function openTransactions(): Promise<number> {
    const [row] = await api.db.sql<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
    );
    return Number(row?.count);
  }

  /** Waits until no transaction is open: closing a connection or response may take a moment. */
  async function expectNoOpenTransaction(): Promise<void> {
    for (let attempt = 0; (await openTransactions()) > 0; attempt++) {
      if (attempt === 200) throw new Error('a transaction was left open');
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  it.each<[string, string, string, object | undefined]>([
    ['deleted', 'DELETE', '/batches/m-deleted?cascade=true', undefined],
    ['reduced by an object', 'DELETE', '/objects/m-reduced by an object-2999', undefined],
    ['changed in an object', 'PUT', '/objects/m-changed in an object-2999', { data: [] }],
    ['extended', 'POST', '/objects', { batch_id: 'm-extended', object_id: 'm-one more', data: [] }],
    ['replaced', 'PUT', '/batches/m-replaced?on_conflict=replace', { objects: [] }],
    ['added to', 'PUT', '/batches/m-added to?on_conflict=skip', { objects: [{ object_id: 'm-another', data: [] }] }],
  ])('returns the state of its ETag when the batch is %s during the read', async (what, method, path, body) => {
    const batchId = `m-${what}`;
    const objects = await postLarge(batchId);
    const before = await etagOf(batchId);
    const reading = await startReading(batchId);
    await change(method, path, body);
    expect(JSON.parse(await text(reading.body))).toEqual({ batch_id: batchId, objects });
    expect(reading.etag).toBe(before);
    if (what !== 'deleted') expect(await etagOf(batchId)).not.toBe(before);
  });

  it('returns one state when a server with a slow clock inserts an object during the read', async () => {
    const objects = await postLarge('m-among');
    const { body } = await startReading('m-among');
    await api.db.sql(
      `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
       SELECT project_id, batch_id, 'among them', max(seq) - 1, now(), '[]', 2 FROM objects
       WHERE project_id = $1 AND batch_id = 'm-among' GROUP BY project_id, batch_id`,
      [project.projectId],
    );
    expect(JSON.parse(await text(body))).toEqual({ batch_id: 'm-among', objects });
  });

  it('returns one state of a feed batch while readings are added and replaced', async () => {
    const path = '/buildings/HQ/rooms/lab/temperatures';
    const { keys, projectId } = await api.project();
    const last = { temperature: 1, recorded_at: '2024-01-01T00:00:00Z' };
    await change('POST', path, [...Array.from({ length: 2_499 }, () => ({ temperature: 2 })), last], keys.producer);
    const list = await api.call('GET', '/batches', { key: keys.admin });
    const day = list.json<PageBody<BatchBody>>().results[0]?.batch_id ?? '';
    const { body } = await startReading(day, projectId);
    let json = '';
    for await (const chunk of body) {
      await change('POST', path, [{ ...last, temperature: 99 }, { temperature: 99 }], keys.producer);
      json += String(chunk);
    }
    const { objects } = JSON.parse(json) as WholeBatchBody;
    expect(objects).toHaveLength(2_500);
    expect(json).not.toContain('99}');
  });

  it('returns one state of 30 MB to a client that pauses while four clients change the batch', async () => {
    const objects = await postLarge('m-busy', 10_000);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const url = `${api.origin}/api/v1/batches/m-busy`;
      httpGet(url, { headers: { 'X-Api-Key': project.keys.analyst } }, resolve).on('error', reject);
    });
    expect(await openTransactions()).toBeGreaterThan(0);
    const writer = async (id: number): Promise<void> => {
      for (let round = 0; round < 10; round++) {
        const name = `m-busy-${String(id)}-${String(round)}`;
        await change('POST', '/objects', { batch_id: 'm-busy', object_id: name, data: [] });
        await change('PUT', `/objects/m-busy-${String(2_999 - id * 10 - round)}`, { data: [] });
        await change('DELETE', `/objects/m-busy-${String(2_900 - id * 10 - round)}`);
      }
    };
    await Promise.all([1, 2, 3, 4].map(writer));
    expect(JSON.parse(await text(response))).toEqual({ batch_id: 'm-busy', objects });
    await expectNoOpenTransaction();
  });

  it('leaves no transaction open when the client disconnects during or before the response', async () => {
    await postLarge('m-aborted', 10_000);
    const url = `${api.origin}/api/v1/batches/m-aborted`;
    const headers = { 'X-Api-Key': project.keys.analyst };
    await new Promise<void>((resolve, reject) => {
      const request = httpGet(url, { headers }, (response) => {
        response.once('data', () => {
          response.once('close', resolve);
          request.destroy();
        });
      }).on('error', reject);
    });
    await expectNoOpenTransaction();
    await new Promise<void>((resolve) => {
      const request = httpGet(url, { headers }).on('error', () => {
        resolve();
      });
      request.on('socket', (socket) => socket.once('connect', () => setImmediate(() => request.destroy())));
    });
    await expectNoOpenTransaction();
  });

  it('leaves no transaction open after 304 and after HEAD', async () => {
    await postLarge('m-head');
    const etag = await etagOf('m-head');
    expect((await read('m-head', { 'If-None-Match': etag })).status).toBe(304);
    const head = await api.call('HEAD', '/batches/m-head', { key: project.keys.analyst });
    expect([head.status, head.headers.get('etag'), head.text]).toEqual([200, etag, '']);
    await expectNoOpenTransaction();
  });

  it('waits while its project has no free slot, without delaying other projects', async () => {
    const other = await api.project();
    await postLarge('m-slots');
    const objects = Array.from({ length: 1_001 }, (_, i) => ({ object_id: String(i), data: [] }));
    await postBatch(api, other.keys.producer, 'm-slots', objects);
    // With DATABASE_POOL_MAX at its default of 20, one project has 2 slots.
    const readings = [await startReading('m-slots'), await startReading('m-slots')];
    const third = startReading('m-slots');
    const foreign = await api.call('GET', '/batches/m-slots', { key: other.keys.analyst });
    expect(foreign.json<WholeBatchBody>().objects).toHaveLength(1_001);
    readings[0]?.body.destroy();
    (await third).body.destroy();
    readings[1]?.body.destroy();
    await expectNoOpenTransaction();
  });
});
