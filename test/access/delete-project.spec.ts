import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { Stowage } from '../cli/stowage.js';
import { settingsFor, TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor, waitForJob, type Job } from '../jobs/jobs.js';
import { ProjectWithResources } from '../security/resources.js';

let api: TestApi;
let key: string;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'inline' });
  key = api.operatorKey;
});
afterAll(() => api.stop());

const pathOf = (projectId: number): string => `/projects/${String(projectId)}`;

function remove({ projectId }: TestProject, query = '?cascade=true', headers = {}): Promise<Reply> {
  return api.call('DELETE', pathOf(projectId) + query, { key, headers });
}

/** Rows of the index as a batch with many objects has them, and of changes that are read. */
async function insertIndexRows(projectId: number): Promise<void> {
  await api.db.sql(
    `INSERT INTO index_segments (project_id, number, first_seq, last_seq, objects, weight, keys, seqs)
     VALUES ($1, nextval('index_segment_numbers'), 1, 2, 1, 1, '{}', '')`,
    [projectId],
  );
  await api.db.sql(
    `INSERT INTO index_blocks (project_id, segment, path, kind, value_count, posting_count, body) VALUES ($1, 1, 'a', 0, 1, 1, '')`,
    [projectId],
  );
  await api.db.sql(`INSERT INTO index_outdated (project_id, seq, before_segment) VALUES ($1, 1, 1)`, [projectId]);
  await api.db.sql(
    `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, objects, changed_at)
     VALUES ($1, pg_current_wal_insert_lsn(), 'created', 'b', true, 0, now())`,
    [projectId],
  );
  await api.db.sql(
    `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     VALUES ($1, 1, 1, 'e', '', 'failed', 1, now())`,
    [projectId],
  );
  await api.db.sql(`INSERT INTO change_feeds (project_id, last_position, deleted_until) VALUES ($1, 1, 0)`, [
    projectId,
  ]);
  await api.db.sql(
    `INSERT INTO changes (project_id, position, kind, batch_id, is_batch, objects, changed_at) VALUES ($1, 1, 'created', 'b', true, 0, now())`,
    [projectId],
  );
  await api.db.sql(`INSERT INTO index_pending (project_id, seq, is_wide) VALUES ($1, 1, true)`, [projectId]);
}

async function removeAndWait(project: TestProject, query?: string): Promise<Job> {
  const reply = await remove(project, query);
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  return waitForJob(api, key, reply.json<Job>());
}

async function store({ keys }: TestProject, batchId: string, count = 1, server = api): Promise<void> {
  const objects = Array.from({ length: count }, (_, i) => ({ object_id: `${batchId}-${String(i)}`, data: { i } }));
  const reply = await server.call('POST', '/batches', { key: keys.producer, body: { batch_id: batchId, objects } });
  expect(reply.status).toBe(201);
}

/** The tables with rows of a project that outlive it: the audit log is append-only, and the id is never used again. */
const KEPT = ['audit_chains', 'audit_entries', 'deleted_projects'];

/** The number of rows that a project has in each table with a `project_id`. */
async function rowsOf(projectId: number): Promise<Record<string, number>> {
  const tables = await api.db.sql<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = 'project_id' ORDER BY 1`,
  );
  const counts: Record<string, number> = {};
  for (const { name } of tables) {
    const [row] = await api.db.sql<{ count: string }>(`SELECT count(*) FROM ${name} WHERE project_id = $1`, [
      projectId,
    ]);
    counts[name] = Number(row?.count);
  }
  return counts;
}

async function expectNoRows(projectId: number): Promise<void> {
  const counts = await rowsOf(projectId);
  const left = Object.entries(counts).filter(([name, count]) => count > 0 && !KEPT.includes(name));
  expect(left).toEqual([]);
}

describe('DELETE /projects/{project_id}', () => {
  it('rejects a project with batches or objects, with their numbers, and deletes nothing', async () => {
    const project = await api.project();
    await store(project, 'full', 3);
    await store(project, 'empty', 0);
    const before = await rowsOf(project.projectId);
    for (const query of ['', '?cascade=false']) {
      const problem = expectProblem(await remove(project, query), 'project-not-empty');
      expect(problem).toMatchObject({ batch_count: 2, object_count: 3 });
    }
    expect(await rowsOf(project.projectId)).toEqual(before);
    expect((await api.call('GET', '/objects', { key: project.keys.analyst })).json()).toMatchObject({ count: 3 });
  });

  it('rejects a project with an empty batch', async () => {
    const project = await api.project();
    await store(project, 'empty', 0);
    expect(expectProblem(await remove(project, ''), 'project-not-empty')).toMatchObject({
      detail: 'The project still has 1 batch with 0 objects; use cascade=true to delete them with it.',
      batch_count: 1,
      object_count: 0,
    });
  });

  it('rejects a project with a job that has not ended, which may store something', async () => {
    const project = await api.project();
    await api.db.sql(
      `INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts)
       VALUES ($1, 1, 1, 'test', '{}', 'application/json', 0, 'queued', 0)`,
      [project.projectId],
    );
    expect(expectProblem(await remove(project, ''), 'project-not-empty').detail).toContain('jobs that have not ended');
    await removeAndWait(project);
    await expectNoRows(project.projectId);
  });

  it('deletes an empty project without cascade', async () => {
    const project = await api.project();
    expect(await removeAndWait(project, '')).toMatchObject({
      status: 'succeeded',
      result_status: 200,
      result: { project_id: project.projectId, deleted: { batches: 0, objects: 0, jobs: 0, keys: 4, devices: 1 } },
    });
    await expectNoRows(project.projectId);
  });

  it('returns 202 with a job and its Location, whose result has the numbers of deleted rows', async () => {
    const project = await api.project();
    await store(project, 'b', 3);
    const reply = await remove(project);
    expect(reply.status).toBe(202);
    const job = reply.json<Job>();
    expect(reply.headers.get('location')).toBe(job.url);
    expect(job).toMatchObject({ status: 'queued', attempts: 0, finished_at: null });
    expect((await waitForJob(api, key, job)).result).toEqual({
      project_id: project.projectId,
      deleted: { batches: 1, objects: 3, jobs: 0, keys: 4, devices: 1 },
    });
  });

  it('deletes every row of the project in every table, and none of another project', async () => {
    const [{ project }, other] = await Promise.all([
      ProjectWithResources.create(api, 'doomed'),
      ProjectWithResources.create(api, 'other'),
    ]);
    const { projectId, keys } = project;
    const room = '/buildings/doomed/rooms/doomed/temperatures';
    const hours = ['01', '02', '03'].map((hour) => ({ temperature: 1, recorded_at: `2024-12-10T${hour}:30:00` }));
    await api.call('POST', room, { key: keys.producer, body: hours });
    await api.call('POST', '/objects', {
      key: keys.producer,
      body: { object_id: 'once', data: [] },
      headers: { 'Idempotency-Key': 'once' },
    });
    // Rows that Stowage writes in the background, or only while a job waits.
    await api.db.sql(
      `INSERT INTO rollups (project_id, subject, hour, count, sum, min, max) VALUES ($1, 's', now(), 1, 1, 1, 1)`,
      [projectId],
    );
    await api.db.sql(`INSERT INTO job_parts (project_id, job_id, part, bytes) VALUES ($1, 1, 0, '')`, [projectId]);
    await api.db.sql(`INSERT INTO project_requests VALUES ($1, 1) ON CONFLICT DO NOTHING`, [projectId]);
    await insertIndexRows(projectId);
    const before = await rowsOf(projectId);
    // A new table with a project_id gets rows here, and is deleted with the project or added to KEPT.
    const withoutRows = Object.entries(before).filter(
      ([name, count]) => count === 0 && !['deleted_projects', 'index_builds'].includes(name),
    );
    expect(withoutRows).toEqual([]);
    const othersBefore = await other.rows({ audit: false });
    const usageBefore = (await api.call('GET', '/usage', { key: other.keyOf('admin') })).json<object>();

    const job = await removeAndWait(project);
    expect(job).toMatchObject({ status: 'succeeded', result: { deleted: { batches: before.batches } } });
    await expectNoRows(projectId);
    expect(await other.rows({ audit: false })).toEqual(othersBefore);
    const { objects, bytes } = (await api.call('GET', '/usage', { key: other.keyOf('admin') })).json<{
      objects: number;
      bytes: number;
    }>();
    expect(usageBefore).toMatchObject({ objects, bytes });
  });

  it('makes the project not found and its name free, and removes it from the list', async () => {
    const project = await api.project();
    const path = pathOf(project.projectId);
    const { name } = (await api.call('GET', path, { key })).json<{ name: string }>();
    expect((await remove(project)).status).toBe(202);
    expectProblem(await api.call('GET', path, { key }), 'not-found');
    expectProblem(await api.call('PATCH', path, { key, body: { name: 'x' } }), 'not-found');
    expectProblem(await api.call('GET', `${path}/keys`, { key }), 'not-found');
    expectProblem(await api.call('POST', `${path}/keys`, { key, body: { name: 'k', role: 'admin' } }), 'not-found');
    expect((await api.call('GET', '/projects?page_size=1000', { key })).text).not.toContain(name);
    const again = await api.call('POST', '/projects', { key, body: { name } });
    expect(again.status).toBe(201);
    expect(again.json<{ project_id: number }>().project_id).not.toBe(project.projectId);
    const move = { key, body: { project_id: project.projectId } };
    const { deviceId } = await api.project();
    expect(placesOf(expectProblem(await api.call('PATCH', `/devices/${deviceId}`, move), 'invalid-body'))).toEqual([
      '/project_id',
    ]);
  });

  it('ends its events at once, before its objects are deleted', async () => {
    const project = await api.project();
    await store(project, 'b');
    const body = {
      name: 'w',
      url: 'https://hooks.example.com/',
      events: ['threshold.reached'],
      threshold: { op: 'count', bucket: '1h', compare: { $lt: 1 } },
    };
    expect((await api.call('POST', '/webhooks', { key: project.keys.admin, body })).status).toBe(201);
    const job = await api.db.transaction(async (tx) => {
      // The job waits for this lock.
      await tx.query('SELECT FROM objects WHERE project_id = $1 FOR UPDATE', [project.projectId]);
      const reply = await remove(project);
      expect(reply.status).toBe(202);
      expect(await rowsOf(project.projectId)).toMatchObject({ objects: 1, webhooks: 0 });
      return reply.json<Job>();
    });
    await waitForJob(api, key, job);
    await expectNoRows(project.projectId);
  });

  it('frees the ids of its devices', async () => {
    const project = await api.project();
    expect((await remove(project)).status).toBe(202);
    const { admin } = (await api.project()).keys;
    const reply = await api.call('POST', '/devices', { key: admin, body: { device_id: project.deviceId } });
    expect(reply.status).toBe(201);
  });

  it('returns 404 for a missing project, and for a second request', async () => {
    for (const id of ['1', '0', 'abc', '2147483648'])
      expectProblem(await api.call('DELETE', `/projects/${id}?cascade=true`, { key }), 'not-found');
    const project = await api.project();
    const replies = await Promise.all([remove(project), remove(project), remove(project)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([202, 404, 404]);
    expectProblem(await remove(project), 'not-found');
  });

  it('honours If-Match', async () => {
    const project = await api.project();
    const path = pathOf(project.projectId);
    const etag = (await api.call('GET', path, { key })).headers.get('etag') ?? '';
    await api.call('PATCH', path, { key, body: { objects_max: 5 } });
    expectProblem(await remove(project, '', { 'If-Match': etag }), 'precondition-failed');
    const current = (await api.call('GET', path, { key })).headers.get('etag') ?? '';
    expect((await remove(project, '', { 'If-Match': current })).status).toBe(202);
  });

  it.each([
    ['?cascade=yes', 'cascade'],
    ['?cascade=', 'cascade'],
    ['?force=true', 'force'],
  ])('rejects %s and deletes nothing', async (query, parameter) => {
    const project = await api.project();
    expect(placesOf(expectProblem(await remove(project, query), 'invalid-query'))).toEqual([parameter]);
    expect((await api.call('GET', pathOf(project.projectId), { key })).status).toBe(200);
  });

  it('records the deletion in the chain of the installation, and keeps the chain of the project', async () => {
    const project = await api.project();
    await store(project, 'b', 2);
    const id = String(project.projectId);
    const chain = async (): Promise<unknown> =>
      (await api.call('GET', `/audit?project_id=${id}`, { key })).json<{ results: unknown }>().results;
    const before = await chain();
    expect(before).toHaveLength(5);
    await removeAndWait(project);
    expect(await chain()).toEqual(before);
    const { results } = (await api.call('GET', `/audit?target_type=project&target_id=${id}`, { key })).json<{
      results: object[];
    }>();
    expect(results[0]).toMatchObject({
      action: 'project.delete',
      actor: { role: 'operator' },
      target: { type: 'project', id },
      details: {
        name: expect.any(String),
        batches: 1,
        objects: 2,
        bytes: expect.any(Number),
        keys: 4,
        devices: 1,
        webhooks: 0,
      },
    });
  });
});

describe('the keys of a deleted project', () => {
  it('stop working at once on every server', async () => {
    const second = await api.another();
    try {
      const project = await api.project();
      const keys = Object.values(project.keys);
      const statuses = (): Promise<number[]> =>
        Promise.all(
          [api, second].flatMap((server) =>
            keys.map(async (one) => (await server.call('GET', '/me', { key: one })).status),
          ),
        );
      expect(new Set(await statuses())).toEqual(new Set([200]));
      expect((await remove(project)).status).toBe(202);
      // The second server is notified; the keys are in its cache for ten minutes otherwise.
      await waitFor(async () => ((await statuses()).every((status) => status === 401) ? true : undefined), 4_000);
    } finally {
      await second.stop();
    }
  });

  it('include canaries, which raise no alert any more', async () => {
    const project = await api.project();
    const body = { name: 'canary', role: 'admin', canary: true };
    const path = `${pathOf(project.projectId)}/keys`;
    const canary = (await api.call('POST', path, { key, body })).json<{ key: string }>();
    await removeAndWait(project);
    expectProblem(await api.call('GET', '/me', { key: canary.key }), 'unauthenticated');
    expect(await rowsOf(project.projectId)).toMatchObject({ api_keys: 0 });
  });
});

describe('the job of a deletion', () => {
  it('is visible to operators only, and operators see no jobs of projects', async () => {
    const project = await api.project();
    const headers = { Prefer: 'respond-async' };
    const body = { batch_id: 'later', objects: [] };
    const own = await api.call('POST', '/batches', { key: project.keys.admin, body, headers });
    expectProblem(await api.call('GET', own.json<Job>().url, { key }), 'not-found');
    expectProblem(await api.call('POST', `${own.json<Job>().url}/retry`, { key }), 'not-found');

    const job = await removeAndWait(await api.project());
    expectProblem(await api.call('GET', job.url, { key: project.keys.admin }), 'not-found');
    const listed = (await api.call('GET', '/jobs', { key })).json<{ results: Job[] }>().results;
    expect(listed[0]?.id).toBe(job.id);
    expect(listed.map(({ id }) => id)).not.toContain(own.json<Job>().id);
    expectProblem(await api.call('POST', `${job.url}/retry`, { key }), 'job-not-failed');
  });

  it('can be retried by an operator when it has failed, and counts the rows of all attempts', async () => {
    const project = await api.project();
    await store(project, 'b', 2);
    await api.db.sql('ALTER TABLE rollups RENAME TO rollups_away');
    const job = (await remove(project)).json<Job>();
    await waitFor(async () => {
      const { status, attempts } = (await api.call('GET', job.url, { key })).json<Job>();
      return status === 'queued' && attempts === 1 ? true : undefined;
    });
    await api.db.sql('UPDATE jobs SET attempts = 9 WHERE job_id = $1', [job.id]);
    await api.db.sql('UPDATE graphile_worker._private_jobs SET run_at = now()');
    await api.db.sql('NOTIFY "jobs:insert"');
    expect(await waitForJob(api, key, job)).toMatchObject({
      status: 'failed',
      problem: { status: 500, detail: expect.stringMatching(/An operator can retry it\.$/) },
    });
    await api.db.sql('ALTER TABLE rollups_away RENAME TO rollups');
    expect((await api.call('POST', `${job.url}/retry`, { key })).status).toBe(202);
    expect(await waitForJob(api, key, job)).toMatchObject({
      status: 'succeeded',
      result: { deleted: { batches: 1, objects: 2 } },
    });
    await expectNoRows(project.projectId);
  });

  it('deletes more rows than one step does', async () => {
    const project = await api.project();
    await store(project, 'large', 5_000);
    expect(await removeAndWait(project)).toMatchObject({ result: { deleted: { batches: 1, objects: 5_000 } } });
    await expectNoRows(project.projectId);
  });
});

describe('a worker that is killed during a deletion', () => {
  let server: TestApi;
  let stowage: Stowage;

  beforeAll(async () => {
    server = await TestApi.start({ WORKER: 'separate' });
    stowage = await Stowage.create(settingsFor(server.db));
  });
  afterAll(async () => {
    await stowage.remove();
    await server.stop();
  });

  it('leaves the rest to another worker, and every row is counted once', async () => {
    const project = await server.project();
    const { projectId } = project;
    await store(project, 'large', 5_000, server);
    const reply = await server.call('DELETE', `${pathOf(projectId)}?cascade=true`, { key });
    const job = reply.json<Job>();
    await server.db.transaction(async (tx) => {
      // The third step waits for this lock.
      await tx.query('SELECT FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1 FOR UPDATE', [projectId]);
      const worker = stowage.start(['worker']);
      await waitFor(async () => {
        const blocked = await server.db.sql(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%DELETE FROM objects%'
             AND wait_event_type = 'Lock'`,
        );
        return blocked.length > 0 ? true : undefined;
      });
      worker.child.kill('SIGKILL');
      await worker.ended;
      const [row] = await server.db.sql('SELECT count(*) FROM objects WHERE project_id = $1', [projectId]);
      expect(row).toEqual({ count: '1000' });
      // A worker counts as dead 20 s after its last heartbeat.
      await server.db.sql(`UPDATE job_workers SET beat_at = beat_at - interval '20 seconds'`);
    });
    stowage.start(['worker']);
    const done = await waitForJob(server, key, job);
    expect(done).toMatchObject({
      status: 'succeeded',
      attempts: 2,
      result: { deleted: { batches: 1, objects: 5_000 } },
    });
    expect(await server.db.sql('SELECT FROM objects WHERE project_id = $1', [projectId])).toEqual([]);
  });
});
