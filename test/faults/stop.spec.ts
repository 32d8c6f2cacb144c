import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectionBroken } from './http.js';
import { Ledger } from './ledger.js';
import { Stack, stopProcess } from './stack.js';

/** Endless streams by name: lines per chunk, and the pause between chunks in milliseconds. */
const STREAMS = {
  few: { lines: 1, pauseMs: 500 },
  slow: { lines: 400, pauseMs: 100 },
  fast: { lines: 2_000, pauseMs: 0 },
};
const EXIT_WITHIN_MS = 10_000;

let stack: Stack;

beforeAll(async () => {
  stack = await Stack.create();
  await stack.startServer();
}, 60_000);
afterAll(() => stack.close());

async function* endlessLines(
  id: string,
  { lines, pauseMs }: { lines: number; pauseMs: number },
): AsyncGenerator<string> {
  for (let n = 0; ; n += lines) {
    const objects = Array.from(
      { length: lines },
      (_, i) => `{"object_id":"${id}-${String(n + i)}","data":{"n":${String(i)}}}\n`,
    );
    yield objects.join('');
    await sleep(pauseMs);
  }
}

/** @returns the status, or 0 if the connection broke */
async function put(id: string, pace: { lines: number; pauseMs: number }): Promise<number> {
  const headers = { 'Content-Type': 'application/x-ndjson' };
  try {
    return (await stack.call(`/batches/${id}`, { method: 'PUT', headers, body: endlessLines(id, pace) })).status;
  } catch (error) {
    if (error instanceof ConnectionBroken) return 0;
    throw error;
  }
}

async function waitForRow(sql: string, what: string): Promise<void> {
  for (let waitedMs = 0; (await stack.sql(sql)).length === 0; waitedMs += 50) {
    if (waitedMs > 20_000) throw new Error(`the streams have no ${what}`);
    await sleep(50);
  }
}

/** Waits until the server has a transaction that has been open for 0.2 s. */
const waitForTransaction = (): Promise<void> =>
  waitForRow(
    `SELECT FROM pg_stat_activity WHERE application_name ~ '^stowage [A-Z]' AND xact_start < now() - interval '0.2 s'`,
    'transaction',
  );

const waitForParts = (): Promise<void> => waitForRow('SELECT FROM job_parts', 'stored part');

describe('SIGTERM during streams', () => {
  it('stops the server within 10 s with exit code 0; no stream gets a 2xx or is stored partially', async () => {
    const { server } = stack;
    if (server === undefined) throw new Error('the server is not running');
    const ids = Object.keys(STREAMS).map((_, i) => `stream-${String(i)}`);
    const statuses = Promise.all(Object.values(STREAMS).map((pace, i) => put(ids[i] ?? '', pace)));
    // Of the fast stream; the others are stored in parts until they have arrived.
    await waitForTransaction();
    await waitForParts();
    const { code, ms } = await stopProcess(server);
    expect(code).toBe(0);
    expect(ms).toBeLessThan(EXIT_WITHIN_MS);
    for (const status of await statuses) expect(status === 0 || status >= 400).toBe(true);

    await stack.startServer();
    const found = await Promise.all(ids.map(async (id) => (await stack.call(`/batches/${id}`)).status));
    expect(found).toEqual([404, 404, 404]);
    const ledger = new Ledger(stack);
    await ledger.checkNoPartialBatches();
    expect(ledger.faults).toEqual([]);
  }, 60_000);
});
