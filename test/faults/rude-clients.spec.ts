import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { RudeClient } from './flood.js';
import { LONG, say } from './length.js';
import { residentBytes } from './postgres-processes.js';
import { Stack } from './stack.js';

const MIB = 1024 ** 2;
const GIB = 1024 * MIB;
/** More than the memory that the server may take for it. */
const FLOOD_BYTES = LONG.isLong ? GIB : GIB / 2;
const CONNECTIONS = 300;
/** Of them, those that begin with so much that the server has opened a transaction for them. */
const FAST_BEGINNERS = 20;
const OTHERS = 50;
const SERVED_WITHIN_MS = 5_000;
/** A body of one minute may come as it likes, and is looked at every half a minute after that. */
const CUT_WITHIN_MS = 100_000;

const JSON_HEADERS = ['Content-Type: application/json'];
const NDJSON_HEADERS = ['Content-Type: application/x-ndjson', 'Transfer-Encoding: chunked'];

let stack: Stack;
/** What the server's memory is when nobody has been rude to it yet, in bytes. */
let atRest: number;
const clients: RudeClient[] = [];

beforeAll(async () => {
  stack = await Stack.make();
  await stack.serve();
  await serveOthers('warm-up', 20);
  atRest = await residentBytes(stack.server?.child.pid ?? 0);
}, 60_000);
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => stack.close());

function rude(method: string, path: string, headers: readonly string[]): RudeClient {
  const client = new RudeClient(stack.url, method, path, headers);
  clients.push(client);
  return client;
}

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** So many bytes of objects of 10 KB, a hundred at a time. */
function* wholeLines(bytes: number): Generator<string> {
  const note = 'x'.repeat(10_000);
  for (let sent = 0, n = 0; sent < bytes; n += 100) {
    const lines = Array.from(
      { length: 100 },
      (_, i) => `{"object_id":"line-${String(n + i)}","data":{"note":"${note}"}}\n`,
    );
    const piece = lines.join('');
    sent += piece.length;
    yield piece;
  }
}

/** POST and GET by well-behaved clients, ten at a time. @returns the slowest, in milliseconds */
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

/** The most memory that the server holds while the work is done, over what it held at rest; in bytes. */
async function growth(work: () => Promise<void>): Promise<number> {
  const pid = stack.server?.child.pid ?? 0;
  let most = 0;
  const timer = setInterval(() => {
    void residentBytes(pid).then((bytes) => (most = Math.max(most, bytes)));
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return most - atRest;
}

describe('300 connections that send one byte a second', () => {
  it('keep nobody from being served, and take little memory', async () => {
    const grown = await growth(async () => {
      const slow = Array.from({ length: CONNECTIONS }, (_, i) => {
        const id = `slow-${String(i)}`;
        if (i % 2 === 0) return rude('POST', '/batches', [...JSON_HEADERS, 'Content-Length: 100000']);
        const client = rude('PUT', `/batches/${id}`, NDJSON_HEADERS);
        if (i >= FAST_BEGINNERS * 2) return client;
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
        expect(await serveOthers('beside-slow', OTHERS)).toBeLessThan(SERVED_WITHIN_MS);
        expect(slow.filter(({ isClosed }) => isClosed)).toEqual([]);
        if (!LONG.isLong) return;
        const end = Date.now() + CUT_WITHIN_MS;
        while (!slow.every(({ isClosed }) => isClosed) && Date.now() < end) await sleep(500);
        const statuses = slow.map(({ isClosed, status }) => `${String(isClosed)} ${String(status)}`);
        // Who began with objects asks for a turn to write, and is told to come again where there is none in ten seconds.
        const began = statuses.filter((_, i) => i % 2 === 1 && i < FAST_BEGINNERS * 2);
        expect(new Set(began)).toEqual(new Set(began.map((status) => (status === 'true 503' ? status : 'true 408'))));
        const others = statuses.filter((_, i) => i % 2 === 0 || i >= FAST_BEGINNERS * 2);
        expect(new Set(others)).toEqual(new Set(['true 408']));
      } finally {
        clearInterval(drip);
      }
    });
    if (LONG.isLong) say(`300 slow connections: ${String(Math.round(grown / MIB))} MiB more memory`);
    expect(grown).toBeLessThan(150 * MIB);
  }, 150_000);
});

describe(`a body of ${String(FLOOD_BYTES / MIB)} MiB`, () => {
  it.each<[string, string, string, string[], Buffer]>([
    ['of JSON', 'POST', '/batches', [...JSON_HEADERS, 'Transfer-Encoding: chunked'], Buffer.alloc(MIB, '[')],
    ['of one line', 'PUT', '/batches/one-line', NDJSON_HEADERS, Buffer.alloc(MIB, 'x')],
  ])(
    '%s is 413 while others are served, and memory stays bounded',
    async (name, method, path, headers, piece) => {
      const grown = await growth(async () => {
        const client = rude(method, path, headers);
        const flooding = client.flood(piece, FLOOD_BYTES);
        const others = serveOthers(`beside ${name}`.replaceAll(' ', '-'), OTHERS);
        await flooding;
        expect(await client.answered(10_000)).toBe(413);
        expect(await others).toBeLessThan(SERVED_WITHIN_MS);
      });
      if (LONG.isLong) say(`1 GiB ${name}: ${String(Math.round(grown / MIB))} MiB more memory`);
      expect(grown).toBeLessThan(400 * MIB);
    },
    60_000,
  );

  if (LONG.isLong) {
    it('of whole lines is stored while others are served, and memory stays bounded', async () => {
      const grown = await growth(async () => {
        const stored = new AbortController();
        const headers = { 'Content-Type': 'application/x-ndjson' };
        const storing = stack
          .call('/batches/whole-lines', { method: 'PUT', headers, body: wholeLines(GIB) }, 20 * 60_000)
          .finally(() => {
            stored.abort();
          });
        for (let n = 0; !stored.signal.aborted; n++) {
          expect(await serveOthers(`beside-lines-${String(n)}`, 10)).toBeLessThan(SERVED_WITHIN_MS);
          await sleep(200);
        }
        expect((await storing).status).toBe(201);
      });
      say(`1 GB of whole lines: ${String(Math.round(grown / MIB))} MiB more memory`);
      expect(grown).toBeLessThan(400 * MIB);
    }, 1_200_000);
  }

  it('announced by its Content-Length is 413 before any of it is read', async () => {
    const client = rude('POST', '/batches', [...JSON_HEADERS, `Content-Length: ${String(FLOOD_BYTES)}`]);
    expect(await client.answered(5_000)).toBe(413);
  });
});
