import { execFile } from 'node:child_process';
import { lstat, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MIGRATIONS } from '#migrations';
import { readChanges } from '../changes/change-client.js';
import { DataKey } from '#encryption';
import { encrypt, tablesWith } from '../encryption/encrypted-project.js';
import { settingsFor, TestApi, type Reply, type TestProject } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { createDatabase, dropDatabase, Tables, type TestTables } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { Stowage, type Ended } from './stowage.js';

const TABLES = `
  SELECT oid::regclass::text AS name FROM pg_class
  WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'graphile_worker'::regnamespace)
    AND oid <> 'graphile_worker.migrations'::regclass ORDER BY name`;
const SEQUENCES = `
  SELECT schemaname, sequencename, last_value::text FROM pg_sequences WHERE schemaname IN ('public', 'graphile_worker') ORDER BY 1, 2`;
const DEFINITIONS = `
  SELECT indexdef AS line FROM pg_indexes WHERE schemaname IN ('public', 'graphile_worker')
  UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY line`;

/** The last line of a backup. */
interface End {
  tables: Record<string, { rows: number; bytes: number }>;
  sha256: string;
}

/** What a server returned for the source, without its address. */
const READS = [
  '/objects?page_size=1000',
  '/objects?key=n&value=12345678901234567890.1',
  '/batches/many',
  '/objects/encrypted',
];

/** The data key of the source, and another one. */
const [DATA_KEY = '', OTHER_KEY = ''] = ['01', 'fe'].map((byte) => byte.repeat(32));

/** Every other table of the source has rows. */
const EMPTY_TABLES = [
  // Of graphile-worker: no job is in a named queue, and there is no crontab.
  'graphile_worker._private_job_queues',
  'graphile_worker._private_known_crontabs',
  // Has rows after a migration of a database with objects, until the worker has built the index.
  'index_builds',
];

/** See restored-changes.spec.ts. */
const ENDED_FEEDS = { change_feeds: [], changes: [], pending_changes: [] };

/** A database with some of everything. Its server was stopped, so that nothing changes while tables are compared. */
let source: Tables;
let content: Record<string, string[]>;
let reads: string[];
let stowage: Stowage;
let project: TestProject;
/** A place in the changes of the project, before all of its objects. */
let cursor: string;
let runningJob: string;
const created: Tables[] = [];

beforeAll(async () => {
  source = await database('stowage_template');
  const { STOWAGE_KEY_SECRET = '' } = settingsFor(source);
  stowage = await Stowage.create({ STOWAGE_KEY_SECRET, STOWAGE_DATA_KEY: DATA_KEY });
  const api = await startServer(source);
  await storeEverything(api);
  reads = await readAll(api);
  await api.stop();
  content = await contentOf(source);
});
afterAll(async () => {
  await stowage.remove();
  for (const tables of created) {
    await tables.close();
    await dropDatabase(tables.address);
  }
});

const pathOf = (name: string): string => join(stowage.folder, name);
const backUp = (name: string, from: TestTables = source, ...args: string[]): Promise<Ended> =>
  stowage.run(['backup', pathOf(name), ...args], settingsFor(from));
const restore = (name: string, to: TestTables): Promise<Ended> =>
  stowage.run(['restore', pathOf(name)], settingsFor(to));

/** Default: without tables. */
async function database(template = 'template0'): Promise<Tables> {
  const tables = new Tables(await createDatabase(template));
  created.push(tables);
  return tables;
}

/** A server that runs no jobs. */
const startServer = (tables: Tables): Promise<TestApi> =>
  TestApi.startOn(tables, { WORKER: 'separate', STOWAGE_DATA_KEY: DATA_KEY });

async function readAll(api: TestApi): Promise<string[]> {
  const replies = await Promise.all(READS.map((path) => api.call('GET', path, { key: project.keys.analyst })));
  return replies.map(({ text }) => text.replaceAll(api.origin, ''));
}

async function storeEverything(api: TestApi): Promise<void> {
  project = await api.project();
  cursor = (await readChanges(api, project.keys.analyst)).next;
  const { admin, producer } = project.keys;
  const send = async (method: string, path: string, status: number, body: unknown, headers = {}): Promise<Reply> => {
    const key = method === 'DELETE' || path.startsWith('/webhooks') ? admin : producer;
    const reply = await api.call(method, path, { key, body, headers });
    expect([path, reply.status, reply.text]).toEqual([path, status, expect.anything()]);
    return reply;
  };
  const hook = { name: 'w', url: 'https://webhooks.invalid/', events: ['key.canary'] };
  const webhook = (await send('POST', '/webhooks', 201, hook)).json<{ webhook_id: string }>();
  await send('POST', `/webhooks/${webhook.webhook_id}/test`, 202, undefined);
  await encrypt(api, project, ['secret']);
  const encrypted = [{ object_id: 'encrypted', data: { secret: 'Ada' } }];
  await send('POST', '/batches', 201, { batch_id: 'encrypted', objects: encrypted });
  expect(await tablesWith(api, project, 'Ada')).toEqual([]);
  const odd = ['\\.', '\\', 'a\n\\.\nb', '\t\r\b', '\\N', '', 'é👢'];
  const objects = odd.map((text, n) => ({
    object_id: `odd-${String(n)}`,
    subject: '\\.',
    data: { [`k${text}`]: text },
  }));
  await send('POST', '/batches', 201, { batch_id: 'odd\\.', objects });
  const many = Array.from({ length: 2_000 }, (_, n) => ({
    object_id: `m${String(n)}`,
    data: { n, note: 'x'.repeat(n) },
  }));
  await send('POST', '/batches', 201, { batch_id: 'many', objects: many });
  const exact =
    '{"batch_id":"exact","objects":[{"object_id":"e","data":[{"key":"n","value":12345678901234567890.1000}]}]}';
  await send('POST', '/batches', 201, exact, { 'Content-Type': 'application/json' });
  await send('POST', '/objects', 201, { batch_id: 'many', object_id: 'single', data: { text: 'a\n\\.\nb' } });
  // The changes up to here are in the feed, those from here on wait.
  await readChanges(api, project.keys.analyst, cursor);
  await send('DELETE', '/objects/m7', 204, undefined);
  await send(
    'POST',
    '/batches',
    202,
    { batch_id: 'later', objects: [{ object_id: 'l', data: {} }] },
    { Prefer: 'respond-async' },
  );
  await send('POST', '/batches', 201, { batch_id: 'idempotent', objects: [] }, { 'Idempotency-Key': 'k1' });
  // A worker of another machine runs the job that waits.
  const [job] = await source.sql<{ job_id: string }>(
    `UPDATE jobs SET status = 'running', worker_id = 'other', attempts = 1 WHERE project_id = $1 RETURNING job_id`,
    [project.projectId],
  );
  runningJob = job?.job_id ?? '';
  await source.sql(
    `UPDATE graphile_worker._private_jobs SET locked_by = 'other', locked_at = now() - interval '1 hour', attempts = 1`,
  );
  await source.sql(`INSERT INTO job_workers (worker_id, beat_at) VALUES ('other', now() - interval '1 hour')`);
  // What waits is not sent after a restore: see backup-use.spec.ts.
  await source.sql(
    `UPDATE webhook_deliveries SET status = 'delivered', attempts = 1, response_status = 204, finished_at = now()`,
  );
  const { projectId: deleted } = await api.project();
  const deletion = await api.call('DELETE', `/projects/${String(deleted)}?cascade=true`, { key: api.operatorKey });
  expect([deletion.status, deletion.text]).toEqual([202, expect.anything()]);
  const readings = [1, 2, 3].map((n) => ({ temperature: n / 10, recorded_at: `2024-01-0${String(n)}T00:00:00Z` }));
  await send('POST', '/buildings/b/rooms/r/temperatures', 201, readings);
  // In the background of a server that averages long times.
  await source.sql(
    `INSERT INTO rollups (project_id, subject, hour, count, sum, min, max) VALUES ($1, 's', '2024-01-01T00:00:00Z', 1, 0.1000, 0.1, 0.1)`,
    [project.projectId],
  );
}

/** Every row of every table, as JSON, without positions in the WAL, which are those of one server. */
async function contentOf(tables: Pick<Tables, 'sql'>): Promise<Record<string, string[]>> {
  const content: Record<string, string[]> = {};
  for (const { name } of await tables.sql<{ name: string }>(TABLES)) {
    const rows = await tables.sql<{ row: string }>(
      `SELECT (to_jsonb(t) - 'wal_position')::text AS row FROM ${name} AS t ORDER BY 1`,
    );
    content[name] = rows.map(({ row }) => row);
  }
  return content;
}

async function textOf(name: string): Promise<string> {
  return gunzipSync(await readFile(pathOf(name))).toString('latin1');
}

async function endOf(name: string): Promise<End> {
  return JSON.parse((await textOf(name)).trimEnd().split('\n').at(-1) ?? '') as End;
}

/** Writes a changed copy of a backup. */
async function change(name: string, edit: (text: string) => string): Promise<void> {
  await writeFile(pathOf(name), gzipSync(Buffer.from(edit(await textOf('whole')), 'latin1')));
}

describe('stowage backup and restore', () => {
  it('restores every row of every table, the sequences and the indexes; the API and `check` find the same', async () => {
    const backedUp = await backUp('whole');
    expect(backedUp).toMatchObject({ code: 0, stderr: expect.stringContaining('connecting') });
    expect(backedUp.stdout).toMatch(/^backed up [\d,]+ rows \(\S+ \S+\) to \S+whole \(\S+ \S+\) in \S+ s\n$/m);
    const target = await database();
    const restored = await restore('whole', target);
    expect([restored.code, restored.stdout]).toEqual([
      0,
      expect.stringMatching(/^restored [\d,]+ rows .* of 20\S+ in \S+ s\n$/m),
    ]);

    expect(await contentOf(target)).toEqual({ ...content, ...ENDED_FEEDS });
    expect(Object.keys(content).filter((name) => content[name]?.length === 0)).toEqual(EMPTY_TABLES);
    expect(await target.sql(SEQUENCES)).toEqual(await source.sql(SEQUENCES));
    expect(await target.sql(DEFINITIONS)).toEqual(await source.sql(DEFINITIONS));
    expect(await stowage.run(['check'], settingsFor(target))).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/\d+ objects, the index is right\n$/),
    });
    expect(await stowage.run(['audit', 'verify'], settingsFor(target))).toMatchObject({ code: 0 });

    const other = await startServer(target);
    try {
      expect(await readAll(other)).toEqual(reads);
      const { producer, analyst } = project.keys;
      const body = { batch_id: 'after', objects: [{ object_id: 'after', data: { n: 1 } }] };
      expect((await other.call('POST', '/batches', { key: producer, body })).status).toBe(201);
      const worker = await TestApi.startOn(target, { WORKER: 'inline', STOWAGE_DATA_KEY: DATA_KEY });
      // The job that ran when the backup was taken runs again.
      await waitFor(
        async () => (await other.call('GET', '/batches/later', { key: analyst })).status === 200 || undefined,
      );
      const job = await other.call('GET', `/jobs/${runningJob}`, { key: project.keys.admin });
      expect(job.json()).toMatchObject({ status: 'succeeded', attempts: 2 });
      await worker.stop();
    } finally {
      await other.stop();
    }
  });

  it('contains every table of the catalogue, also one that was added later', async () => {
    await source.sql('CREATE TABLE added_later (n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED)');
    await source.sql('INSERT INTO added_later (n) VALUES (1), (2)');
    try {
      expect(await backUp('later')).toMatchObject({ code: 0 });
      const { tables } = await endOf('later');
      const names = (await source.sql<{ name: string }>(TABLES)).map(({ name }) => name);
      expect(Object.keys(tables).sort()).toEqual(names.sort());
      expect(tables.added_later).toEqual({ rows: 2, bytes: 4 });
    } finally {
      await source.sql('DROP TABLE added_later');
    }
    // A table that no migration creates is not restored in silence.
    const target = await database();
    expect(await restore('later', target)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        'stowage: the backup has the table added_later, which Stowage does not have; nothing was restored\n',
      ),
    });
  });

  it('writes the same rows with every level of compression, and replaces a file only when it is whole', async () => {
    expect(await backUp('plain', source, '--level', '0')).toMatchObject({ code: 0 });
    expect((await endOf('plain')).tables).toEqual((await endOf('whole')).tables);
    expect((await readFile(pathOf('plain'))).length).toBeGreaterThan((await readFile(pathOf('whole'))).length);
    const before = await readFile(pathOf('plain'));
    expect(await backUp('plain', await database())).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/stowage: the database has no tables of Stowage; there is nothing to back up\n$/),
    });
    expect((await readFile(pathOf('plain'))).equals(before)).toBe(true);
    expect((await readdir(stowage.folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
    expect(await backUp('plain', source, '--level', '10')).toMatchObject({ code: 2 });
  });

  it('refuses a path that is not one of a file before it writes anything, and follows a link', async () => {
    await promisify(execFile)('mkfifo', [pathOf('fifo')]);
    await mkdir(pathOf('folder'));
    await symlink('folder/behind', pathOf('link'));
    const failures: [name: string, message: RegExp][] = [
      ['fifo', /fifo is a FIFO, which a whole file would replace: give the path of a file\n$/],
      ['folder', /folder is a folder: give the path of a file in it\n$/],
      ['link', /link is a symbolic link to a file that does not exist\n$/],
      ['no/such', /no\/such cannot be written: the folder .*\/no does not exist\n$/],
    ];
    for (const [name, message] of failures)
      expect(await backUp(name)).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
    expect((await stat(pathOf('fifo'))).isFIFO()).toBe(true);
    await writeFile(pathOf('folder/behind'), 'from before');
    expect(await backUp('link')).toMatchObject({ code: 0 });
    expect((await lstat(pathOf('link'))).isSymbolicLink()).toBe(true);
    expect((await endOf('folder/behind')).tables).toEqual((await endOf('whole')).tables);
    expect(await readdir(pathOf('folder'))).toEqual(['behind']);
  });

  it('names the data key of encrypted values, without which neither a server nor a worker starts, but migrations run', async () => {
    const { id } = new DataKey(Buffer.from(DATA_KEY, 'hex'));
    expect((await backUp('encrypted')).stderr).toContain(`after a restore its values need the data key ${id}, which`);
    const target = await database();
    const settings = { ...settingsFor(target), PORT: '0', STOWAGE_DATA_KEY: '' };
    const { code, stderr } = await stowage.run(['restore', pathOf('encrypted')], settings);
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining(`encrypted with the data key ${id}: set STOWAGE_DATA_KEY`),
    ]);
    const needs = `stowage: the database has values that are encrypted with the data key ${id}, and`;
    expect(await stowage.start(['serve'], settings).ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${needs} STOWAGE_DATA_KEY is not set; set STOWAGE_DATA_KEY to this key`),
    });
    expect(await stowage.start(['worker'], { ...settings, STOWAGE_DATA_KEY: OTHER_KEY }).ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${needs} the keys that are set have the id`),
    });
    expect(await stowage.run(['migrate'], settings)).toMatchObject({ code: 0 });
    const server = await TestApi.startOn(target, {
      STOWAGE_DATA_KEY: OTHER_KEY,
      STOWAGE_DATA_KEY_PREVIOUS: DATA_KEY,
    });
    await server.stop();
  });

  it('says whether the API keys work with the key secret that is set, and so does a server', async () => {
    const target = await database();
    const other = { ...settingsFor(target), STOWAGE_KEY_SECRET: 'o'.repeat(40) };
    const warning =
      /(\d+) of \1 API keys do not work with the key secret in STOWAGE_KEY_SECRET: .*; set STOWAGE_KEY_SECRET to/;
    const restored = await stowage.run(['restore', pathOf('whole')], other);
    expect([restored.code, restored.stderr]).toEqual([0, expect.stringMatching(warning)]);
    const server = stowage.start(['serve'], { ...other, LOG_LEVEL: 'warn' });
    await server.prints(/Stowage is ready/);
    server.child.kill('SIGTERM');
    const { stderr } = await server.ended;
    expect(JSON.parse(stderr)).toMatchObject({ level: 40, msg: expect.stringMatching(warning) });
    const known = await database();
    const right = await restore('whole', known);
    expect([right.code, right.stderr]).toEqual([0, expect.not.stringContaining('API keys')]);
    // As a key that was not used since the version that notes the secret.
    await known.sql(
      'UPDATE api_keys SET secret_id = NULL WHERE key_id = (SELECT max(key_id) FROM api_keys WHERE revoked_at IS NULL)',
    );
    expect(await stowage.run(['backup', pathOf('unknown')], settingsFor(known))).toMatchObject({ code: 0 });
    const unknown = await restore('unknown', await database());
    expect([unknown.code, unknown.stderr]).toEqual([
      0,
      expect.stringMatching(/1 of \d+ API keys of the backup may need another key secret/),
    ]);
  });

  it('restores nothing from a file that is damaged, cut off, changed or newer, and then the whole one', async () => {
    const whole = await readFile(pathOf('whole'));
    const target = await database();
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 60) ^ 1, damaged.length - 60);
    await writeFile(pathOf('damaged'), damaged);
    await writeFile(pathOf('cut'), whole.subarray(0, whole.length / 2));
    await writeFile(pathOf('empty'), '');
    await writeFile(pathOf('text'), 'no backup');
    await change('without-end', (text) => text.slice(0, text.trimEnd().lastIndexOf('\n') + 1));
    await change('changed', (text) => text.replace('xxx', 'xyx'));
    await change('longer', (text) => `${text}{}\n`);
    await change('newer-format', (text) => text.replace('"version":1', '"version":2'));
    await change('newer', (text) => text.replace('"migrations":[', '"migrations":["Future1999999999999",'));
    const reasons = {
      damaged: /damaged or incomplete: .*; nothing was restored/,
      cut: /damaged or incomplete: .*; nothing was restored/,
      empty: /is not a backup of Stowage/,
      text: /is not a backup of Stowage/,
      'without-end': /its end is missing; nothing was restored/,
      changed: /its SHA-256 differs; nothing was restored/,
      longer: /there is more after its end; nothing was restored/,
      'newer-format': /has the format 2, and this version of Stowage reads 1: use the version that wrote it/,
      newer: /is of a newer version of Stowage, with the migration Future1999999999999: use the version that wrote it/,
      missing: /missing cannot be read: ENOENT/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      const { code, stdout, stderr } = await restore(name, target);
      expect([name, code, stdout]).toEqual([name, 1, expect.not.stringContaining('restored')]);
      expect(stderr).toMatch(reason);
      const [row] = await target.sql<{ name: string | null }>(`SELECT to_regclass('objects')::text AS name`);
      for (const table of row?.name == null ? [] : ['objects', 'projects', 'api_keys']) {
        expect([name, table, await target.sql(`SELECT FROM ${table}`)]).toEqual([name, table, []]);
      }
    }
    expect(await restore('whole', target)).toMatchObject({ code: 0 });
    expect(await contentOf(target)).toEqual({ ...content, ...ENDED_FEEDS });
  });

  it('refuses a database that has rows, and changes nothing of it', async () => {
    expect(await restore('whole', source)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /stowage: the database is not empty: projects has rows; restore into a new STOWAGE_DATA_DIR or an empty database\n$/,
      ),
    });
    expect(await contentOf(source)).toEqual(content);
  });

  it('restores a backup of an older version and then runs the newer migrations', async () => {
    const older = await database();
    expect(await restore('whole', older)).toMatchObject({ code: 0 });
    const opened = await openDatabase(older.address);
    const first = MIGRATIONS.findIndex((migration) => new migration().name.startsWith('InvertedIndex'));
    for (const _ of MIGRATIONS.slice(first)) await opened.dataSource.undoLastMigration();
    await opened.close();
    expect(await backUp('older', older)).toMatchObject({ code: 0 });
    expect((await endOf('older')).tables).not.toHaveProperty('index_blocks');
    expect(await older.sql('SELECT FROM migrations')).toHaveLength(first);

    const target = await database();
    expect(await restore('older', target)).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`ran ${String(MIGRATIONS.length - first)} migrations`),
    });
    expect((await contentOf(target)).objects).toEqual(content.objects);
    expect(await target.sql('SELECT FROM index_builds')).toHaveLength(1);
    // Its tables are newer than the backup by now.
    await target.sql('TRUNCATE projects, api_keys, audit_entries, deleted_projects CASCADE');
    expect(await restore('older', target)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/the database has newer tables than the backup, with the migration InvertedIndex/),
    });
  });

  it('is of one moment while batches are written', async () => {
    const busy = await TestApi.start();
    try {
      const { keys } = await busy.project();
      let isDone = false;
      let batches = 0;
      const write = async (): Promise<void> => {
        const id = String(batches++);
        const objects = Array.from({ length: 30 }, (_, n) => ({
          object_id: `${id}-${String(n)}`,
          subject: 's',
          data: { n },
        }));
        const reply = await busy.call('POST', '/batches', { key: keys.producer, body: { batch_id: id, objects } });
        expect(reply.status).toBe(201);
      };
      const writer = async (): Promise<void> => {
        while (!isDone) await write();
      };
      await write();
      const writers = Promise.all([writer(), writer(), writer()]);
      const backedUp = await backUp('busy', busy.db).finally(() => {
        isDone = true;
      });
      await writers;
      expect(backedUp).toMatchObject({ code: 0 });
      // As if it had no project yet.
      await busy.db.sql('TRUNCATE projects, api_keys, audit_entries, deleted_projects CASCADE');
      expect((await restore('busy', busy.db)).stderr).toMatch(
        /stowage: a server or worker uses the database, from this machine since 20\S+Z: stop it first/,
      );
      const target = await database();
      expect(await restore('busy', target)).toMatchObject({ code: 0 });
      const [row] = await target.sql<Record<string, string>>(`
        SELECT (SELECT count(*) FROM objects) AS objects, (SELECT sum(object_count) FROM batches) AS counted,
          (SELECT sum(objects) FROM project_usage) AS used, (SELECT 30 * count(*) FROM batches) AS whole`);
      expect(Number(row?.objects)).toBeGreaterThan(0);
      expect([row?.counted, row?.used, row?.whole]).toEqual([row?.objects, row?.objects, row?.objects]);
      expect(await stowage.run(['check'], settingsFor(target))).toMatchObject({ code: 0 });
    } finally {
      await busy.stop();
    }
  });

  it('restores into the embedded database, and backs it up while its server runs', async () => {
    expect(await stowage.run(['backup', pathOf('none')])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^stowage: no database in /),
    });
    const restored = await stowage.run(['restore', pathOf('whole')], { STOWAGE_KEY_SECRET: '' });
    expect([restored.code, restored.stderr]).toEqual([0, expect.stringContaining('creating the database')]);
    expect(restored.stderr).toMatch(/copy its file key-secret to \S+key-secret, or set STOWAGE_KEY_SECRET; /);
    const url = await stowage.serve();
    const reply = await fetch(`${url}/api/v1/objects/single`, { headers: { 'X-Api-Key': project.keys.analyst } });
    expect(reply.status).toBe(200);
    const backedUp = await stowage.run(['backup', pathOf('embedded')]);
    expect([backedUp.code, backedUp.stderr]).toEqual([
      0,
      expect.stringContaining('using the PostgreSQL server that runs'),
    ]);
    // The server may have run the job meanwhile.
    expect((await endOf('embedded')).tables.objects?.rows).toBeGreaterThanOrEqual(content.objects?.length ?? 0);
    expect((await stowage.run(['restore', pathOf('whole')])).stderr).toContain('the database is not empty');
  });
});
