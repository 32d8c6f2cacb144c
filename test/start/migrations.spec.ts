import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Stowage } from '../cli/stowage.js';
import { waitFor } from '../jobs/jobs.js';
import { createDatabase, dropDatabase, Tables, urlOf } from '../harness/tables.js';

let db: Tables;
let stowage: Stowage;
beforeAll(async () => {
  db = new Tables(await createDatabase('template1'));
  stowage = await Stowage.create({
    DATABASE_URL: urlOf(db.address),
    STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
    WORKER: 'separate',
  });
});
afterAll(async () => {
  await stowage.remove();
  await db.close();
  await dropDatabase(db.address);
});

const tables = (): Promise<unknown> =>
  db.sql(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`);

describe('an empty database', () => {
  it('gets a plan of all migrations and of what each of their statements locks, and is not changed', async () => {
    const { code, stdout, stderr } = await stowage.run(['migrate', '--plan']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^\d+ migrations would run; nothing was changed$/m);
    expect(stdout).toMatch(/^FirstTables\d+ \(contract: stop earlier servers first\)$/m);
    expect(stdout).toContain('\n  CREATE TABLE objects: a new table\n');
    expect(stdout).toMatch(/^ObservedAtIndex\d+ \(expand: earlier servers may run\)$/m);
    expect(stdout).toContain(
      '\n  CREATE INDEX CONCURRENTLY objects_observed_idx ON objects: SHARE UPDATE EXCLUSIVE lock of objects, reads its rows\n',
    );
    expect(await tables()).toEqual([]);
  });

  it.each([['serve'], ['worker']])(
    'is not served by %s with MIGRATE_ON_START=false, which says why in one line',
    async (command) => {
      const ended = await stowage.start([command], { MIGRATE_ON_START: 'false' }).ended;
      expect(ended.code).toBe(1);
      expect(ended.stderr).toMatch(
        /^stowage: the database lacks \d+ migrations of this version of Stowage, from FirstTables\d+ on; run "stowage migrate" first, or set MIGRATE_ON_START=true\n$/,
      );
      expect(await tables()).toEqual([]);
    },
  );

  it('is migrated once by several servers and workers that start at the same time', async () => {
    const processes = [['serve'], ['serve'], ['worker'], ['migrate']].map((args) => stowage.start(args));
    const ready = /Stowage is ready|Stowage worker is ready|the database is up to date/;
    await Promise.all(processes.map((process) => process.prints(ready)));
    const lines = processes.map((process) => process.output().match(/^ran \d+ migrations?$/gm) ?? []);
    expect(lines.flat()).toHaveLength(1);
    const counts = await db.sql('SELECT count(*)::int AS count, count(DISTINCT name)::int AS names FROM migrations');
    expect(lines.flat()).toEqual([`ran ${String((counts[0] as { count: number }).count)} migrations`]);
    expect(counts[0]).toMatchObject({ names: (counts[0] as { count: number }).count });
  });
});

describe('a server or worker that starts while another process changes the database', () => {
  /** As a process that holds the lock while its other connections work. */
  const whileLocked = (work: () => Promise<void>): Promise<void> =>
    db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(7364502)');
      await work();
    });

  it('is ready meanwhile where nothing is missing for its version: the build of an index may take an hour', async () => {
    await whileLocked(async () => {
      await Promise.all(['serve', 'worker'].map((command) => stowage.start([command]).prints(/is ready/)));
    });
  });

  it('says who that is, and waits without a lock and a snapshot, which the build of an index would wait for', async () => {
    await db.sql(`DELETE FROM api_keys WHERE role = 'operator'`);
    let ready: Promise<unknown> | undefined;
    await whileLocked(async () => {
      const server = stowage.start(['serve'], { MIGRATE_ON_START: 'false' });
      await server.prints(
        /^waiting for the process that changes the database: "stowage tests", process \d+ of PostgreSQL, from /m,
      );
      expect(
        await db.sql(
          `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        ),
      ).toEqual([]);
      ready = server.prints(/Stowage is ready/);
    });
    await ready;
  });

  it('ends with exit code 0 on SIGTERM while it waits', async () => {
    await db.sql(`DELETE FROM api_keys WHERE role = 'operator'`);
    await db.sql('DELETE FROM schema_compatibility');
    await whileLocked(async () => {
      const processes = [
        stowage.start(['serve']),
        stowage.start(['serve', '--processes', '2']),
        stowage.start(['worker']),
        // It waits in the first start.
        stowage.start(['serve'], { MIGRATE_ON_START: 'false' }),
      ];
      const ended = processes.map(async (process) => {
        await process.prints(/^waiting for the process that changes the database/m);
        process.child.kill('SIGTERM');
        return process.ended;
      });
      for (const { code, stdout, stderr } of await Promise.all(ended)) {
        expect([code, stderr, stdout.split('\n').slice(-3)]).toEqual([0, '', ['stopping', 'stopped', '']]);
      }
    });
  });
});

describe('a server that cannot start for another reason after SIGTERM', () => {
  const LEASES = `
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH free AS%'`;

  it('ends with exit code 1 and one line, which one of its processes has reported', async () => {
    await db.transaction(async (tx) => {
      await tx.query('LOCK TABLE sequence_lanes IN ACCESS EXCLUSIVE MODE');
      const { child, ended } = stowage.start(['serve', '--processes', '2']);
      const [waiting] = await waitFor(async () => {
        const rows = await db.sql<{ pid: number }>(LEASES);
        return rows.length > 0 ? rows : undefined;
      });
      child.kill('SIGTERM');
      await db.sql('SELECT pg_cancel_backend($1)', [waiting?.pid]);
      const { code, stderr } = await ended;
      expect([code, stderr]).toEqual([
        1,
        'stowage: cannot lease a lane of sequence numbers: canceling statement due to user request\n',
      ]);
    });
  });
});

describe('a database whose job queue lacks a migration', () => {
  it('gets a plan that says so', async () => {
    const [newest] = await db.sql<{ id: number }>(
      `DELETE FROM graphile_worker.migrations WHERE id = (SELECT max(id) FROM graphile_worker.migrations) RETURNING id`,
    );
    const id = newest?.id ?? 0;
    const { code, stdout } = await stowage.run(['migrate', '--plan']);
    await db.sql('INSERT INTO graphile_worker.migrations (id) VALUES ($1)', [id]);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        new RegExp(
          `\\n0 migrations would run; nothing was changed\\nthe job queue: from migration ${String(id - 1)} to ${String(id)} \\(earlier servers cannot start again\\)\\n$`,
        ),
      ),
    ]);
  });
});

describe('a database with a migration of a newer version', () => {
  const NEWER = 'Newer1900000000000';

  it('is served when the migration only adds, and otherwise rejected by serve and worker in one line', async () => {
    await db.sql(`INSERT INTO migrations (timestamp, name) VALUES (1900000000000, $1)`, [NEWER]);
    await db.sql(`INSERT INTO schema_compatibility (migration, compatible_since) VALUES ($1, NULL)`, [NEWER]);
    const server = stowage.start(['serve']);
    await server.prints(/Stowage is ready/);
    await db.sql(`UPDATE schema_compatibility SET compatible_since = migration WHERE migration = $1`, [NEWER]);
    for (const command of ['serve', 'worker', 'migrate']) {
      const ended = await stowage.start([command]).ended;
      expect(ended.code).toBe(1);
      expect(ended.stderr).toBe(
        `stowage: the database has the migration ${NEWER} of a newer version of Stowage, with which this version cannot work; start the newer version\n`,
      );
    }
  });
});
