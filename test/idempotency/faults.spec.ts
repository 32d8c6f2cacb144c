import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterEach(() => letIn(true));
afterAll(() => api.stop());

/** Opens the database of the tests, or closes it and throws the server out. */
async function letIn(isOpen: boolean): Promise<void> {
  const { database } = api.db.address;
  const admin = await connect('postgres');
  await admin.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS ${String(isOpen)}`);
  if (!isOpen)
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'stowage'`,
    );
  await admin.end();
}

async function connect(database = api.db.address.database): Promise<pg.Client> {
  const client = new pg.Client({ ...api.db.address, database, ssl: false });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

function postKey(name: string): Promise<Reply> {
  return api.call('POST', `/projects/${String(project.projectId)}/keys`, {
    key: project.keys.admin,
    body: { name, role: 'analyst' },
    headers: { 'Idempotency-Key': name },
  });
}

/** Waits until a request has begun: it holds its Idempotency-Key. */
async function untilClaimed(): Promise<void> {
  const held = 'SELECT FROM idempotency_keys WHERE status IS NULL AND claimed_until > now()';
  while ((await api.db.sql(held)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Lets all claims run out, as after 15 seconds in which their server did nothing. */
async function runOut(): Promise<void> {
  await api.db.sql('UPDATE idempotency_keys SET claimed_until = now() WHERE status IS NULL');
}

async function expectMadeOnce(name: string): Promise<void> {
  const [first, second] = [await postKey(name), await postKey(name)];
  expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([201, null]);
  expect([second.text, second.headers.get('idempotency-replayed')]).toEqual([first.text, 'true']);
  expect(await api.db.sql('SELECT FROM api_keys WHERE name = $1', [name])).toHaveLength(1);
}

describe('an answer of 5xx is never given again', () => {
  it('when the fault was ours', async () => {
    await api.db.sql('ALTER TABLE api_keys RENAME COLUMN name TO out_of_reach');
    try {
      expectProblem(await postKey('fault'), 'internal');
    } finally {
      await api.db.sql('ALTER TABLE api_keys RENAME COLUMN out_of_reach TO name');
    }
    await expectMadeOnce('fault');
  });

  it('when the database was away', async () => {
    await letIn(false);
    expectProblem(await postKey('away'), 'unavailable');
    await letIn(true);
    await expectMadeOnce('away');
  });

  it('when the database was lost while the request ran: the claim on the key runs out', async () => {
    const blocker = await connect();
    await blocker.query('BEGIN; LOCK TABLE api_keys IN EXCLUSIVE MODE');
    const lost = postKey('lost');
    await untilClaimed();
    // Else the server may let go of the claim on a connection that ends a moment later than the one of the request.
    await blocker.query('LOCK TABLE idempotency_keys IN EXCLUSIVE MODE');
    await letIn(false);
    expectProblem(await lost, 'unavailable');
    await letIn(true);
    await blocker.end();
    expectProblem(await postKey('lost'), 'idempotency-in-progress');
    await runOut();
    await expectMadeOnce('lost');
  });
});

describe('a server that slept so long that it was taken for dead', () => {
  it('and one that took its request over store the batch once, and the answer is that it was stored', async () => {
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'slept', objects: [{ object_id: 'slept', data: [] }] },
      headers: { 'Idempotency-Key': 'slept' },
    };
    const blocker = await connect();
    await blocker.query('BEGIN; LOCK TABLE batches IN EXCLUSIVE MODE');
    const slept = api.call('POST', '/batches', options);
    await untilClaimed();
    await runOut();
    const took = api.call('POST', '/batches', options);
    await untilClaimed();
    await blocker.end();
    expect([(await slept).status, (await took).status]).toEqual([409, 201]);
    const again = await api.call('POST', '/batches', options);
    expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([(await took).text, 'true']);
  });
});
