import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

/** Two of these are reserved, and two are for streams, large batches, jobs and maintenance. */
const POOL_MAX = 8;
const PROJECT_CONNECTIONS = POOL_MAX - 4;
const BATCH = 'locked';
const SLOW_MS = 50;
/** Few, because the requests of the project wait for up to 10 s only, also on a busy machine. */
const BYSTANDER_READS = 3;

let api: TestApi;
let projects: [TestProject, TestProject];
let bystander: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ DATABASE_POOL_MAX: String(POOL_MAX) });
  projects = [await api.project(), await api.project()];
  bystander = await api.project();
  for (const { keys } of [...projects, bystander]) {
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

/**
 * Sends reads of a project until their average time is below that of a slow project, which gets fewer connections while others have
 * work: on a busy machine a project becomes slow. The server averages in the same way.
 */
async function becomeFast({ keys }: TestProject): Promise<void> {
  // No request takes longer than it waits for a lock.
  for (let averageMs = 10_000; averageMs > SLOW_MS;) {
    const start = performance.now();
    await api.call('GET', `/batches/${BATCH}`, { key: keys.analyst });
    averageMs += (performance.now() - start - averageMs) / 4;
  }
}

/** Runs the work while requests of these projects wait for the locked rows of their batches. */
async function whileLocked(
  { of, requestsEach, connections }: { of: TestProject[]; requestsEach: number; connections: number },
  work: () => Promise<void>,
): Promise<void> {
  for (const project of of) await becomeFast(project);
  let requests: Promise<Reply>[] = [];
  await api.db.transaction(async (tx) => {
    const projectIds = of.map(({ projectId }) => projectId);
    await tx.query('SELECT FROM batches WHERE batch_id = $1 AND project_id = ANY ($2) FOR UPDATE', [BATCH, projectIds]);
    requests = of.flatMap((project) => postObjects(project, requestsEach));
    await waitFor(async () => ((await countLockWaits(api.db)) === connections ? true : undefined));
    let ended = 0;
    for (const request of requests) void request.then(() => ended++);
    await work();
    expect([ended, await countLockWaits(api.db)]).toEqual([0, connections]);
  });
  for (const reply of await Promise.all(requests)) expect([reply.status, reply.text]).toEqual([201, reply.text]);
}

describe('a project whose 20 requests wait for a locked batch', () => {
  it('holds half of the connections, and another project is served', async () => {
    const connections = PROJECT_CONNECTIONS / 2;
    await whileLocked({ of: [projects[0]], requestsEach: 20, connections }, async () => {
      const { analyst, producer } = bystander.keys;
      const body = { batch_id: BATCH, object_id: 'of-the-bystander', data: [] };
      expect((await api.call('POST', '/objects', { key: producer, body })).status).toBe(201);
      expect((await api.call('GET', '/objects/of-the-bystander', { key: analyst })).status).toBe(200);
      expect((await api.call('GET', `/batches/${BATCH}`, { key: analyst })).status).toBe(200);
      expect((await api.call('GET', '/objects?key=a&count=exact', { key: analyst })).status).toBe(200);
    });
  });

  it('stores its readings, which share connections instead of taking a slot', async () => {
    const [project] = projects;
    await whileLocked({ of: [project], requestsEach: 20, connections: PROJECT_CONNECTIONS / 2 }, async () => {
      const path = '/buildings/HQ/rooms/lab/temperatures';
      const reply = await api.call('POST', path, { key: project.keys.producer, body: { temperature: 21 } });
      expect([reply.status, reply.text]).toEqual([201, reply.text]);
    });
  });
});

describe('a project whose five large batches wait for one another', () => {
  it('reads and writes meanwhile', async () => {
    const [{ keys, projectId }] = projects;
    let requests: Promise<Reply>[] = [];
    await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM batches WHERE batch_id = $1 AND project_id = $2 FOR UPDATE', [BATCH, projectId]);
      requests = Array.from({ length: 5 }, () =>
        api.call('PUT', `/batches/${BATCH}?on_conflict=skip`, { key: keys.producer, body: { objects: [] } }),
      );
      await waitFor(async () => ((await countLockWaits(api.db)) === 1 ? true : undefined));
      expect((await api.call('GET', `/batches/${BATCH}`, { key: keys.analyst })).status).toBe(200);
      const body = { batch_id: 'another', objects: [] };
      expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
      expect(await countLockWaits(api.db)).toBe(1);
    });
    for (const { status } of await Promise.all(requests)) expect(status).toBe(200);
  });
});

describe('a project whose 20 streams of one line wait for a batch that is being created', () => {
  it('holds one connection for them, and another project is served', async () => {
    const [{ projectId, keys }] = projects;
    let requests: Promise<Reply>[] = [];
    await api.db.transaction(async (tx) => {
      await tx.query(
        `INSERT INTO batches (project_id, batch_id, seq, revision, object_count) VALUES ($1, 'pending', 1, 1, 0)`,
        [projectId],
      );
      requests = Array.from({ length: 20 }, () =>
        api.call('PUT', '/batches/pending?on_conflict=skip', {
          key: keys.producer,
          body: '{"object_id":"of-a-stream","data":[]}\n',
          headers: { 'Content-Type': 'application/x-ndjson' },
        }),
      );
      await waitFor(async () => ((await countLockWaits(api.db)) === 1 ? true : undefined));
      for (let i = 0; i < BYSTANDER_READS; i++) {
        expect((await api.call('GET', '/batches', { key: bystander.keys.analyst })).status).toBe(200);
      }
      expect(await countLockWaits(api.db)).toBe(1);
    });
    for (const { status } of await Promise.all(requests)) expect(status).toBe(200);
  });
});

describe('a project whose 20 pages of batches wait for their nested objects', () => {
  it('holds one connection for them, and another project is served', async () => {
    const [{ keys }] = projects;
    let bodies: Promise<string>[] = [];
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE objects');
      // Resolved when the responses have begun.
      const responses = Array.from({ length: 20 }, () =>
        fetch(`${api.origin}/api/v1/batches?include=objects`, { headers: { 'X-Api-Key': keys.analyst } }),
      );
      bodies = (await Promise.all(responses)).map((response) => response.text());
      expect((await api.call('GET', '/batches', { key: bystander.keys.analyst })).status).toBe(200);
      expect(await countLockWaits(api.db)).toBe(1);
    });
    for (const body of await Promise.all(bodies)) expect(JSON.parse(body)).toHaveProperty('results');
  });
});

describe('a project that streams the bodies of 20 jobs', () => {
  it('holds one of two connections to store them, and another project is served', async () => {
    const [{ keys }] = projects;
    let requests: Promise<Reply>[] = [];
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE job_parts IN SHARE MODE');
      requests = Array.from({ length: 20 }, (_, i) =>
        api.call('PUT', `/batches/job-${String(i)}`, {
          key: keys.producer,
          body: '{"object_id":"of-a-job","data":[]}\n',
          headers: { 'Content-Type': 'application/x-ndjson', Prefer: 'respond-async' },
        }),
      );
      await waitFor(async () => ((await countLockWaits(api.db)) === 1 ? true : undefined));
      for (let i = 0; i < BYSTANDER_READS; i++) {
        expect((await api.call('GET', '/batches', { key: bystander.keys.analyst })).status).toBe(200);
      }
      expect(await countLockWaits(api.db)).toBe(1);
    });
    for (const { status } of await Promise.all(requests)) expect(status).toBe(202);
  });
});

describe('requests whose clients leave', () => {
  it('keep their slots while their writes go on, and give them back afterwards; those that wait are dropped', async () => {
    const [{ projectId, keys }] = projects;
    const connections = PROJECT_CONNECTIONS / 2;
    const leaving = new AbortController();
    const post = (id: string): Promise<unknown> =>
      fetch(`${api.origin}/api/v1/objects`, {
        method: 'POST',
        headers: { 'X-Api-Key': keys.producer, 'Content-Type': 'application/json' },
        body: JSON.stringify({ batch_id: BATCH, object_id: id, data: [] }),
        signal: leaving.signal,
      }).catch(() => 'left');
    let later: Promise<Reply>[] = [];
    await becomeFast(projects[0]);
    await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM batches WHERE batch_id = $1 AND project_id = $2 FOR UPDATE', [BATCH, projectId]);
      const requests = Array.from({ length: 10 }, (_, i) => post(`left-${String(i)}`));
      await waitFor(async () => ((await countLockWaits(api.db)) === connections ? true : undefined));
      leaving.abort();
      expect(new Set(await Promise.all(requests))).toEqual(new Set(['left']));
      later = postObjects(projects[0], 3);
      // Answered after the server has seen the others leave.
      expect((await api.call('GET', `/batches/${BATCH}`, { key: bystander.keys.analyst })).status).toBe(200);
      expect(await countLockWaits(api.db)).toBe(connections);
    });
    for (const reply of await Promise.all(later)) expect([reply.status, reply.text]).toEqual([201, reply.text]);
    // The later ones may all have used the slot of the first one that ended.
    await waitFor(async () => ((await countLockWaits(api.db)) === 0 ? true : undefined));
    const countStored = async (): Promise<number> => {
      const sql = `SELECT FROM objects WHERE project_id = $1 AND object_id LIKE 'left-%'`;
      return (await api.db.sql(sql, [projectId])).length;
    };
    await waitFor(async () => ((await countStored()) >= connections ? true : undefined));
    expect(await countStored()).toBe(connections);
  });
});

describe('while requests hold every connection that projects share', () => {
  const all = { of: [] as TestProject[], requestsEach: PROJECT_CONNECTIONS, connections: PROJECT_CONNECTIONS };
  const whileAllConnectionsAreTaken = (work: () => Promise<void>): Promise<void> =>
    whileLocked({ ...all, of: projects }, work);

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
    await whileAllConnectionsAreTaken(async () => {
      // The role is checked after the key is found.
      expectProblem(await api.call('POST', '/firmware', { key: projects[0].keys.analyst, body: {} }), 'forbidden');
    });
  });
});

describe('a project whose reads of a large batch wait for one another', () => {
  it('reads another batch meanwhile', async () => {
    const [{ keys }] = projects;
    const data = [{ key: 'text', value: 'x'.repeat(30_000) }];
    const objects = Array.from({ length: 1_001 }, (_, i) => ({ object_id: `large-${String(i)}`, data }));
    const body = { batch_id: 'large', objects };
    expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
    const leaving = new AbortController();
    const read = (): Promise<Response> =>
      fetch(`${api.origin}/api/v1/batches/large`, {
        headers: { 'X-Api-Key': keys.analyst },
        signal: leaving.signal,
      });
    // Its body is not read, so it keeps the only slot for reading large batches.
    await read();
    let ended = 0;
    const waiting = [1, 2].map(() =>
      read()
        .catch(() => undefined)
        .finally(() => ended++),
    );
    for (let i = 0; i < BYSTANDER_READS; i++) {
      expect((await api.call('GET', `/batches/${BATCH}`, { key: keys.analyst })).status).toBe(200);
    }
    expect(ended).toBe(0);
    leaving.abort();
    await Promise.all(waiting);
  });
});
