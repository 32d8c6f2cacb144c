import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NoAnswer } from './http.js';
import { Ledger } from './ledger.js';
import { Stack, stop } from './stack.js';

/** Streams that would never end, by name: how many lines at a time, and the pause between, in milliseconds. */
const STREAMS = {
  'one that has brought only a few lines': { lines: 1, pauseMs: 500 },
  'a slow one': { lines: 400, pauseMs: 100 },
  'a fast one': { lines: 2_000, pauseMs: 0 },
};
const EXIT_WITHIN_MS = 10_000;

let stack: Stack;

beforeAll(async () => {
  stack = await Stack.make();
  await stack.serve();
}, 60_000);
afterAll(() => stack.close());

async function* endless(id: string, { lines, pauseMs }: { lines: number; pauseMs: number }): AsyncGenerator<string> {
  for (let n = 0; ; n += lines) {
    const objects = Array.from(
      { length: lines },
      (_, i) => `{"object_id":"${id}-${String(n + i)}","data":{"n":${String(i)}}}\n`,
    );
    yield objects.join('');
    await sleep(pauseMs);
  }
}

/** @returns the status, or 0 where the connection broke */
async function put(id: string, pace: { lines: number; pauseMs: number }): Promise<number> {
  const headers = { 'Content-Type': 'application/x-ndjson' };
  try {
    return (await stack.call(`/batches/${id}`, { method: 'PUT', headers, body: endless(id, pace) })).status;
  } catch (error) {
    if (error instanceof NoAnswer) return 0;
    throw error;
  }
}

/** Waits until so many transactions of the server have been open for a moment. */
async function transactionsOpen(count: number): Promise<void> {
  const open = `SELECT FROM pg_stat_activity WHERE application_name = 'stowage' AND xact_start < now() - interval '0.2 s'`;
  for (let waitedMs = 0; (await stack.sql(open)).length < count; waitedMs += 50) {
    if (waitedMs > 20_000) throw new Error(`the streams opened fewer than ${String(count)} transactions`);
    await sleep(50);
  }
}

describe('SIGTERM during streams', () => {
  it('ends the server with 0 within 10 s, with no 2xx for any of them and nothing stored in part', async () => {
    const { server } = stack;
    if (server === undefined) throw new Error('there is no server');
    const ids = Object.keys(STREAMS).map((_, i) => `stream-${String(i)}`);
    const statuses = Promise.all(Object.values(STREAMS).map((pace, i) => put(ids[i] ?? '', pace)));
    await transactionsOpen(2);
    const { code, ms } = await stop(server);
    expect(code).toBe(0);
    expect(ms).toBeLessThan(EXIT_WITHIN_MS);
    for (const status of await statuses) expect(status === 0 || status >= 400).toBe(true);

    await stack.serve();
    const found = await Promise.all(ids.map(async (id) => (await stack.call(`/batches/${id}`)).status));
    expect(found).toEqual([404, 404, 404]);
    const ledger = new Ledger(stack);
    await ledger.checkWholeness();
    expect(ledger.faults).toEqual([]);
  }, 60_000);
});
