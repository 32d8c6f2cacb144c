import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../libs/database/src/embedded-postgres.js';
import type { Outgoing, Reply } from './http.js';
import { LONG } from './length.js';
import { Stack } from './stack.js';
import { writeOf } from './writes.js';

const AWAY_MS = LONG.isLong ? 30_000 : 2_000;
/** Some tries to reach the database, with pauses between them. */
const ANSWERED_WITHIN_MS = 5_000;
const BACK_WITHIN_MS = 10_000;
const JOBS = 40;

let stack: Stack;
let postgres: EmbeddedPostgres;

beforeAll(async () => {
  stack = await Stack.make({ STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters', WORKER: 'separate' });
  await letIn();
  const { host, port, user, database } = postgres.address;
  const settings = { DATABASE_URL: `postgresql://${user}@${encodeURIComponent(host)}:${String(port)}/${database}` };
  await stack.serve(settings);
  await stack.work(settings);
}, 60_000);
afterAll(async () => {
  await stack.close();
  await postgres.stop();
});

/** To Stowage it is one of somebody else's: it is given as DATABASE_URL. */
async function letIn(): Promise<void> {
  postgres = await startEmbeddedPostgres({ dataDir: stack.postgresDir, say: () => undefined });
}

/** One request of each kind, each with its name. */
function requests(n: number): Record<string, [path: string, outgoing: Outgoing]> {
  const [small, large] = [writeOf('batches', 2 * n), writeOf('batches', 2 * n + 1)];
  const [stream, keyed] = [writeOf('streams', 3 * n), writeOf('keyed', 3 * n)];
  const [laterStream, laterKeyed] = [writeOf('streams', 3 * n + 2), writeOf('keyed', 3 * n + 2)];
  const writes = { small, large, stream, keyed, laterStream, laterKeyed };
  const sent = Object.entries(writes).map(([name, { path, outgoing }]) => [name, [path, outgoing()]] as const);
  return {
    ...Object.fromEntries(sent),
    list: ['/batches', { method: 'GET' }],
    search: ['/objects?key=type', { method: 'GET' }],
    batch: ['/batches/before', { method: 'GET' }],
    remove: ['/batches/before?cascade=true', { method: 'DELETE' }],
  };
}

async function timed(path: string, outgoing: Outgoing): Promise<{ reply: Reply; tookMs: number }> {
  const start = performance.now();
  const reply = await stack.call(path, outgoing);
  return { reply, tookMs: performance.now() - start };
}

async function health(path: string): Promise<number> {
  return (await fetch(new URL(path, stack.url))).status;
}

function postBatch(id: string, headers: Record<string, string> = {}): Promise<Reply> {
  const body = JSON.stringify({ batch_id: id, objects: [{ object_id: `${id}-1`, data: { type: 'shoe' } }] });
  return stack.call('/batches', { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body });
}

describe(`PostgreSQL away for ${String(AWAY_MS / 1000)} s`, () => {
  const jobs: string[] = [];

  it('is answered 503 with Retry-After by every route, soon, and by the health check', async () => {
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
    const end = Date.now() + AWAY_MS;
    for (let n = 0; n < 2 || Date.now() < end; n++) {
      const answers = await Promise.all(
        Object.entries(requests(n)).map(async ([name, request]) => ({ name, ...(await timed(...request)) })),
      );
      for (const { name, reply, tookMs } of answers) {
        expect([name, reply.status]).toEqual([name, 503]);
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
        expect([name, tookMs < ANSWERED_WITHIN_MS]).toEqual([name, true]);
      }
      expect([await health('/health/ready'), await health('/health/live')]).toEqual([503, 200]);
      await sleep(500);
    }
  }, 120_000);

  it('is over as soon as it is back, without a restart of anything', async () => {
    await letIn();
    const start = performance.now();
    await stack.ready();
    for (const [name, [path, outgoing]] of Object.entries(requests(1_000))) {
      const { status } = await stack.call(path, outgoing);
      expect([name, status < 300]).toEqual([name, true]);
    }
    expect(performance.now() - start).toBeLessThan(BACK_WITHIN_MS);
    await stack.checkAlive();
  }, 30_000);

  it('loses no job that was accepted before', async () => {
    for (const job of jobs) {
      let status = '';
      for (let i = 0; i < 600 && status !== 'succeeded'; i++) {
        if (i > 0) await sleep(100);
        if (i % 10 === 1 && !LONG.isLong) await stack.moveClocks();
        ({ status } = JSON.parse((await stack.call(job)).text) as { status: string });
      }
      expect(status).toBe('succeeded');
    }
    const [row] = await stack.sql<{ count: string }>(`SELECT count(*) FROM batches WHERE batch_id LIKE 'job-%'`);
    expect(Number(row?.count)).toBe(JOBS);
  }, 70_000);
});
