import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { RUN } from '../harness/run.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterEach(() => allowConnections(true));
afterAll(() => api.stop());

/** Allows connections to the test database, or rejects them and terminates those of the server. */
async function allowConnections(isAllowed: boolean): Promise<void> {
  const { database } = api.db.address;
  const admin = await connect(RUN.superuser);
  await admin.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS ${String(isAllowed)}`);
  if (!isAllowed)
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND application_name ~ '^stowage [A-Z]'`,
    );
  await admin.end();
}

async function connect(address = api.db.address): Promise<pg.Client> {
  const client = new pg.Client({ ...address, ssl: false });
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

/** Waits until a request in progress has claimed its Idempotency-Key. */
async function waitForClaim(): Promise<void> {
  const held = 'SELECT FROM idempotency_keys WHERE status IS NULL AND claimed_until > now()';
  while ((await api.db.sql(held)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Expires all claims, as if their server had not renewed them for 15 s. */
async function expireClaims(): Promise<void> {
  await api.db.sql('UPDATE idempotency_keys SET claimed_until = now() WHERE status IS NULL');
}

async function expectCreatedOnce(name: string): Promise<void> {
  const [first, second] = [await postKey(name), await postKey(name)];
  expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([201, null]);
  expect([second.text, second.headers.get('idempotency-replayed')]).toEqual([first.text, 'true']);
  expect(await api.db.sql('SELECT FROM api_keys WHERE name = $1', [name])).toHaveLength(1);
}

describe('a request with an Idempotency-Key can be retried', () => {
  it('after a 500', async () => {
    await api.db.sql('ALTER TABLE api_keys RENAME COLUMN name TO unavailable_name');
    try {
      expectProblem(await postKey('fault'), 'internal');
    } finally {
      await api.db.sql('ALTER TABLE api_keys RENAME COLUMN unavailable_name TO name');
    }
    await expectCreatedOnce('fault');
  });

  it('after a 503, because the database was unavailable', async () => {
    await allowConnections(false);
    expectProblem(await postKey('away'), 'unavailable');
    await allowConnections(true);
    await expectCreatedOnce('away');
  });

  it('after an outage of the database during the request, when the claim on the key has expired', async () => {
    const blocker = await connect();
    await blocker.query('BEGIN; LOCK TABLE api_keys IN EXCLUSIVE MODE');
    const lost = postKey('lost');
    await waitForClaim();
    // Otherwise the server may release the claim on a connection that is terminated later than the one of the request.
    await blocker.query('LOCK TABLE idempotency_keys IN EXCLUSIVE MODE');
    await allowConnections(false);
    expectProblem(await lost, 'unavailable');
    await allowConnections(true);
    await blocker.end();
    expectProblem(await postKey('lost'), 'idempotency-in-progress');
    await expireClaims();
    await expectCreatedOnce('lost');
  });
});

describe('a server that was suspended until its claim expired', () => {
  it('cannot store the batch that another server has stored for the same key', async () => {
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'slept', objects: [{ object_id: 'slept', data: [] }] },
      headers: { 'Idempotency-Key': 'slept' },
    };
    const blocker = await connect();
    await blocker.query('BEGIN; LOCK TABLE batches IN EXCLUSIVE MODE');
    const suspended = api.call('POST', '/batches', options);
    await waitForClaim();
    await expireClaims();
    const retried = api.call('POST', '/batches', options);
    await waitForClaim();
    await blocker.end();
    expect([(await suspended).status, (await retried).status]).toEqual([409, 201]);
    const again = await api.call('POST', '/batches', options);
    expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([(await retried).text, 'true']);
  });
});
