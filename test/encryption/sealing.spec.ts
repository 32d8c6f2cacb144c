import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataKey, LIST_APPLIES_AFTER_MS } from '#encryption';
import { brief, readChanges } from '../changes/change-client.js';
import { Stowage } from '../cli/stowage.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { createDatabase, dropDatabase, Tables } from '../harness/tables.js';
import { submitJob, waitFor, waitForJob, type Job } from '../jobs/jobs.js';
import type { PageBody } from '../objects/wire.js';

/** Every value that must not be readable contains it. */
const MARK = 'SECRET-';
const BATCHES = 6;
const OBJECTS = 2_000;
const KEYS = ['name', 'address'];

const [first, second] = [newKey(), newKey()];
let tables: Tables;
/** Runs no background work; `runUntilSealed` starts a server that does. */
let api: TestApi;
let stowage: Stowage;

beforeAll(async () => {
  tables = new Tables(await createDatabase());
  api = await TestApi.startOn(tables, { WORKER: 'separate', STOWAGE_DATA_KEY: first.text });
  stowage = await Stowage.create(settingsFor(tables));
});
afterAll(async () => {
  await stowage.remove();
  await api.stop();
  await tables.close();
  await dropDatabase(tables.address);
});

function newKey(): { text: string; id: string } {
  const bytes = randomBytes(32);
  return { text: bytes.toString('base64'), id: new DataKey(bytes).id };
}

/** An object whose values of `KEYS` are secret; its numbers and members are written in an order and a form that PostgreSQL changes. */
const objectText = (id: string, n: number): string =>
  `{"object_id":"${id}","data":[{"key":"name","value":"${MARK}${String(n)}"},{"key":"n","value":${String(n)}},` +
  `{"key":"address","value":{"zip":1.50e2,"city":["${MARK}c${String(n)}"]}},{"key":"name","value":${String(n)}.0}]}`;

const batchText = (id: string, count: number): string =>
  `{"batch_id":"${id}","objects":[${Array.from({ length: count }, (_, n) => objectText(`${id}-${String(n)}`, n)).join()}]}`;

async function post(project: TestProject, body: string): Promise<void> {
  expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
}

/** Sets the list, so long ago that every server has it. */
async function setList({ projectId }: TestProject, keys: readonly string[] | null): Promise<void> {
  const path = `/projects/${String(projectId)}`;
  const reply = await api.call('PATCH', path, { key: api.operatorKey, body: { encrypted_keys: keys } });
  expect([reply.status, reply.json()]).toEqual([200, expect.objectContaining({ encryption_pending: true })]);
  await api.db.sql(
    `UPDATE projects SET encryption_changed_at = encryption_changed_at - interval '1 hour' WHERE project_id = $1`,
    [projectId],
  );
}

async function isPending({ projectId }: TestProject): Promise<boolean> {
  const reply = await api.call('GET', `/projects/${String(projectId)}`, { key: api.operatorKey });
  return reply.json<{ encryption_pending: boolean }>().encryption_pending;
}

/** Starts a server that runs jobs, until nothing of the project is to be encrypted. */
async function runUntilSealed(project: TestProject, settings: Record<string, string> = {}): Promise<void> {
  const worker = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY: first.text, ...settings });
  try {
    await waitFor(async () => !(await isPending(project)) || undefined, 60_000);
  } finally {
    await worker.stop();
  }
}

/** The tables with rows that contain a text, in any column; of bytes also inside of them. */
async function tablesWith(text: string): Promise<string[]> {
  const tables = await api.db.sql<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class
     WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'graphile_worker'::regnamespace) ORDER BY name`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await api.db.sql(
      `SELECT FROM ${name} AS t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0 LIMIT 1`,
      [text, Buffer.from(text).toString('hex')],
    );
    if (rows.length > 0) found.push(name);
  }
  return found;
}

/** All objects as they are read. */
async function readObjects({ keys }: TestProject, from = api): Promise<Map<string, string>> {
  const objects = new Map<string, string>();
  for (let url: string | null = '/objects?page_size=1000&count=none'; url !== null;) {
    const reply = await from.call('GET', url, { key: keys.analyst });
    expect([reply.status, reply.text.includes('$enc1:')]).toEqual([200, false]);
    const page: PageBody<{ object_id: string }> = reply.json();
    for (const object of page.results) objects.set(object.object_id, JSON.stringify(object));
    url = page.next;
  }
  return objects;
}

async function etagOf({ keys }: TestProject, id: string, from = api): Promise<string | null> {
  return (await from.call('GET', `/objects/${id}`, { key: keys.analyst })).headers.get('etag');
}

/** The index has exactly the terms of the objects, and the usage is the sum of their sizes. */
async function expectExact({ projectId, keys }: TestProject, { text } = first): Promise<void> {
  expect(await stowage.run(['check'], { STOWAGE_DATA_KEY: text })).toMatchObject({ code: 0 });
  const [stored] = await api.db.sql<{ objects: string; bytes: string }>(
    'SELECT count(*) AS objects, sum(bytes) AS bytes FROM objects WHERE project_id = $1',
    [projectId],
  );
  const usage = await api.call('GET', '/usage', { key: keys.admin });
  expect(usage.json()).toMatchObject({ objects: Number(stored?.objects), bytes: Number(stored?.bytes) });
}

/** By the command of the documents. */
async function maintenanceOf({ origin, operatorKey }: TestApi): Promise<unknown> {
  const page = await readFile('docs/operations/encryption.md', 'utf8');
  const [, command = ''] = /```sh\n(curl .*\/maintenance.*)\n```/.exec(page) ?? [];
  const env = { ...process.env, API: `${origin}/api/v1`, OPERATOR_KEY: operatorKey };
  const { stdout } = await promisify(execFile)('bash', ['-c', command], { env });
  return JSON.parse(stdout);
}

/** The ids of the data keys of all sealed values. */
async function keyIdsOf({ projectId }: TestProject): Promise<string[]> {
  const rows = await api.db.sql<{ id: string }>(
    `SELECT DISTINCT substring(v ->> 'value' FROM '^\\$enc1:(.{8}):') AS id
     FROM objects AS o, jsonb_array_elements(o.data) AS v WHERE o.project_id = $1 AND v ->> 'key' = ANY ($2)`,
    [projectId, KEYS],
  );
  return rows.map(({ id }) => id);
}

describe('the list of encrypted keys of a project with 12,000 objects', () => {
  let project: TestProject;
  let before: Map<string, string>;
  let etags: (string | null)[];
  let cursor: string;
  let failed: Job;
  let answered: Job;
  let queued: Job;
  const sampled = Array.from({ length: 20 }, (_, n) => `b${String(1 + (n % (BATCHES - 1)))}-${String(n * 7)}`);
  const readEtags = (from = api): Promise<(string | null)[]> =>
    Promise.all(sampled.map((id) => etagOf(project, id, from)));

  beforeAll(async () => {
    project = await api.project();
    const { admin } = project.keys;
    for (let n = 0; n < BATCHES; n++) await post(project, batchText(`b${String(n)}`, OBJECTS));
    await post(project, batchText('deleted', 500));
    expect((await api.call('DELETE', '/batches/deleted?cascade=true', { key: admin })).status).toBe(204);
    await post(project, batchText('written', 40));
    failed = await submitJob(api, 'POST', '/batches', { key: admin, body: batchText('b0', 3) });
    const body = objectText('b0-1', 1).replace('"object_id":"b0-1",', '');
    answered = await submitJob(api, 'PUT', '/objects/b0-1', { key: admin, body });
    const worker = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY: first.text });
    expect(await waitForJob(api, admin, failed)).toMatchObject({ status: 'failed' });
    answered = await waitForJob(api, admin, answered);
    expect(JSON.stringify(answered)).toContain(MARK);
    await waitFor(async () => {
      const rows = await api.db.sql('SELECT FROM index_pending WHERE project_id = $1', [project.projectId]);
      return rows.length < 1_000 || undefined;
    });
    await worker.stop();
    queued = await submitJob(api, 'POST', '/batches', { key: admin, body: batchText('queued', 5) });
    cursor = (await readChanges(api, project.keys.analyst)).next;
    before = await readObjects(project);
    etags = await readEtags();
    expect(await tablesWith(MARK)).toEqual(['deleted_objects', 'index_blocks', 'job_parts', 'jobs', 'objects']);
  }, 120_000);

  it('continues where it was when its process is killed', async () => {
    await setList(project, KEYS);
    const cursorOf = async (): Promise<bigint> => {
      const [row] = await api.db.sql<{ encryption_cursor: string | null }>(
        'SELECT encryption_cursor FROM projects WHERE project_id = $1',
        [project.projectId],
      );
      return BigInt(row?.encryption_cursor ?? -1);
    };
    const worker = stowage.start(['worker'], { STOWAGE_DATA_KEY: first.text });
    const at = await waitFor(async () => ((await cursorOf()) > 0n ? cursorOf() : undefined));
    worker.child.kill('SIGKILL');
    await worker.ended;
    expect(await cursorOf()).toBeGreaterThanOrEqual(at);
    expect(await isPending(project)).toBe(true);
    // Another process waits until two minutes have passed.
    const expire =
      'UPDATE projects SET encryption_leased_until = now() WHERE project_id = $1 AND encryption_holder IS NOT NULL';
    expect(await api.db.sql(`${expire} RETURNING 1`, [project.projectId])).toHaveLength(1);
  });

  it('leaves no plain value in any table while clients read and write, and reads stay the same', async () => {
    const { admin, producer } = project.keys;
    const work = { isDone: false };
    const write = async (writer: number): Promise<void> => {
      for (let n = 0; !work.isDone; n++) {
        const id = `written-${String(writer * 20 + (n % 20))}`;
        const { data } = JSON.parse(objectText(id, n)) as { data: unknown };
        const put = await api.call('PUT', `/objects/${id}`, { key: producer, body: { data } });
        const patch = await api.call('PATCH', `/objects/${id}`, {
          key: producer,
          body: { data: { address: `${MARK}${String(n)}` } },
          headers: { 'Content-Type': 'application/merge-patch+json' },
        });
        expect([put.status, patch.status]).toEqual([200, 200]);
      }
    };
    const read = async (): Promise<void> => {
      while (!work.isDone) expect(await readEtags()).toEqual(etags);
    };
    const working = [write(0), write(1), read()];
    try {
      await runUntilSealed(project);
    } finally {
      work.isDone = true;
    }
    await Promise.all(working);

    expect(await tablesWith(MARK)).toEqual([]);
    expect(await keyIdsOf(project)).toEqual([first.id]);
    const after = await readObjects(project);
    for (const [id, text] of before) if (!id.startsWith('written')) expect(after.get(id)).toBe(text);
    expect(await readEtags()).toEqual(etags);
    await expectExact(project);
    for (let since = cursor; ;) {
      const page = await readChanges(api, project.keys.analyst, since);
      if (page.results.length === 0) break;
      for (const change of brief(page.results)) expect(change).toMatch(/^changed written|^created queued/);
      since = page.next;
    }
    const audit = await api.call('GET', '/audit?action=project.encrypt', { key: admin });
    expect(audit.json()).toMatchObject({
      results: [{ actor: { name: 'encryption' }, details: { encrypted_keys: KEYS, data_key: first.id } }],
    });
  }, 120_000);

  it('holds for jobs: what was queued before runs, and dead letters are run again', async () => {
    const { admin } = project.keys;
    expect((await api.call('DELETE', '/batches/b0?cascade=true', { key: admin })).status).toBe(204);
    const later = await submitJob(api, 'POST', '/batches', { key: admin, body: batchText('later', 5) });
    const stream = Array.from({ length: 3_000 }, (_, n) => objectText(`stream-${String(n)}`, n)).join('\n');
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const streamed = await submitJob(api, 'PUT', '/batches/stream', { key: admin, body: stream, headers });
    expect(await tablesWith(MARK)).toEqual([]);
    expect((await api.call('POST', `${failed.url}/retry`, { key: admin })).status).toBe(202);
    const worker = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY: first.text });
    for (const job of [failed, queued, later, streamed]) {
      expect(await waitForJob(api, admin, job)).toMatchObject({ status: 'succeeded' });
    }
    await worker.stop();
    expect((await waitForJob(api, admin, answered)).result).toEqual(answered.result);
    expect(await tablesWith(MARK)).toEqual([]);
    const objects = await readObjects(project);
    for (const id of ['b0-2', 'queued-4', 'later-4', 'stream-2999']) expect(objects.get(id)).toContain(MARK);
  });

  it('holds for deleted objects that are restored before they were looked at', async () => {
    const { admin } = project.keys;
    const { projectId } = project;
    await setList(project, ['name']);
    // As if all objects had been looked at, and no deleted ones.
    await api.db.sql(
      `UPDATE projects SET encryption_cursor = (SELECT max(seq) FROM objects WHERE project_id = $1) WHERE project_id = $1`,
      [projectId],
    );
    expect((await api.call('POST', '/batches/deleted/restore', { key: admin })).status).toBe(200);
    const [row] = await api.db.sql<{ is_lower: boolean }>(
      `SELECT encryption_cursor < (SELECT min(seq) FROM objects WHERE project_id = $1 AND batch_id = 'deleted') AS is_lower
       FROM projects WHERE project_id = $1`,
      [projectId],
    );
    expect(row?.is_lower).toBe(true);
    await setList(project, KEYS);
    await runUntilSealed(project);
    expect(await tablesWith(MARK)).toEqual([]);
    await expectExact(project);
  }, 60_000);

  it('can be changed: values of a removed key are opened, and all of them without a list', async () => {
    await setList(project, ['address']);
    await runUntilSealed(project);
    expect(await tablesWith(`${MARK}c1`)).toEqual([]);
    const rows = await api.db.sql(`SELECT FROM objects WHERE project_id = $1 AND data @> $2::jsonb`, [
      project.projectId,
      JSON.stringify([{ key: 'name', value: `${MARK}5` }]),
    ]);
    expect(rows.length).toBeGreaterThan(0);
    expect(await readEtags()).toEqual(etags);
    await setList(project, null);
    await runUntilSealed(project);
    expect(await tablesWith('$enc1:')).toEqual([]);
    expect(await readEtags()).toEqual(etags);
    await expectExact(project);
    const reply = await api.call('GET', '/objects?key=name&value=5', { key: project.keys.analyst });
    expect(reply.json<PageBody<unknown>>().results.length).toBeGreaterThan(0);
  }, 120_000);
});

describe('encryption', () => {
  it('waits for transactions that began before the list, and leaves out batches that are being written', async () => {
    const project = await api.project();
    const { projectId } = project;
    await post(project, batchText('a', 3));
    await post(project, batchText('b', 3));
    const countPlain = async (): Promise<number> => {
      const sql = `SELECT FROM objects WHERE project_id = $1 AND strpos(data::text, $2) > 0`;
      return (await api.db.sql(sql, [projectId, MARK])).length;
    };
    const writer = new pg.Client(api.db.address);
    await writer.connect();
    try {
      await writer.query('BEGIN');
      await writer.query(`UPDATE batches SET digest = NULL WHERE project_id = $1 AND batch_id = 'a'`, [projectId]);
      const path = `/projects/${String(projectId)}`;
      await api.call('PATCH', path, { key: api.operatorKey, body: { encrypted_keys: KEYS } });
      const other = await api.project();
      await post(other, batchText('a', 3));
      // Its list is older than the transaction, that of the first project is not.
      await setList(other, KEYS);
      const begun = await writer.query<{ at: string }>('SELECT now()::text AS at');
      await api.db.sql(
        `UPDATE projects SET encryption_changed_at = $2::timestamptz - make_interval(secs => $3) WHERE project_id = $1`,
        [projectId, begun.rows[0]?.at, (LIST_APPLIES_AFTER_MS - 1) / 1_000],
      );
      await runUntilSealed(other);
      expect(await countPlain()).toBe(6);
      const [{ pid } = { pid: 0 }] = (await writer.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows;
      const waiting = { projects: 1, transactions: [expect.objectContaining({ pid, state: 'idle in transaction' })] };
      expect(await maintenanceOf(api)).toMatchObject({ pending_projects: 1, waiting });

      // As if the transaction had begun later: its batch is left out, and looked at again.
      await api.db.sql(`UPDATE projects SET encryption_changed_at = now() - interval '1 hour' WHERE project_id = $1`, [
        projectId,
      ]);
      const sealed = runUntilSealed(project);
      await waitFor(async () => (await countPlain()) === 3 || undefined);
      // A project whose list changes meanwhile does not wait for it.
      const later = await api.project();
      await post(later, batchText('later', 3));
      await setList(later, KEYS);
      await waitFor(async () => !(await isPending(later)) || undefined);
      expect(await isPending(project)).toBe(true);
      await writer.query('ROLLBACK');
      await sealed;
      expect(await keyIdsOf(project)).toEqual([first.id]);
    } finally {
      await writer.end();
    }
  }, 60_000);
});

describe('the data key', () => {
  it('is replaced while servers of both keys run, and then no longer needed', async () => {
    const project = await api.project();
    const { projectId, keys } = project;
    await setList(project, KEYS);
    await runUntilSealed(project);
    await post(project, batchText('old', 600));
    await api.stop();
    const [both, swapped] = [
      { STOWAGE_DATA_KEY: first.text, STOWAGE_DATA_KEY_PREVIOUS: second.text },
      { STOWAGE_DATA_KEY: second.text, STOWAGE_DATA_KEY_PREVIOUS: first.text },
    ];
    api = await TestApi.startOn(tables, { WORKER: 'inline', ...both });
    const before = await readObjects(project);
    const newer = await TestApi.startOn(tables, { WORKER: 'inline', ...swapped });
    expect((await newer.call('POST', '/batches', { key: keys.producer, body: batchText('new', 600) })).status).toBe(
      201,
    );
    const mixed = await readObjects(project);
    expect(mixed.size).toBe(1_200);
    expect(await readObjects(project, newer)).toEqual(mixed);
    expect((await keyIdsOf(project)).sort()).toEqual([first.id, second.id].sort());
    const [running] = await tables.sql(`SELECT encryption_key_id AS id FROM projects WHERE project_id = $1`, [
      projectId,
    ]);
    expect(running).toEqual({ id: first.id });

    await api.stop();
    api = newer;
    // As if this had been an hour ago.
    await tables.sql(`UPDATE data_keys SET used_at = used_at - interval '1 hour' WHERE key_id = $1`, [first.id]);
    await waitFor(async () => {
      const rows = await tables.sql(
        `UPDATE projects SET encryption_changed_at = encryption_changed_at - interval '90 seconds'
         WHERE encryption_key_id = $1 RETURNING 1`,
        [second.id],
      );
      return rows.length > 0 || undefined;
    });
    await waitFor(async () => {
      const rows = await tables.sql<{ key_id: string }>('SELECT key_id FROM data_keys');
      return (rows.length === 1 && rows[0]?.key_id === second.id) || undefined;
    }, 60_000);
    expect(await keyIdsOf(project)).toEqual([second.id]);
    const done = { pending_projects: 0, oldest_change_at: null, data_keys: [second.id], waiting: null };
    expect(await maintenanceOf(api)).toEqual(done);
    const after = await readObjects(project);
    for (const [id, text] of before) expect(after.get(id)).toBe(text);
    await expectExact(project, second);
    await expect(TestApi.startOn(tables, { STOWAGE_DATA_KEY: first.text })).rejects.toThrow(
      `with the data key ${second.id}`,
    );
    const last = await TestApi.startOn(tables, { WORKER: 'separate', STOWAGE_DATA_KEY: second.text });
    expect(await readObjects(project, last)).toEqual(after);
    await last.stop();
  }, 120_000);
});
