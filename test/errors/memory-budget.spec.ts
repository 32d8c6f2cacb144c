import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ByteBudget } from '#platform';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { getJob, submitJob, waitForStatus } from '../jobs/jobs.js';
import { expectProblem } from './expect-problem.js';

const MIB = 1024 ** 2;
const BUDGET = 2 * MIB;
const SHARE = BUDGET / 2;

let api: TestApp;
let budget: ByteBudget;
let project: TestProject;
let other: TestProject;

beforeAll(async () => {
  api = await TestApp.start({
    BODY_LIMIT_BYTES: String(MIB),
    PAGE_BYTES_MAX: String(MIB),
    MEMORY_BUDGET_BYTES: String(BUDGET),
    WORKER: 'inline',
  });
  budget = api.app.get(ByteBudget);
  project = await api.project();
  other = await api.project();
});
afterAll(() => api.stop());
afterEach(() => expectUsed(0));

/** Waits until the requests hold so many bytes; a response is closed shortly after the client has read it. */
async function expectUsed(bytes: number): Promise<void> {
  for (let i = 0; i < 500 && budget.usedBytes !== bytes; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(budget.usedBytes).toBe(bytes);
}

/** A batch of about 600 KB. */
function largeBatch(id: string): string {
  const objects = Array.from({ length: 2_500 }, (_, i) => ({
    object_id: `${id}-${String(i)}`,
    data: [
      { key: 'number', value: Math.random() },
      { key: 'note', value: 'of no interest '.repeat(10) },
    ],
  }));
  return JSON.stringify({ batch_id: id, objects });
}

function post(key: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Reply> {
  return api.call('POST', '/batches', { key, body, headers });
}

function postSmall(key: string, id: string): Promise<Reply> {
  return post(key, JSON.stringify({ batch_id: id, objects: [] }));
}

describe('the memory budget', () => {
  it('holds 30 large batches that arrive at once, while another project is served; rejected ones can be retried', async () => {
    let peakBytes = 0;
    const flooding = new AbortController();
    const watch = (): void => {
      peakBytes = Math.max(peakBytes, budget.usedBytes);
      if (!flooding.signal.aborted) setImmediate(watch);
    };
    watch();
    const send = async (i: number): Promise<void> => {
      const id = `flood-${String(i)}`;
      const body = gzipSync(largeBatch(id));
      for (;;) {
        const reply = await post(project.keys.producer, body, { 'Content-Encoding': 'gzip' });
        if (reply.status === 201) return;
        expectProblem(reply, 'unavailable');
        expect(reply.headers.get('retry-after')).toBe('5');
      }
    };
    const flood = Promise.all(Array.from({ length: 30 }, (_, i) => send(i))).finally(() => {
      flooding.abort();
    });
    let served = 0;
    while (!flooding.signal.aborted) {
      expect((await postSmall(other.keys.producer, `calm-${String(served++)}`)).status).toBe(201);
    }
    await flood;
    expect(served).toBeGreaterThan(5);
    expect(peakBytes).toBeGreaterThan(SHARE / 2);
    expect(peakBytes).toBeLessThanOrEqual(SHARE + MIB / 16);
  }, 60_000);

  it('rejects a request with 503 before its body is read, when nothing became free within 5 s', async () => {
    const held = budget.reserve(project.projectId, SHARE);
    const socket = connect(Number(new URL(api.origin).port), '127.0.0.1');
    const head = [
      'POST /api/v1/batches HTTP/1.1',
      'Host: test',
      'Content-Type: application/json',
      'Content-Length: 1000',
    ];
    // Expect: 100-continue shows that the body was not asked for.
    socket.write(`${[...head, `X-Api-Key: ${project.keys.producer}`, 'Expect: 100-continue'].join('\r\n')}\r\n\r\n`);
    const reply = await text(socket);
    expect(reply).toMatch(/^HTTP\/1\.1 503 [^]*\r\nretry-after: 5\r\n[^]*MEMORY_BUDGET_BYTES/i);
    await expectUsed(SHARE);
    held?.release();
    expect((await postSmall(project.keys.producer, 'retried')).status).toBe(201);
  }, 20_000);

  it('lets a request wait until memory is free', async () => {
    const held = budget.reserve(project.projectId, SHARE);
    const waiting = postSmall(project.keys.producer, 'waited');
    expect((await postSmall(other.keys.producer, 'waited')).status).toBe(201);
    held?.release();
    expect((await waiting).status).toBe(201);
  });

  it('rejects a body of unknown size when it outgrows what is free', async () => {
    const held = budget.reserve(project.projectId, SHARE - 128 * 1024);
    const body = largeBatch('unknown-size');
    const reply = await fetch(`${api.origin}/api/v1/batches`, {
      method: 'POST',
      headers: { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/json' },
      body: ReadableStream.from([Buffer.from(body)]),
      duplex: 'half',
    });
    expectProblem({ status: reply.status, headers: reply.headers, text: await reply.text() }, 'unavailable');
    held?.release();
    expect((await post(project.keys.producer, body)).status).toBe(201);
  });

  it('is given back when the client leaves, while it sends or while it waits', async () => {
    const head = [
      'POST /api/v1/batches HTTP/1.1',
      'Host: test',
      'Content-Type: application/json',
      'Content-Length: 1000000',
    ];
    const open = () => {
      const socket = connect(Number(new URL(api.origin).port), '127.0.0.1');
      socket.write(`${[...head, `X-Api-Key: ${project.keys.producer}`].join('\r\n')}\r\n\r\n[`);
      return socket;
    };
    const first = open();
    await expectUsed(1_000_000);
    const second = open();
    second.end();
    first.destroy();
    await expectUsed(0);
    second.destroy();
  });

  it('counts large responses until the client has read them, and rejects further ones with 503', async () => {
    expect((await post(project.keys.producer, largeBatch('page'))).status).toBe(201);
    await expectUsed(0);
    const list = () =>
      api.call('GET', '/objects?page_size=1000&batch_id=page&count=none', { key: project.keys.analyst });
    const held = budget.reserve(project.projectId, SHARE - 100_000);
    const rejected = await list();
    expect(rejected.status).toBe(503);
    expectProblem(rejected, 'unavailable');
    expect(rejected.headers.get('retry-after')).toBe('5');
    held?.release();
    const { status, text } = await list();
    expect([status, text.length > 256 * 1024]).toEqual([200, true]);
    // The buffers of the connections hold a few MB of the responses, so one connection asks until they are full.
    const socket = connect(Number(new URL(api.origin).port), '127.0.0.1').pause();
    const get = `GET /api/v1/objects?page_size=1000&batch_id=page&count=none HTTP/1.1\r\nHost: test\r\nX-Api-Key: ${project.keys.analyst}\r\n\r\n`;
    socket.write(get.repeat(50));
    for (let i = 0; i < 500 && budget.usedBytes < 256 * 1024; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(budget.usedBytes).toBeGreaterThan(256 * 1024);
    expect(budget.usedBytes).toBeLessThanOrEqual(SHARE);
    socket.destroy();
  });

  it('holds the bodies of jobs while they run, and lets them wait without losing an attempt', async () => {
    // Another server accepts them, because this one has no memory for their requests.
    const front = await api.another();
    try {
      const held = budget.reserve(project.projectId, SHARE);
      const submit = ({ keys }: TestProject) =>
        submitJob(front, 'POST', '/batches', { key: keys.producer, body: { batch_id: 'job', objects: [] } });
      const waiting = await submit(project);
      await waitForStatus(front, project.keys.producer, waiting, 'running');
      await waitForStatus(front, other.keys.producer, await submit(other), 'succeeded');
      expect((await getJob(front, project.keys.producer, waiting)).status).toBe('running');
      held?.release();
      const { attempts } = await waitForStatus(front, project.keys.producer, waiting, 'succeeded');
      expect(attempts).toBe(1);
    } finally {
      await front.stop();
    }
  }, 20_000);

  it('runs a job whose body is larger than what is read with it', async () => {
    const app = await TestApp.start({ WORKER: 'inline' });
    try {
      const { keys } = await app.project();
      const body = { batch_id: 'large', objects: [{ object_id: 'large', data: { note: 'x'.repeat(2 * MIB) } }] };
      const job = await submitJob(app, 'POST', '/batches', { key: keys.producer, body });
      await waitForStatus(app, keys.producer, job, 'succeeded');
      const read = await app.call('GET', '/batches/large', { key: keys.analyst });
      expect(read.text.length).toBeGreaterThan(2 * MIB);
    } finally {
      await app.stop();
    }
  }, 20_000);
});
