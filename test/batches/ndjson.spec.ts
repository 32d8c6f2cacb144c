import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { postBatch, type BatchBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start();
  project = await api.project();
});
afterAll(() => api.stop());

const TYPE = { 'Content-Type': 'application/x-ndjson' };
const line = (id: string, rest = ''): string => `{"object_id":"${id}","data":{"n":1}${rest}}\n`;
const linesOf = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => line(`${name}-${String(i)}`));
const put = (batchId: string, body: string | Buffer, query = ''): Promise<Reply> =>
  api.call('PUT', `/batches/${batchId}${query}`, { key: project.keys.producer, body, headers: TYPE });
const read = (batchId: string): Promise<Reply> => api.call('GET', `/batches/${batchId}`, { key: project.keys.analyst });
const countOf = async (where: string): Promise<number> => (await api.db.sql(`SELECT FROM ${where}`)).length;

/** Sends the chunks of a generator with backpressure. */
async function stream(batchId: string, pieces: () => Generator<string>): Promise<Reply> {
  const generator = pieces();
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = generator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(Buffer.from(next.value));
    },
  });
  const init = {
    method: 'PUT',
    body,
    duplex: 'half' as const,
    headers: { ...TYPE, 'X-Api-Key': project.keys.producer },
  };
  const response = await fetch(`${api.origin}/api/v1/batches/${batchId}`, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) as never };
}

/** Sends a request with an incomplete body. */
async function begin(batchId: string, lines: string, head = 'Transfer-Encoding: chunked'): Promise<Socket> {
  const socket = connect({ port: Number(new URL(api.origin).port), host: '127.0.0.1' });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const body = head.startsWith('Transfer') ? `${Buffer.byteLength(lines).toString(16)}\r\n${lines}\r\n` : lines;
  socket.write(
    `PUT /api/v1/batches/${batchId} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${project.keys.producer}\r\n` +
      `Content-Type: application/x-ndjson\r\n${head}\r\n\r\n${body}`,
  );
  return socket;
}

/** Waits until `count` transactions of this database are idle or wait for COPY data from a client. */
async function waitForOpen(count: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const open = await countOf(
      `pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
    );
    if (open === count) return;
    await sleep(25);
  }
  throw new Error(`there are never ${String(count)} open transactions`);
}

describe('PUT /batches/{batch_id} as application/x-ndjson', () => {
  it('stores one object per line, in order', async () => {
    const reply = await put('plain', linesOf('plain', 1_000).join(''));
    expect([reply.status, reply.headers.get('location')]).toEqual([201, reply.json<BatchBody>().url]);
    expect(reply.json<BatchBody>()).toMatchObject({ batch_id: 'plain', object_count: 1_000 });
    const ids = (await read('plain')).json<WholeBatchBody>().objects.map((one) => one.object_id);
    expect(ids).toEqual(Array.from({ length: 1_000 }, (_, i) => `plain-${String(i)}`));
    expect((await put('plain', linesOf('plain', 1_000).join(''))).status).toBe(200);
  });

  it.each([
    ['no bytes', '', 0],
    ['a line end', '\n', 0],
    ['no line end at the end', line('ends-1') + line('ends-2').trimEnd(), 2],
    ['CRLF and empty lines', `\r\n${line('ends-3').replace('\n', '\r\n')}  \r\n\r\n${line('ends-4')}`, 2],
  ])('accepts all line endings: %s', async (name, body, count) => {
    const id = encodeURIComponent(name);
    for (const status of [201, 200]) {
      const reply = await put(id, body);
      expect([reply.status, reply.json<BatchBody>().object_count]).toEqual([status, count]);
    }
  });

  it('reports up to 100 invalid lines, and stores nothing', async () => {
    const lines = linesOf('badly', 3_000);
    for (let i = 1_233; i < 3_000; i += 7) lines[i] = `{"object_id":"x","data":[{"key":"","value":1}]}\n`;
    const problem = expectProblem(await put('badly', lines.join('')), 'invalid-body');
    expect(placesOf(problem).slice(0, 2)).toEqual(['/lines/1234/data/0/key', '/lines/1241/data/0/key']);
    expect([problem.errors?.length, problem.error_count_is]).toEqual([100, 'at_least']);
    expect([
      await countOf(`batches WHERE batch_id = 'badly'`),
      await countOf(`objects WHERE batch_id = 'badly'`),
    ]).toEqual([0, 0]);
  });

  it('reports every conflicting or repeated id, at any distance in the stream', async () => {
    await postBatch(api, project.keys.producer, 'other', [{ object_id: 'late-taken', data: [] }]);
    const lines = linesOf('late', 70_000);
    lines[64_999] = line('late-taken');
    lines[65_999] = line('late-3');
    lines[66_999] = line('late-66000');
    lines[68_999] = line('late-45000');
    const problem = expectProblem(await put('late', lines.join('')), 'conflict');
    expect(problem.errors).toEqual([
      { pointer: '/lines/65000/object_id', detail: '"late-taken" exists already in another batch' },
      { pointer: '/lines/66000/object_id', detail: '"late-3" appears twice in this request' },
      { pointer: '/lines/67000/object_id', detail: '"late-66000" appears twice in this request' },
      { pointer: '/lines/69000/object_id', detail: '"late-45000" appears twice in this request' },
    ]);
    expect([
      await countOf(`batches WHERE batch_id = 'late'`),
      await countOf(`objects WHERE batch_id = 'late'`),
    ]).toEqual([0, 0]);
    // The same ids are accepted now.
    expect((await put('late', linesOf('late', 70_000).join(''))).json<BatchBody>().object_count).toBe(70_000);
  });

  it('rejects a line longer than object_limit_bytes, with its number', async () => {
    const small = await TestApp.start({ BODY_LIMIT_BYTES: '1024' });
    try {
      const { producer: key } = (await small.project()).keys;
      const lines = [...linesOf('fits', 500), line('x'.repeat(200), `,"subject":"${'s'.repeat(900)}"`), line('after')];
      for (const query of ['', '?mode=partial']) {
        const reply = await small.call('PUT', `/batches/limited${query}`, { key, body: lines.join(''), headers: TYPE });
        expect(expectProblem(reply, 'too-large').detail).toMatch(/^Line 501 exceeds object_limit_bytes, 1024 bytes/);
      }
      const fits = await small.call('PUT', '/batches/limited', {
        key,
        body: lines.slice(0, 500).join(''),
        headers: TYPE,
      });
      expect(fits.status).toBe(201);
    } finally {
      await small.stop();
    }
  });
});

describe('a stream whose connection breaks', () => {
  const MANY = 50_000;

  it.each<[string, string, number, string | undefined]>([
    ['in a new batch', 'broken-new', MANY, undefined],
    ['in a new batch of a known length', 'broken-length', MANY, 'Content-Length: 100000000'],
    ['before the first chunk was copied', 'broken-early', 3, undefined],
    ['in an existing batch', 'broken-there', MANY, undefined],
  ])('stores nothing, and the batch can be put again immediately: %s', async (_, id, count, head) => {
    if (id === 'broken-there') await put(id, line(`${id}-0`));
    for (const breaks of ['end', 'reset'] as const) {
      const before = id === 'broken-there' ? (await read(id)).text : 'nothing';
      const socket = await begin(id, linesOf(id, count).join(''), head);
      if (count === MANY) await waitForOpen(1);
      if (breaks === 'reset') socket.resetAndDestroy();
      else socket.destroy();
      const reply = await put(id, line(`${id}-0`) + line(`${id}-1`), '?on_conflict=replace');
      expect([200, 201]).toContain(reply.status);
      expect(reply.json<BatchBody>().object_count).toBe(2);
      expect(await countOf(`objects WHERE object_id LIKE '${id}-%'`)).toBe(2);
      expect(before).not.toContain(`${id}-2`);
      await waitForOpen(0);
      await api.call('DELETE', `/batches/${id}?cascade=true`, { key: project.keys.admin });
      if (id === 'broken-there') await put(id, line(`${id}-0`));
    }
  });

  it('or stalls does not block other requests, even if there are many', async () => {
    const sockets = await Promise.all(
      Array.from({ length: 30 }, (_, i) => begin(`still-${String(i)}`, linesOf(`still-${String(i)}`, 5_000).join(''))),
    );
    try {
      // The streams never end: a request that waited for one would not return within the timeout of the test.
      expect((await read('plain')).status).toBe(200);
      const { producer: key } = project.keys;
      expect((await api.call('PUT', '/batches/beside', { key, body: { objects: [] } })).status).toBe(201);
      const body = { batch_id: 'beside 2', objects: [{ object_id: 'beside', data: [] }] };
      expect((await api.call('POST', '/batches', { key, body })).status).toBe(201);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
    await waitForOpen(0);
    expect(await countOf(`objects WHERE object_id LIKE 'still-%'`)).toBe(0);
    expect((await put('quick', line('quick'))).status).toBe(201);
  });
});

describe('a stream into an existing batch', () => {
  it('does not block changes to the batch while it is being sent', async () => {
    const { producer: key } = project.keys;
    expect((await put('busy', line('busy'))).status).toBe(201);
    // Over 1 MiB at once, so that it is written while it arrives.
    const socket = await begin('busy?on_conflict=skip', linesOf('more', 50_000).join(''));
    try {
      await waitForOpen(1);
      const object = { batch_id: 'busy', object_id: 'beside a stream', data: [] };
      const begun = Date.now();
      expect((await api.call('POST', '/objects', { key, body: object })).status).toBe(201);
      expect(Date.now() - begun).toBeLessThan(5_000);
    } finally {
      socket.destroy();
    }
    await waitForOpen(0);
  });
});

describe('a stream of any length', () => {
  it('is read no faster than the database stores it', async () => {
    const text = 'x'.repeat(2_000);
    let sent = 0;
    let sending: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      // The first object of the stream waits for the end of this transaction.
      await tx.query(
        `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes) VALUES ($1, 'held', 'pressed-0', 1, now(), '[]', 2)`,
        [project.projectId],
      );
      sending = stream('pressed', function* () {
        for (; sent < 20_000; sent++) yield `{"object_id":"pressed-${String(sent)}","data":{"text":"${text}"}}\n`;
      });
      let [last, looks] = [-1, 0];
      await waitFor(async () => {
        const isSame = last === sent && (await countLockWaits(api.db)) > 0;
        [last, looks] = [sent, isSame ? looks + 1 : 0];
        return looks === 20 ? true : undefined;
      });
      expect(sent).toBeLessThan(7_500);
      await tx.query(`DELETE FROM objects WHERE object_id = 'pressed-0'`);
    });
    expect((await sending)?.json<BatchBody>()).toMatchObject({ object_count: 20_000 });
  });

  it('needs bounded memory: 50,000 lines of 80 MB', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const used = (): number => {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return (heapUsed + arrayBuffers) / 1024 / 1024;
    };
    const text = 'x'.repeat(1_600);
    const before = used();
    let most = 0;
    const reply = await stream('long', function* () {
      for (let i = 0; i < 50_000; i += 500) {
        const ids = Array.from({ length: 500 }, (_, j) => `long-${String(i + j)}`);
        yield ids.map((id) => `{"object_id":"${id}","data":[{"key":"text","value":"${text}"}]}\n`).join('');
        if (i % 5_000 === 2_500) most = Math.max(most, used() - before);
      }
    });
    expect([reply.status, reply.json<BatchBody>().object_count]).toEqual([201, 50_000]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(40);
  });
});
