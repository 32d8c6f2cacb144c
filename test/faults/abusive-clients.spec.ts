import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { AbusiveClient } from './abusive-client.js';
import { RUN_OPTIONS, printLine } from './run-options.js';
import { residentBytes } from './postgres-processes.js';
import { Stack } from './stack.js';

const MIB = 1024 ** 2;
const GIB = 1024 * MIB;
/** More than the memory by which the server may grow. */
const FLOOD_BYTES = RUN_OPTIONS.isLong ? GIB : GIB / 2;
const CONNECTIONS = 300;
/** Number of connections that first send enough for the server to open a transaction. */
const WITH_TRANSACTION = 20;
const OTHERS = 50;
const SERVED_WITHIN_MS = 5_000;
/** The first minute of a body has no minimum rate; then the rate is checked every 30 s. */
const CUT_WITHIN_MS = 100_000;

const JSON_HEADERS = ['Content-Type: application/json'];
const NDJSON_HEADERS = ['Content-Type: application/x-ndjson', 'Transfer-Encoding: chunked'];

let stack: Stack;
/** Resident memory of the server before the tests, in bytes. */
let baselineBytes: number;
const clients: AbusiveClient[] = [];

beforeAll(async () => {
  stack = await Stack.create();
  await stack.startServer();
  await serveOthers('warm-up', 20);
  baselineBytes = await residentBytes(stack.server?.child.pid ?? 0);
}, 60_000);
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => stack.close());

function openClient(method: string, path: string, headers: readonly string[]): AbusiveClient {
  const client = new AbusiveClient(stack.url, method, path, headers);
  clients.push(client);
  return client;
}

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** Yields about `bytes` bytes of NDJSON with objects of 10 KB, 100 lines at a time. */
function* wholeLines(bytes: number): Generator<string> {
  const note = 'x'.repeat(10_000);
  for (let sent = 0, n = 0; sent < bytes; n += 100) {
    const lines = Array.from(
      { length: 100 },
      (_, i) => `{"object_id":"line-${String(n + i)}","data":{"note":"${note}"}}\n`,
    );
    const chunk = lines.join('');
    sent += chunk.length;
    yield chunk;
  }
}

/** Sends POST and GET requests of other clients, 10 at a time. @returns the time of the slowest pair in milliseconds */
async function serveOthers(name: string, count: number): Promise<number> {
  let slowest = 0;
  const one = async (n: number): Promise<void> => {
    const id = `${name}-${String(n)}`;
    const body = JSON.stringify({ batch_id: id, objects: [{ object_id: id, data: { type: 'shoe' } }] });
    const headers = { 'Content-Type': 'application/json' };
    const start = performance.now();
    const posted = await stack.call('/batches', { method: 'POST', headers, body });
    const read = await stack.call(`/batches/${id}`);
    slowest = Math.max(slowest, performance.now() - start);
    expect([posted.status, read.status]).toEqual([201, 200]);
  };
  for (let n = 0; n < count; n += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => one(n + i)));
  return slowest;
}

/** Returns the peak memory of the server during `work`, minus the baseline, in bytes. */
async function measureGrowth(work: () => Promise<void>): Promise<number> {
  const pid = stack.server?.child.pid ?? 0;
  let peakBytes = 0;
  const timer = setInterval(() => {
    void residentBytes(pid).then((bytes) => (peakBytes = Math.max(peakBytes, bytes)));
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return peakBytes - baselineBytes;
}

describe('300 connections that send one byte per second', () => {
  it('leave other requests below 5 s, and use less than 150 MiB', async () => {
    const growthBytes = await measureGrowth(async () => {
      const slow = Array.from({ length: CONNECTIONS }, (_, i) => {
        const id = `slow-${String(i)}`;
        if (i % 2 === 0) return openClient('POST', '/batches', [...JSON_HEADERS, 'Content-Length: 100000']);
        const client = openClient('PUT', `/batches/${id}`, NDJSON_HEADERS);
        if (i >= WITH_TRANSACTION * 2) return client;
        const lines = Array.from(
          { length: 2_000 },
          (_, n) => `{"object_id":"${id}-${String(n)}","data":{"n":${String(n)}}}`,
        );
        client.write(chunk(`${lines.join('\n')}\n`));
        return client;
      });
      const drip = setInterval(() => {
        for (const [i, client] of slow.entries()) client.write(i % 2 === 0 ? ' ' : chunk(' '));
      }, 1_000);
      try {
        await sleep(2_000);
        expect(await serveOthers('during-slow', OTHERS)).toBeLessThan(SERVED_WITHIN_MS);
        expect(slow.filter(({ isClosed }) => isClosed)).toEqual([]);
        if (!RUN_OPTIONS.isLong) return;
        const end = Date.now() + CUT_WITHIN_MS;
        while (!slow.every(({ isClosed }) => isClosed) && Date.now() < end) await sleep(500);
        const statuses = slow.map(({ isClosed, status }) => `${String(isClosed)} ${String(status)}`);
        // A client that has sent objects waits up to 10 s for a stream slot, and gets 503 if there is none.
        const withTransaction = statuses.filter((_, i) => i % 2 === 1 && i < WITH_TRANSACTION * 2);
        expect(new Set(withTransaction)).toEqual(
          new Set(withTransaction.map((status) => (status === 'true 503' ? status : 'true 408'))),
        );
        const others = statuses.filter((_, i) => i % 2 === 0 || i >= WITH_TRANSACTION * 2);
        expect(new Set(others)).toEqual(new Set(['true 408']));
      } finally {
        clearInterval(drip);
      }
    });
    if (RUN_OPTIONS.isLong) printLine(`300 slow connections: ${String(Math.round(growthBytes / MIB))} MiB more memory`);
    expect(growthBytes).toBeLessThan(150 * MIB);
  }, 150_000);
});

describe(`a body of ${String(FLOOD_BYTES / MIB)} MiB`, () => {
  it.each<[string, string, string, string[], Buffer]>([
    ['of JSON', 'POST', '/batches', [...JSON_HEADERS, 'Transfer-Encoding: chunked'], Buffer.alloc(MIB, '[')],
    ['of one line', 'PUT', '/batches/one-line', NDJSON_HEADERS, Buffer.alloc(MIB, 'x')],
  ])(
    '%s is rejected with 413, while other requests stay below 5 s and memory is bounded',
    async (name, method, path, headers, data) => {
      const growthBytes = await measureGrowth(async () => {
        const client = openClient(method, path, headers);
        const flooding = client.flood(data, FLOOD_BYTES);
        const others = serveOthers(`during ${name}`.replaceAll(' ', '-'), OTHERS);
        await flooding;
        expect(await client.waitForStatus(10_000)).toBe(413);
        expect(await others).toBeLessThan(SERVED_WITHIN_MS);
      });
      if (RUN_OPTIONS.isLong) printLine(`1 GiB ${name}: ${String(Math.round(growthBytes / MIB))} MiB more memory`);
      expect(growthBytes).toBeLessThan(400 * MIB);
    },
    60_000,
  );

  if (RUN_OPTIONS.isLong) {
    it('of complete lines is stored, while other requests stay below 5 s and memory is bounded', async () => {
      const growthBytes = await measureGrowth(async () => {
        const uploaded = new AbortController();
        const headers = { 'Content-Type': 'application/x-ndjson' };
        const upload = stack
          .call('/batches/whole-lines', { method: 'PUT', headers, body: wholeLines(GIB) }, 20 * 60_000)
          .finally(() => {
            uploaded.abort();
          });
        for (let n = 0; !uploaded.signal.aborted; n++) {
          expect(await serveOthers(`during-lines-${String(n)}`, 10)).toBeLessThan(SERVED_WITHIN_MS);
          await sleep(200);
        }
        expect((await upload).status).toBe(201);
      });
      printLine(`1 GiB of complete lines: ${String(Math.round(growthBytes / MIB))} MiB more memory`);
      expect(growthBytes).toBeLessThan(400 * MIB);
    }, 1_200_000);
  }

  it('is rejected with 413 by its Content-Length, before it is read', async () => {
    const client = openClient('POST', '/batches', [...JSON_HEADERS, `Content-Length: ${String(FLOOD_BYTES)}`]);
    expect(await client.waitForStatus(5_000)).toBe(413);
  });
});

describe('afterwards', () => {
  it('the index is that of the stored objects', async () => {
    expect(await stack.findIndexDifferences()).toEqual([]);
  }, 120_000);
});
