import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { allowConnections } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { expectProblem } from './expect-problem.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
  const body = { batch_id: 'before', objects: [{ object_id: 'o', data: [] }] };
  await api.call('POST', '/batches', { key: project.keys.producer, body });
  await api.call('GET', '/batches', { key: project.keys.analyst });
});
afterEach(() => allowConnections(api.db.address, true));
afterAll(() => api.stop());

describe('while the database is unavailable', () => {
  it('every route returns 503 with Retry-After and reveals no internals', async () => {
    await allowConnections(api.db.address, false);
    const { producer, analyst, admin } = project.keys;
    const object = { object_id: 'new', data: [] };
    const patch = { 'Content-Type': 'application/merge-patch+json' };
    const replies = await Promise.all([
      api.call('GET', '/batches', { key: analyst }),
      api.call('GET', '/batches?include=objects', { key: analyst }),
      api.call('GET', '/batches/before', { key: analyst }),
      api.call('GET', '/objects?key=a', { key: analyst }),
      api.call('GET', '/objects/o', { key: analyst }),
      api.call('POST', '/batches', { key: producer, body: { batch_id: 'new', objects: [object] } }),
      api.call('POST', '/objects', { key: producer, body: { batch_id: 'before', ...object } }),
      api.call('PUT', '/objects/o', { key: producer, body: { data: [] } }),
      api.call('PATCH', '/objects/o', { key: producer, body: {}, headers: patch }),
      api.call('DELETE', '/objects/o', { key: admin }),
      api.call('DELETE', '/batches/before?cascade=true', { key: admin }),
      api.call('GET', '/projects', { key: api.operatorKey }),
      api.call('POST', '/projects', { key: api.operatorKey, body: { name: 'new' } }),
      api.call('GET', '/batches', { key: 'a-key-that-was-never-looked-up' }),
    ]);
    for (const reply of replies) {
      const { detail, errors } = expectProblem(reply, 'unavailable');
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
      expect([detail, errors]).toEqual([expect.stringMatching(/^The database /), undefined]);
      expect(reply.text).not.toMatch(/test_|socket|pg_|postgres|stack|\.js|\/tmp/i);
    }
  });

  it('resources that need no database are available', async () => {
    await allowConnections(api.db.address, false);
    expect((await api.call('GET', '/')).status).toBe(200);
    expect((await api.call('GET', '/limits')).status).toBe(200);
    expect((await api.call('GET', `${api.origin}/openapi.json`)).status).toBe(200);
    expectProblem(await api.call('GET', '/batches'), 'unauthenticated');
  });

  it('the process is live but not ready', async () => {
    await allowConnections(api.db.address, false);
    expect((await api.call('GET', `${api.origin}/health/live`)).status).toBe(200);
    for (const path of ['/health/ready', '/healthcheck']) {
      const reply = await api.call('GET', api.origin + path);
      expect(expectProblem(reply, 'unavailable')).toMatchObject({ details: { database: { status: 'down' } } });
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    }
  });
});

describe('when the database is available again', () => {
  it('all routes work again without a restart', async () => {
    await allowConnections(api.db.address, false);
    expectProblem(await api.call('GET', '/batches', { key: project.keys.analyst }), 'unavailable');
    await allowConnections(api.db.address, true);
    expect((await api.call('GET', '/batches/before', { key: project.keys.analyst })).status).toBe(200);
    expect((await api.call('GET', `${api.origin}/health/ready`)).json()).toMatchObject({ status: 'ok' });
    const body = { batch_id: 'after', objects: [] };
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
  });

  it('requests whose connections close before the commit are retried and succeed', async () => {
    const { keys } = await api.project();
    let posted: Promise<Reply>[] = [];
    await api.db.transaction(async (tx) => {
      // The transactions of the requests wait for this lock until their connections are closed.
      await tx.query('LOCK TABLE batches IN SHARE MODE');
      posted = Array.from({ length: 10 }, (_, i) => {
        const body = { batch_id: `break-${String(i)}`, objects: [{ object_id: `break-${String(i)}`, data: [] }] };
        return api.call('POST', '/batches', { key: keys.admin, body });
      });
      const waiting = `FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await waitFor(async () => ((await api.db.sql(`SELECT ${waiting}`)).length >= 3 ? true : undefined));
      await api.db.sql(`SELECT pg_terminate_backend(pid) ${waiting}`);
    });
    for (const [i, reply] of (await Promise.all(posted)).entries()) {
      const read = await api.call('GET', `/batches/break-${String(i)}`, { key: keys.admin });
      expect([reply.status, read.status]).toEqual([201, 200]);
    }
  });
});

describe('an unexpected error', () => {
  it('is a 500 problem that reveals no internals', async () => {
    await api.db.sql('ALTER TABLE objects RENAME TO objects_out_of_reach');
    try {
      const reply = await api.call('GET', '/objects/o', { key: project.keys.analyst });
      const problem = expectProblem(reply, 'internal');
      expect(problem.request_id).toBe(reply.headers.get('x-request-id'));
      expect(reply.text).not.toMatch(/relation|out_of_reach|select|postgres|stack|\.js/i);
    } finally {
      await api.db.sql('ALTER TABLE objects_out_of_reach RENAME TO objects');
    }
  });
});
