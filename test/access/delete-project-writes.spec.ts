/** Writes of a project that run, or wait as jobs, while the project is deleted. */
import { Maintenance, JobRunner } from '#jobs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { send } from '../faults/http.js';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { waitFor, waitForJob, type Job } from '../jobs/jobs.js';

/** A server that runs jobs only while a test lets it. */
let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate' });
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

function remove(): Promise<Reply> {
  const path = `/projects/${String(project.projectId)}?cascade=true`;
  return api.call('DELETE', path, { key: api.operatorKey });
}

async function removeOk(): Promise<Job> {
  const reply = await remove();
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  return reply.json<Job>();
}

/** Sends a stream. */
function putLines(body: AsyncIterable<string>, more: Record<string, string> = {}): ReturnType<typeof send> {
  const headers = { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/x-ndjson', ...more };
  return send(`${api.origin}/api/v1/batches/stream`, { method: 'PUT', headers, body });
}

/** The tables with rows of the project, without those that are kept, and without the requests, which are counted every five seconds. */
async function tablesWithRows(): Promise<string[]> {
  const tables = await api.db.sql<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns
     WHERE table_schema = 'public' AND column_name = 'project_id' AND table_name !~ '^audit|^deleted|^project_requests$'
     ORDER BY 1`,
  );
  const names: string[] = [];
  for (const { name } of tables) {
    const rows = await api.db.sql(`SELECT FROM ${name} WHERE project_id = $1 LIMIT 1`, [project.projectId]);
    if (rows.length > 0) names.push(name);
  }
  return names;
}

/** Runs `work` while every write to the batch waits in its transaction. */
function whileBatchIsLocked(batchId: string, work: () => Promise<void>): Promise<void> {
  return api.db.database.transactionOnce(async (tx) => {
    const { projectId } = project;
    await tx.query(`INSERT INTO batches (project_id, batch_id, seq, object_count, revision) VALUES ($1, $2, 1, 0, 1)`, [
      projectId,
      batchId,
    ]);
    await work();
    tx.setRollbackOnly();
  });
}

/** Waits until a part of a stream of the project is stored: the server has checked the key of the stream. */
async function waitForPart(): Promise<void> {
  const { projectId } = project;
  await waitFor(async () => {
    const parts = await api.db.sql('SELECT FROM job_parts WHERE project_id = $1', [projectId]);
    return parts.length > 0 ? true : undefined;
  });
}

/** Waits until a statement waits for a lock. */
async function waitForBlocked(pattern: string): Promise<void> {
  await waitFor(async () => {
    const blocked = await api.db.sql(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ $1`,
      [pattern],
    );
    return blocked.length > 0 ? true : undefined;
  });
}

describe('a write that is running while its project is deleted', () => {
  it.each([
    ['a small batch', 2],
    ['a batch that is copied', 500],
  ])('stores nothing and gets 404: %s', async (_, count) => {
    const objects = Array.from({ length: count }, (_, i) => ({ object_id: String(i), data: { i } }));
    let writing: Promise<Reply> | undefined;
    await whileBatchIsLocked('b', async () => {
      const body = { batch_id: 'b', objects };
      writing = api.call('POST', '/batches', { key: project.keys.producer, body });
      await waitForBlocked('INSERT INTO batches');
      await removeOk();
    });
    expectProblem(await (writing as Promise<Reply>), 'not-found');
    expect(await tablesWithRows()).toEqual([]);
  });

  it('stores nothing and gets 404: a stream that ends after the deletion', async () => {
    async function* lines(): AsyncGenerator<string> {
      // A slow stream is stored in parts of this size.
      yield '{"object_id":"1","data":{}}\n'.padEnd(64 * 1024, ' \n');
      await waitForPart();
      await removeOk();
      yield '{"object_id":"2","data":{}}\n';
    }
    const { status, text } = await putLines(lines());
    expect([status, text]).toEqual([404, expect.stringContaining('The project was deleted')]);
    expect(await tablesWithRows()).toEqual([]);
  });

  it('stores nothing and gets 404: a delete', async () => {
    const { admin: key } = project.keys;
    const body = { batch_id: 'b', objects: [{ object_id: 'o', data: {} }] };
    expect((await api.call('POST', '/batches', { key, body })).status).toBe(201);
    let writing: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [project.projectId]);
      writing = api.call('DELETE', '/objects/o', { key });
      await waitForBlocked('batches');
      await removeOk();
    });
    expectProblem(await (writing as Promise<Reply>), 'not-found');
    expect(await tablesWithRows()).toEqual(['batches', 'index_pending', 'objects', 'pending_changes']);
  });

  it('waits with a deletion that is not committed, and fails after it', async () => {
    // The deletion waits for this row of the project, after it has locked the project and its usage.
    let removing: Promise<Reply> | undefined;
    let writing: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM devices WHERE project_id = $1 FOR UPDATE', [project.projectId]);
      removing = remove();
      await waitForBlocked('DELETE FROM devices');
      const body = { batch_id: 'b', objects: [{ object_id: 'o', data: {} }] };
      writing = api.call('POST', '/batches', { key: project.keys.producer, body });
      await waitForBlocked('INSERT INTO (objects|project_usage)');
    });
    expect((await (removing as Promise<Reply>)).status).toBe(202);
    expectProblem(await (writing as Promise<Reply>), 'not-found');
    expect(await tablesWithRows()).toEqual([]);
  });

  it('creates no key and no device', async () => {
    const { projectId, keys } = project;
    const replies: Promise<Reply>[] = [];
    let removing: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM devices WHERE project_id = $1 FOR UPDATE', [projectId]);
      removing = remove();
      await waitForBlocked('DELETE FROM devices');
      const body = { name: 'late', role: 'admin' };
      replies.push(api.call('POST', `/projects/${String(projectId)}/keys`, { key: api.operatorKey, body }));
      await waitForBlocked('INSERT INTO api_keys');
      replies.push(api.call('POST', '/devices', { key: keys.admin, body: { device_id: `late-${String(projectId)}` } }));
      await waitForBlocked('INSERT INTO devices');
    });
    expect((await (removing as Promise<Reply>)).status).toBe(202);
    for (const reply of await Promise.all(replies)) expectProblem(reply, 'not-found');
    expect(await tablesWithRows()).toEqual([]);
  });
});

describe('a stream that is stored in parts while its project is deleted', () => {
  it('ends with 404 at its next part, and leaves none', async () => {
    async function* lines(): AsyncGenerator<string> {
      // A part has 1 MiB.
      yield '{"object_id":"1","data":{}}\n'.padEnd(2 ** 20 + 1, ' \n');
      await waitForPart();
      await removeOk();
      for (;;) yield '\n'.repeat(64 * 1024);
    }
    const { status, text } = await putLines(lines(), { Prefer: 'respond-async' });
    expect([status, text]).toEqual([404, expect.stringContaining('The project was deleted')]);
    expect(await tablesWithRows()).toEqual([]);
  });
});

describe('a job of a deleted project', () => {
  const queued = (where = 'true'): Promise<object[]> =>
    api.db.sql(`SELECT FROM graphile_worker._private_jobs WHERE ${where}`);

  it('never runs and is deleted: one that was queued, and one whose request was accepted during the deletion', async () => {
    const accept = (batchId: string, headers = {}): Promise<Reply> =>
      api.call('POST', '/batches', {
        key: project.keys.producer,
        body: { batch_id: batchId, objects: [{ object_id: batchId, data: {} }] },
        headers: { Prefer: 'respond-async', ...headers },
      });
    expect((await accept('early')).status).toBe(202);
    let accepting: Promise<Reply> | undefined;
    await api.db.transaction(async (tx) => {
      // The request waits after the check of its key.
      await tx.query('LOCK TABLE idempotency_keys IN SHARE MODE');
      accepting = accept('late', { 'Idempotency-Key': 'late' });
      await waitForBlocked('INSERT INTO idempotency_keys');
      await removeOk();
    });
    expect((await (accepting as Promise<Reply>)).status).toBe(202);
    expect(await tablesWithRows()).toEqual(['idempotency_keys', 'job_parts', 'jobs']);
    expect((await queued()).length).toBeGreaterThanOrEqual(3);

    const ofDeletion = `payload ->> 'projectId' = '0'`;
    const setDelay = (delay: string): Promise<unknown> =>
      api.db.sql(`UPDATE graphile_worker._private_jobs SET run_at = now() + $1::interval WHERE ${ofDeletion}`, [delay]);
    await setDelay('1 hour');
    await api.app.get(JobRunner).start();
    await waitFor(async () => ((await queued(`NOT ${ofDeletion}`)).length === 0 ? true : undefined));
    expect(await api.db.sql('SELECT status, attempts FROM jobs WHERE project_id = $1', [project.projectId])).toEqual(
      Array(2).fill({ status: 'queued', attempts: 0 }),
    );
    await setDelay('0');
    await api.db.sql('NOTIFY "jobs:insert"');
    await waitFor(async () => ((await queued()).length === 0 ? true : undefined));
    expect(await tablesWithRows()).toEqual([]);
  });

  it('has its late rows deleted by maintenance', async () => {
    await api.app.get(JobRunner).start();
    const job = await waitForJob(api, api.operatorKey, await removeOk());
    expect(job.status).toBe('succeeded');
    const { projectId } = project;
    await api.db.sql(
      `INSERT INTO batches (project_id, batch_id, seq, object_count, revision)
       SELECT $1, 'late-' || n, n, 0, 1 FROM generate_series(1, 6000) AS n`,
      [projectId],
    );
    await api.db.sql(`INSERT INTO job_parts (project_id, job_id, part, bytes) VALUES ($1, 1, 0, '')`, [projectId]);
    await api.db.sql(
      `INSERT INTO rollups (project_id, subject, hour, count, sum, min, max) VALUES ($1, 's', now(), 1, 1, 1, 1)`,
      [projectId],
    );
    const kept = await api.project();
    const body = { batch_id: 'kept', objects: [] };
    expect((await api.call('POST', '/batches', { key: kept.keys.producer, body })).status).toBe(201);
    await api.app.get(Maintenance).run();
    expect(await tablesWithRows()).toEqual([]);
    expect((await api.call('GET', '/batches/kept', { key: kept.keys.admin })).status).toBe(200);
  });
});
