import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../libs/database/src/embedded-postgres.js';
import { urlOf } from '../harness/tables.js';
import type { RequestData, Reply } from './http.js';
import { RUN_OPTIONS } from './run-options.js';
import { Stack } from './stack.js';
import { writeOf } from './writes.js';

const OUTAGE_MS = RUN_OPTIONS.isLong ? 30_000 : 2_000;
/** Allows for a few connection attempts with pauses between them. */
const RESPONSE_WITHIN_MS = 5_000;
const RECOVERY_WITHIN_MS = 10_000;
const JOBS = 40;

let stack: Stack;
let postgres: EmbeddedPostgres;

beforeAll(async () => {
  stack = await Stack.create({ STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters', WORKER: 'separate' });
  await startPostgres();
  const settings = { DATABASE_URL: urlOf(postgres.address) };
  await stack.startServer(settings);
  await stack.startWorker(settings);
}, 60_000);
afterAll(async () => {
  await stack.close();
  await postgres.stop();
});

/** Starts PostgreSQL. Stowage gets its address as DATABASE_URL and does not manage it. */
async function startPostgres(): Promise<void> {
  postgres = await startEmbeddedPostgres({ dataDir: stack.postgresDir, say: () => undefined });
}

/** Returns one request of each kind, by name. */
function buildRequests(n: number): Record<string, [path: string, request: RequestData]> {
  const [small, large] = [writeOf('batches', 2 * n), writeOf('batches', 2 * n + 1)];
  const [stream, keyed] = [writeOf('streams', 3 * n), writeOf('keyed', 3 * n)];
  const [asyncStream, asyncKeyed] = [writeOf('streams', 3 * n + 2), writeOf('keyed', 3 * n + 2)];
  const writes = { small, large, stream, keyed, asyncStream, asyncKeyed };
  const sent = Object.entries(writes).map(([name, { path, request }]) => [name, [path, request()]] as const);
  return {
    ...Object.fromEntries(sent),
    list: ['/batches', { method: 'GET' }],
    search: ['/objects?key=type', { method: 'GET' }],
    batch: ['/batches/before', { method: 'GET' }],
    remove: ['/batches/before?cascade=true', { method: 'DELETE' }],
  };
}

async function callTimed(path: string, request: RequestData): Promise<{ reply: Reply; tookMs: number }> {
  const start = performance.now();
  const reply = await stack.call(path, request);
  return { reply, tookMs: performance.now() - start };
}

async function healthStatus(path: string): Promise<number> {
  return (await fetch(new URL(path, stack.url))).status;
}

function postBatch(id: string, headers: Record<string, string> = {}): Promise<Reply> {
  const body = JSON.stringify({ batch_id: id, objects: [{ object_id: `${id}-1`, data: { type: 'shoe' } }] });
  return stack.call('/batches', { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body });
}

describe(`a PostgreSQL outage of ${String(OUTAGE_MS / 1000)} s`, () => {
  const jobs: string[] = [];

  it('makes every route return 503 with Retry-After within 5 s, and /health/ready return 503', async () => {
    expect((await postBatch('before')).status).toBe(201);
    const accepted = await Promise.all(
      Array.from({ length: JOBS }, (_, i) => postBatch(`job-${String(i)}`, { Prefer: 'respond-async' })),
    );
    const closing = postgres.stop();
    for (const { status, headers } of accepted) {
      expect(status).toBe(202);
      jobs.push(new URL(headers.location ?? '').pathname.replace('/api/v1', ''));
    }
    await closing;
    const end = Date.now() + OUTAGE_MS;
    for (let n = 0; n < 2 || Date.now() < end; n++) {
      const responses = await Promise.all(
        Object.entries(buildRequests(n)).map(async ([name, request]) => ({ name, ...(await callTimed(...request)) })),
      );
      for (const { name, reply, tookMs } of responses) {
        expect([name, reply.status]).toEqual([name, 503]);
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
        expect([name, tookMs < RESPONSE_WITHIN_MS]).toEqual([name, true]);
      }
      expect([await healthStatus('/health/ready'), await healthStatus('/health/live')]).toEqual([503, 200]);
      await sleep(500);
    }
  }, 120_000);

  it('ends within 10 s after PostgreSQL is available again, without a restart of Stowage', async () => {
    await startPostgres();
    const start = performance.now();
    await stack.waitUntilReady();
    for (const [name, [path, request]] of Object.entries(buildRequests(1_000))) {
      const { status } = await stack.call(path, request);
      expect([name, status < 300]).toEqual([name, true]);
    }
    expect(performance.now() - start).toBeLessThan(RECOVERY_WITHIN_MS);
    await stack.checkAlive();
  }, 30_000);

  it('loses no job that was accepted before', async () => {
    for (const job of jobs) {
      let status = '';
      for (let i = 0; i < 600 && status !== 'succeeded'; i++) {
        if (i > 0) await sleep(100);
        if (i % 10 === 1 && !RUN_OPTIONS.isLong) await stack.advanceClocks();
        ({ status } = JSON.parse((await stack.call(job)).text) as { status: string });
      }
      expect(status).toBe('succeeded');
    }
    const [row] = await stack.sql<{ count: string }>(`SELECT count(*) FROM batches WHERE batch_id LIKE 'job-%'`);
    expect(Number(row?.count)).toBe(JOBS);
    expect(await stack.findIndexDifferences()).toEqual([]);
  }, 70_000);
});
