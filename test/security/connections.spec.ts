import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';

/** DATABASE_POOL_MAX without its two reserved connections. */
const SHARED_CONNECTIONS = 4;
const BATCH = 'locked';

let api: TestApi;
let projects: [TestProject, TestProject];

beforeAll(async () => {
  api = await TestApi.start({ DATABASE_POOL_MAX: String(SHARED_CONNECTIONS + 2) });
  projects = [await api.project(), await api.project()];
  for (const { keys } of projects) {
    const body = { batch_id: BATCH, objects: [] };
    expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
  }
});
afterAll(() => api.stop());

let posted = 0;

/** Posts objects to the batch of a project whose row is locked. */
function postObjects({ keys }: TestProject, count: number): Promise<Reply>[] {
  return Array.from({ length: count }, () => {
    const body = { batch_id: BATCH, object_id: `o-${String(posted++)}`, data: [] };
    return api.call('POST', '/objects', { key: keys.producer, body });
  });
}

async function countLockWaits(): Promise<number> {
  const rows = await api.db.sql(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

/** Runs the work while requests of both projects hold every shared connection, because they wait for the rows of their batches. */
async function whileAllConnectionsAreTaken(work: () => Promise<void>): Promise<void> {
  let requests: Promise<Reply>[] = [];
  await api.db.transaction(async (tx) => {
    await tx.query('SELECT FROM batches WHERE batch_id = $1 FOR UPDATE', [BATCH]);
    requests = projects.flatMap((project) => postObjects(project, SHARED_CONNECTIONS));
    await waitFor(async () => ((await countLockWaits()) === SHARED_CONNECTIONS ? true : undefined));
    let ended = 0;
    for (const request of requests) void request.then(() => ended++);
    await work();
    expect(ended).toBe(0);
  });
  for (const reply of await Promise.all(requests)) expect([reply.status, reply.text]).toEqual([201, reply.text]);
}

describe('while requests hold every shared connection', () => {
  it('/health/ready succeeds', async () => {
    await whileAllConnectionsAreTaken(async () => {
      expect((await api.call('GET', `${api.origin}/health/ready`)).status).toBe(200);
    });
  });

  it('an unknown key is rejected without waiting', async () => {
    await whileAllConnectionsAreTaken(async () => {
      const reply = await api.call('GET', '/objects', { key: 'a-key-that-was-never-looked-up' });
      expectProblem(reply, 'unauthenticated');
    });
  });

  it('a key that is used for the first time is accepted without waiting', async () => {
    const { keys } = projects[0];
    await whileAllConnectionsAreTaken(async () => {
      // The role is checked after the key is found.
      expectProblem(await api.call('POST', '/firmware', { key: keys.analyst, body: {} }), 'forbidden');
    });
  });
});
