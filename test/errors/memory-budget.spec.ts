import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ByteBudget, type Reservation } from '#platform';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { getJob, submitJob, waitForStatus } from '../jobs/jobs.js';
import { expectProblem } from './expect-problem.js';

const MIB = 1024 ** 2;
const BUDGET = 2 * MIB;
const SHARE = BUDGET / 2;
/** What one project may hold for bodies of up to 64 KiB, in addition. */
const SMALL_SHARE = MIB / 2;

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
      // Without an exponent, which would count as its digits written out.
      { key: 'number', value: Math.floor(Math.random() * 1e15) },
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

/** Sends the head of a batch of `bytes` bytes, and the start of its body. */
function startBatch(key: string, bytes: number, start: string, ...headers: string[]): Socket {
  const socket = connect(Number(new URL(api.origin).port), '127.0.0.1');
  const head = ['POST /api/v1/batches HTTP/1.1', 'Host: test', 'Content-Type: application/json'];
  const lines = [...head, `Content-Length: ${String(bytes)}`, `X-Api-Key: ${key}`, ...headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n${start}`);
  return socket.on('error', () => undefined);
}

/** Waits until the condition holds, for up to `waitMs`. */
async function until(condition: () => boolean, waitMs = 10_000): Promise<void> {
  for (let i = 0; i < waitMs / 10 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

/** Sends a request until the budget has room for it. */
async function retried(send: () => Promise<Reply>): Promise<Reply> {
  for (let i = 0; i < 20; i++) {
    const reply = await send();
    if (reply.status !== 503) return reply;
    expectProblem(reply, 'unavailable');
    expect(reply.headers.get('retry-after')).toBe('5');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error('the budget has never had room');
}

function reserveShare({ projectId }: TestProject): Reservation {
  const held = budget.reserve(projectId, SHARE);
  if (held === null) throw new Error('the budget has no room');
  return held;
}

describe('the memory budget', () => {
  it('limits 12 large batches that one project sends at once, and all are stored after retries', async () => {
    let peakBytes = 0;
    const flooding = new AbortController();
    const watch = (): void => {
      peakBytes = Math.max(peakBytes, budget.usedBytes);
      if (!flooding.signal.aborted) setImmediate(watch);
    };
    watch();
    const flood = Promise.all(
      Array.from({ length: 12 }, (_, i) => {
        const body = gzipSync(largeBatch(`flood-${String(i)}`));
        return retried(() => post(project.keys.producer, body, { 'Content-Encoding': 'gzip' }));
      }),
    ).finally(() => {
      flooding.abort();
    });
    // Another project is served meanwhile.
    let i = 0;
    do expect((await postSmall(other.keys.producer, `other-${String(i++)}`)).status).toBe(201);
    while (!flooding.signal.aborted);
    expect((await flood).map(({ status }) => status)).toEqual(Array<number>(12).fill(201));
    expect(peakBytes).toBeLessThanOrEqual(SHARE + SMALL_SHARE + 64 * 1024);
  }, 60_000);

  it('releases the body of a request whose client leaves while it waits for a database connection', async () => {
    const body = JSON.stringify({ batch_id: 'locked', object_id: 'o', data: [] });
    await postSmall(project.keys.producer, 'locked');
    const replies: Promise<Reply>[] = [];
    const postObject = (): number => replies.push(api.call('POST', '/objects', { key: project.keys.producer, body }));
    await api.db.transaction(async (tx) => {
      await tx.query(`SELECT FROM batches WHERE batch_id = 'locked' AND project_id = $1 FOR UPDATE`, [
        project.projectId,
      ]);
      // As many as the server has connections, so that the last one waits for another request to end.
      for (let i = 0; i < 20; i++) postObject();
      await expectUsed(20 * body.length);
      const leaving = new AbortController();
      const left = fetch(`${api.origin}/api/v1/objects`, {
        method: 'POST',
        headers: { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/json' },
        body,
        signal: leaving.signal,
      });
      await expectUsed(21 * body.length);
      leaving.abort();
      await expect(left).rejects.toThrow();
      await expectUsed(20 * body.length);
    });
    await Promise.all(replies);
  });

  it('holds nothing for a request of which only the headers have arrived', async () => {
    const socket = startBatch(project.keys.producer, 1_000_000, '', 'Expect: 100-continue');
    let received = '';
    socket.on('data', (data) => (received += data.toString()));
    await until(() => received.startsWith('HTTP/1.1 100 Continue'));
    expect(budget.usedBytes).toBe(0);
    socket.write('[');
    await expectUsed(1_000_000);
    socket.destroy();
  });

  it('rejects a request with 503 if no memory becomes free within 5 s', async () => {
    const held = reserveShare(project);
    const reply = await text(startBatch(project.keys.producer, 1_000_000, '[', 'Connection: close'));
    expect(reply).toMatch(/^HTTP\/1\.1 503 [^]*\r\nretry-after: 5\r\n[^]*MEMORY_BUDGET_BYTES/i);
    await expectUsed(SHARE);
    held.release();
    expect((await post(project.keys.producer, largeBatch('retried'))).status).toBe(201);
  }, 20_000);

  it('lets a large request wait until memory is free, and small ones pass it', async () => {
    const held = reserveShare(project);
    const waiting = post(project.keys.producer, largeBatch('waited'));
    await until(() => held.isAwaited());
    expect((await postSmall(project.keys.producer, 'passed')).status).toBe(201);
    expect((await post(other.keys.producer, largeBatch('waited'))).status).toBe(201);
    expect(held.isAwaited()).toBe(true);
    held.release();
    expect((await waiting).status).toBe(201);
  });

  it('rejects a body of unknown size when it outgrows the free memory', async () => {
    const held = reserveShare(project);
    held.shrinkTo(SHARE / 2);
    const body = largeBatch('unknown-size');
    const reply = await fetch(`${api.origin}/api/v1/batches`, {
      method: 'POST',
      headers: { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/json' },
      body: ReadableStream.from([Buffer.from(body)]),
      duplex: 'half',
    });
    expectProblem({ status: reply.status, headers: reply.headers, text: await reply.text() }, 'unavailable');
    held.release();
    expect((await post(project.keys.producer, body)).status).toBe(201);
  }, 20_000);

  it('releases the memory of a request when its client disconnects', async () => {
    const socket = startBatch(project.keys.producer, 1_000_000, '[');
    await expectUsed(1_000_000);
    socket.destroy();
    await expectUsed(0);
  });

  it('removes a request from the queue when its client disconnects', async () => {
    const held = reserveShare(project);
    const socket = startBatch(project.keys.producer, 1_000_000, '[');
    await until(() => held.isAwaited());
    socket.destroy();
    // Well before the five seconds after which it would be rejected.
    await until(() => !held.isAwaited(), 3_000);
    held.release();
  });

  it('responds 408 to a body that makes no progress while another request waits for memory', async () => {
    const slow = startBatch(project.keys.producer, 1_000_000, '[');
    await expectUsed(1_000_000);
    const [stored, reply] = await Promise.all([
      retried(() => post(project.keys.producer, largeBatch('after-slow'))),
      text(slow),
    ]);
    expect([stored.status, reply.slice(0, 12)]).toEqual([201, 'HTTP/1.1 408']);
  }, 30_000);

  describe('of responses', () => {
    const list = (headers: Record<string, string> = {}) =>
      api.call('GET', '/objects?page_size=1000&batch_id=page&count=none', { key: project.keys.analyst, headers });

    /** Sends requests for more bytes than the buffers of a connection hold, and does not read the responses. */
    const requestWithoutReading = async (): Promise<Socket> => {
      const socket = connect(Number(new URL(api.origin).port), '127.0.0.1').pause();
      socket.on('error', () => undefined);
      const get = `GET /api/v1/objects?page_size=1000&batch_id=page&count=none HTTP/1.1\r\nHost: test\r\nX-Api-Key: ${project.keys.analyst}\r\n\r\n`;
      socket.write(get.repeat(50));
      await until(() => budget.usedBytes > 256 * 1024);
      return socket;
    };

    beforeAll(async () => {
      expect((await post(project.keys.producer, largeBatch('page'))).status).toBe(201);
    });

    it('rejects a large response with 503 if there is no room, but not a 304', async () => {
      const read = await list();
      expect([read.status, read.text.length > 256 * 1024]).toEqual([200, true]);
      expect(Number(read.headers.get('content-length'))).toBe(Buffer.byteLength(read.text));
      await expectUsed(0);
      const etag = read.headers.get('etag') ?? '';
      const held = reserveShare(project);
      const rejected = await list();
      expectProblem(rejected, 'unavailable');
      expect(rejected.headers.get('retry-after')).toBe('5');
      for (const name of ['etag', 'link', 'cache-control']) expect(rejected.headers.has(name)).toBe(false);
      expect((await list({ 'If-None-Match': etag })).status).toBe(304);
      held.release();
    });

    it('counts responses that the client does not read, and releases them when it disconnects', async () => {
      const socket = await requestWithoutReading();
      expect(budget.usedBytes).toBeLessThanOrEqual(SHARE);
      socket.destroy();
      await expectUsed(0);
    });

    it('closes a connection that does not read its responses while another request waits for memory', async () => {
      const socket = await requestWithoutReading();
      // As large as the share of the project, so that it needs what the responses hold.
      const body = largeBatch('after-unread').padEnd(SHARE);
      expect((await retried(() => post(project.keys.producer, body))).status).toBe(201);
      await expectUsed(0);
      socket.destroy();
    }, 30_000);
  });

  it('holds the bodies of jobs while they run, and lets them wait without losing an attempt', async () => {
    // Another server accepts them, because this one has no memory for their requests.
    const front = await api.another();
    try {
      const held = reserveShare(project);
      const smallHeld = Array.from({ length: 8 }, () => budget.reserve(project.projectId, 64 * 1024));
      const submit = ({ keys }: TestProject) =>
        submitJob(front, 'POST', '/batches', { key: keys.producer, body: { batch_id: 'job', objects: [] } });
      const waiting = await submit(project);
      await waitForStatus(front, project.keys.producer, waiting, 'running');
      await waitForStatus(front, other.keys.producer, await submit(other), 'succeeded');
      expect((await getJob(front, project.keys.producer, waiting)).status).toBe('running');
      held.release();
      for (const one of smallHeld) one?.release();
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
      const notes = ['a', 'b', 'c'].map((object_id) => ({ object_id, data: { note: 'x'.repeat(MIB - 100) } }));
      const body = { batch_id: 'large', objects: notes };
      const job = await submitJob(app, 'POST', '/batches', { key: keys.producer, body });
      await waitForStatus(app, keys.producer, job, 'succeeded');
      const read = await app.call('GET', '/batches/large', { key: keys.analyst });
      expect(read.text.length).toBeGreaterThan(2 * MIB);
    } finally {
      await app.stop();
    }
  }, 20_000);
});

describe('the memory of a page with more than 1 MiB of objects', () => {
  const PAGE_BYTES = 4 * MIB;
  let pages: TestApp;
  let owner: TestProject;
  let pageBudget: ByteBudget;

  beforeAll(async () => {
    pages = await TestApp.start({
      PAGE_BYTES_MAX: String(PAGE_BYTES),
      BODY_LIMIT_BYTES: String(PAGE_BYTES),
      MEMORY_BUDGET_BYTES: String(2 * PAGE_BYTES),
    });
    pageBudget = pages.app.get(ByteBudget);
    owner = await pages.project();
    for (const name of ['one', 'two']) {
      const objects = Array.from({ length: 3 }, (_, i) => ({
        object_id: `${name}-${String(i)}`,
        subject: 'room',
        data: { name, note: 'x'.repeat(900_000) },
      }));
      const reply = await pages.call('POST', '/batches', {
        key: owner.keys.producer,
        body: { batch_id: name, objects },
      });
      expect([reply.status, reply.text.slice(0, 300)]).toEqual([201, expect.any(String)]);
    }
  });
  afterEach(() => until(() => pageBudget.usedBytes === 0));
  afterAll(() => pages.stop());

  const list = (query: string): Promise<Reply> =>
    pages.call('GET', `/objects?count=none&${query}`, { key: owner.keys.analyst });
  /** Holds the share of the project while the work runs, until it calls `release`. */
  const whileFull = async (work: (held: Reservation) => Promise<void>): Promise<void> => {
    const held = pageBudget.reserve(owner.projectId, PAGE_BYTES);
    if (held === null) throw new Error('the budget has no room');
    await work(held).finally(() => {
      held.release();
    });
  };

  it.each(['batch_id=one', 'key=name&value=one', 'data={"name":"one"}'])(
    'is reserved before its objects are read, for the largest page: %s',
    async (filter) => {
      await whileFull(async (held) => {
        // Enough for the response, but not for the page that it may turn out to be.
        held.shrinkTo(MIB);
        const { detail } = expectProblem(await list(`page_size=3&${filter}`), 'unavailable');
        expect(detail).toContain('MEMORY_BUDGET_BYTES');
      });
      const { status, json } = await list(`page_size=3&${filter}`);
      const ids = json<{ results: { object_id: string }[] }>().results.map(({ object_id }) => object_id);
      expect([status, ids]).toEqual([200, ['one-2', 'one-1', 'one-0']]);
    },
  );

  it('is not needed for a smaller page', async () => {
    await whileFull(async (held) => {
      held.shrinkTo(PAGE_BYTES - MIB);
      expect((await list('page_size=1&batch_id=one')).status).toBe(200);
    });
  });

  it('is released when the page is larger than PAGE_BYTES_MAX', async () => {
    expectProblem(await list('page_size=6'), 'invalid-query');
  });
});
