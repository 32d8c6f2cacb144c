import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MIGRATIONS } from '#migrations';
import { createCitusDatabase } from '../cluster/citus.js';
import { settingsFor } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { countLockWaits, createDatabase, dropDatabase, Tables } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { Stowage, type Ended } from './stowage.js';

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/** As the first process of a container: two containers may share a volume. */
const PROCESS_1 = `--import data:text/javascript,Object.defineProperty(process,'pid',{value:1})`;

/** Waits where the advisory lock 77 is held: reading the table takes as long as a test needs. */
const SLOW_TABLE = `
  CREATE TABLE slow (n integer);
  INSERT INTO slow VALUES (1);
  CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN true; END $$;
  ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
  ALTER TABLE slow FORCE ROW LEVEL SECURITY;
  CREATE POLICY waits ON slow USING (wait())`;

/** Creating the index waits where the advisory lock 77 is held. A restore creates GIN indexes after the rows. */
const SLOW_INDEX = `
  CREATE FUNCTION wait(text) RETURNS text[] IMMUTABLE LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN ARRAY[$1]; END $$;
  CREATE INDEX slow_idx ON projects USING gin (wait(name))`;

/** Does the same for both ways to end a restore, at once. @param work is called with the exit code, too */
const bothEnds = (work: (signal: NodeJS.Signals, code: number | null) => Promise<void>): Promise<unknown> =>
  Promise.all([work('SIGTERM', 143), work('SIGKILL', null)]);

/** A database with one project. No server uses it. */
let source: Tables;
let stowage: Stowage;
const created: Tables[] = [];

beforeAll(async () => {
  stowage = await Stowage.create();
  source = await database();
  await source.sql(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'kept')`);
  expect(await backUp('whole')).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await stowage.remove();
  for (const tables of created) {
    await tables.close();
    await dropDatabase(tables.address);
  }
});

const pathOf = (name: string): string => join(stowage.folder, name);
const backUp = (name: string, from: Tables = source): Promise<Ended> =>
  stowage.run(['backup', pathOf(name)], settingsFor(from));
const restore = (to: Tables, ...args: string[]): Promise<Ended> =>
  stowage.run(['restore', pathOf('whole'), ...args], settingsFor(to));
const parts = async (): Promise<string[]> => (await readdir(stowage.folder)).filter((name) => name.includes('.part'));

/** A database with empty tables. */
async function database(): Promise<Tables> {
  const tables = new Tables(await createDatabase());
  created.push(tables);
  return tables;
}

/** Undoes the migration that creates `schema_compatibility` and those after it. */
async function undoMigrations({ address }: Tables): Promise<void> {
  const opened = await openDatabase(address);
  const first = MIGRATIONS.findIndex(({ name }) => name.startsWith('CompatibilityAndQueuedJobs'));
  for (const _ of MIGRATIONS.slice(first)) await opened.dataSource.undoLastMigration();
  await opened.close();
}

async function expectServerToWait(target: Tables): Promise<void> {
  const server = stowage.start(['serve'], settingsFor(target));
  await waitFor(() => Promise.resolve(/waiting for the process that/.test(server.output()) || undefined));
  server.child.kill('SIGTERM');
  expect((await server.ended).stdout).not.toContain('is ready');
}

describe('stowage backup', () => {
  it('writes a file that only its owner can read', async () => {
    expect((await stat(pathOf('whole'))).mode & 0o777).toBe(0o600);
  });

  it('ends cleanly with SIGINT and SIGTERM, and touches no file of others, which may be processes of the same number', async () => {
    const from = await database();
    await from.sql(SLOW_TABLE);
    const settings = { ...settingsFor(from), NODE_OPTIONS: PROCESS_1 };
    await writeFile(pathOf('shared'), 'of before');
    const other = await from.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(77)');
      const running = SIGNALS.map(([signal, code]) => {
        return { signal, code, ...stowage.start(['backup', pathOf('shared')], settings) };
      });
      const finishing = stowage.start(['backup', pathOf('shared')], settings);
      await waitFor(async () => (await countLockWaits(from)) > 2 || undefined);
      expect(await parts()).toHaveLength(3);
      for (const { child, ended, signal, code } of running) {
        child.kill(signal);
        const stderr: unknown = expect.stringContaining('stowage: interrupted; no backup was written\n');
        expect(await ended).toMatchObject({ code, stderr });
      }
      expect([(await parts()).length, await readFile(pathOf('shared'), 'utf8')]).toEqual([1, 'of before']);
      return finishing;
    });
    expect(await other.ended).toMatchObject({ code: 0 });
    expect(await parts()).toEqual([]);
    const lines = gunzipSync(await readFile(pathOf('shared')))
      .toString()
      .trimEnd()
      .split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ tables: { slow: { rows: 1 } }, sha256: expect.any(String) });
  });

  it('removes the parts that killed backups to the same file have left, after a day', async () => {
    const id = '01234567-89ab-cdef-0123-456789abcdef';
    const names = [`left.${id}.part`, `left.${id.replace('0', 'f')}.part`, `left.other.${id}.part`, 'left.x.part'];
    const [, young = '', ...others] = names;
    const now = Date.now() / 1000;
    for (const name of names) {
      await writeFile(pathOf(name), '');
      await utimes(pathOf(name), now, now - (name === young ? 80_000 : 90_000));
    }
    expect(await backUp('left')).toMatchObject({ code: 0 });
    expect((await parts()).sort()).toEqual([young, ...others].sort());
    for (const name of await parts()) await rm(pathOf(name));
  });

  it('waits for a migration, and is refused where it has added a table meanwhile', async () => {
    const from = await database();
    const { ended } = await from.transaction(async (tx) => {
      await tx.query('CREATE TABLE added_meanwhile (n integer)');
      await tx.query('LOCK TABLE objects IN ACCESS EXCLUSIVE MODE');
      const waiting = backUp('during', from);
      await waitFor(async () => (await countLockWaits(from)) > 0 || undefined);
      return { ended: waiting };
    });
    const refused = 'stowage: a migration has changed the tables meanwhile; run the backup again\n';
    expect(await ended).toMatchObject({ code: 1, stderr: expect.stringContaining(refused) });
    expect(await backUp('during', from)).toMatchObject({ code: 0 });
  });

  it('has the rows of a table that a migration rewrites meanwhile', async () => {
    const from = await database();
    await from.sql(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'rewritten')`);
    const { ended } = await from.transaction(async (tx) => {
      await tx.query('ALTER TABLE projects ALTER COLUMN retention_days TYPE bigint');
      const waiting = backUp('rewritten', from);
      await waitFor(async () => (await countLockWaits(from)) > 0 || undefined);
      return { ended: waiting };
    });
    expect(await ended).toMatchObject({ code: 0 });
    const target = await database();
    await stowage.run(['restore', pathOf('rewritten')], settingsFor(target));
    expect(await target.sql('SELECT name FROM projects')).toEqual([{ name: 'rewritten' }]);
  });

  it('names the data keys of the state that the file has, not of one before it', async () => {
    const from = await database();
    const { ended } = await from.transaction(async (tx) => {
      await tx.query('LOCK TABLE projects IN ACCESS EXCLUSIVE MODE');
      const waiting = backUp('keyed', from);
      await waitFor(async () => (await countLockWaits(from)) > 0 || undefined);
      await from.sql(`INSERT INTO data_keys (key_id, used_at) VALUES ('0123456789abcdef', now())`);
      return { ended: waiting };
    });
    expect(await ended).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('its values need the data key 0123456789abcdef, which') as unknown,
    });
  });
});

describe('stowage backup to a file that exists', () => {
  it('keeps it where the command ends with 1, also when the data keys cannot be read', async () => {
    const from = await database();
    await writeFile(pathOf('existing'), 'of before');
    await from.sql('ALTER TABLE data_keys RENAME TO hidden_keys; CREATE TABLE data_keys ()');
    expect(await backUp('existing', from)).toMatchObject({ code: 1 });
    expect(await readFile(pathOf('existing'), 'utf8')).toBe('of before');
  });
});

describe('stowage restore', () => {
  it('ends cleanly with SIGTERM, and restores nothing', async () => {
    const target = await database();
    await target.transaction(async (tx) => {
      // The restore empties the table first.
      await tx.query('LOCK TABLE objects IN ACCESS SHARE MODE');
      const running = stowage.start(['restore', pathOf('whole')], settingsFor(target));
      await waitFor(async () => (await countLockWaits(target)) > 0 || undefined);
      running.child.kill('SIGTERM');
      const stderr: unknown = expect.stringContaining('interrupted; nothing was restored\n');
      expect(await running.ended).toMatchObject({ code: 143, stderr });
    });
    expect(await target.sql('SELECT FROM projects')).toEqual([]);
    expect(await restore(target)).toMatchObject({ code: 0 });
  });

  it('restores nothing where it ends after the rows, while it creates indexes; no server starts meanwhile, and it can be repeated', async () => {
    await bothEnds(async (signal, code) => {
      const target = await database();
      await target.sql(SLOW_INDEX);
      const indexes = 'SELECT indexdef FROM pg_indexes ORDER BY 1';
      const before = await target.sql(indexes);
      await target.transaction(async (tx) => {
        await tx.query('SELECT pg_advisory_xact_lock(77)');
        const running = stowage.start(['restore', pathOf('whole')], settingsFor(target));
        await waitFor(async () => (await countLockWaits(target)) > 0 || undefined);
        if (signal === 'SIGKILL') await expectServerToWait(target);
        running.child.kill(signal);
        const ended = await running.ended;
        expect([ended.code, ended.stdout]).toEqual([code, expect.not.stringContaining('restored')]);
        if (code !== null) expect(ended.stderr).toContain('interrupted; nothing was restored\n');
      });
      expect(await target.sql('SELECT FROM projects')).toEqual([]);
      expect(await restore(target)).toMatchObject({ code: 0 });
      expect(await target.sql('SELECT name FROM projects')).toEqual([{ name: 'kept' }]);
      expect(await target.sql(indexes)).toEqual(before);
    });
  });

  it('has restored everything where it ends during newer migrations, which "migrate" runs', async () => {
    const older = await database();
    await undoMigrations(older);
    await older.sql(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'older')`);
    expect(await backUp('older', older)).toMatchObject({ code: 0 });
    await bothEnds(async (signal, code) => {
      const target = await database();
      await undoMigrations(target);
      await target.transaction(async (tx) => {
        // The migration that creates this table waits for the end of this transaction.
        await tx.query('CREATE TABLE schema_compatibility ()');
        const running = stowage.start(['restore', pathOf('older')], settingsFor(target));
        await waitFor(async () => (await countLockWaits(target)) > 0 || undefined);
        running.child.kill(signal);
        const ended = await running.ended;
        expect([ended.code, ended.stdout]).toEqual([code, expect.stringMatching(/^restored /m)]);
        if (code !== null) expect(ended.stderr).toContain('restored, not migrated; run "stowage migrate"\n');
        await tx.query('DROP TABLE schema_compatibility');
      });
      const again = await stowage.run(['restore', pathOf('older')], settingsFor(target));
      expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('the database is not empty')]);
      expect(await stowage.run(['migrate'], settingsFor(target))).toMatchObject({ code: 0 });
      expect(await target.sql('SELECT name FROM projects')).toEqual([{ name: 'older' }]);
      expect(await target.sql('SELECT name FROM migrations ORDER BY 1')).toEqual(
        await source.sql('SELECT name FROM migrations ORDER BY 1'),
      );
    });
  });

  it('says for which process it waits, and ends cleanly with SIGTERM meanwhile', async () => {
    const target = await database();
    await target.transaction(async (tx) => {
      // As a process does that runs migrations.
      await tx.query('SELECT pg_advisory_xact_lock(7364502)');
      const { child, ended } = stowage.start(['restore', pathOf('whole')], settingsFor(target));
      child.stderr?.on('data', (text: Buffer) => {
        if (text.includes('waiting for the process that changes the database')) child.kill('SIGTERM');
      });
      const stderr: unknown = expect.stringMatching(/waiting for .*interrupted; nothing was restored\n/s);
      expect(await ended).toMatchObject({ code: 143, stderr });
    });
    expect(await restore(target)).toMatchObject({ code: 0 });
  });

  it('refuses a database that a server uses, although it has no rows', async () => {
    const target = await database();
    await target.sql(
      `UPDATE sequence_lanes SET holder = gen_random_uuid(), leased_until = now() + interval '50 seconds' WHERE lane = 3`,
    );
    const { code, stderr } = await restore(target);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/a server or worker uses the database: stop it first\. /),
    ]);
    expect(stderr).toMatch(/After a crash its lease ends in [45]\d s\n$/);
    expect(await target.sql('SELECT FROM projects')).toEqual([]);
    await target.sql('UPDATE sequence_lanes SET leased_until = now()');
    expect(await restore(target)).toMatchObject({ code: 0 });
  });

  it('does not send the webhooks that waited, unless with --keep-deliveries', async () => {
    const from = await database();
    await from.sql(`
      INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'hooked');
      INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
      VALUES (1, 1, 1, 'batch.stored', '{}', 'queued', 0, now()), (1, 1, 2, 'batch.stored', '{}', 'delivered', 1, now())`);
    expect(await backUp('hooked', from)).toMatchObject({ code: 0 });
    const states = async (...args: string[]): Promise<unknown> => {
      const target = await database();
      const ended = await stowage.run(['restore', pathOf('hooked'), ...args], settingsFor(target));
      expect(ended).toMatchObject({ code: 0 });
      return target.sql('SELECT status, error FROM webhook_deliveries ORDER BY delivery_id');
    };
    const delivered = { status: 'delivered', error: null };
    expect(await states()).toEqual([{ status: 'failed', error: 'not sent: a backup was restored' }, delivered]);
    expect(await states('--keep-deliveries')).toEqual([{ status: 'queued', error: null }, delivered]);
  });
});

describe('a distributed database (Citus)', () => {
  it('is refused by backup and restore, which say what to use instead', async () => {
    const cluster = await createCitusDatabase();
    created.push(cluster);
    await cluster.sql(`SELECT create_distributed_table('batches', 'project_id')`);
    const backedUp = await backUp('cluster', cluster);
    expect([backedUp.code, backedUp.stderr]).toEqual([1, expect.stringContaining('citus_create_restore_point')]);
    const restored = await restore(cluster);
    expect([restored.code, restored.stderr]).toEqual([1, expect.stringContaining('stowage migrate --citus')]);
    expect(await parts()).toEqual([]);
  });
});
