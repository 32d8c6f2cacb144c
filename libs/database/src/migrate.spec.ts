import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { MIGRATIONS } from '#migrations';
import { countLockWaits, createDatabase, dropDatabase, setParameter, Tables } from '../../../test/harness/tables.js';
import { createIndexConcurrently } from '../../../migrations/concurrent-index.js';
import { Database } from './database.js';
import { ensureMigrated, migrate, requireSchema } from './migrate.js';
import { planMigrations } from './migration-plan.js';
import type { PostgresAddress } from './open-server.js';
import { QUEUE_MIGRATION, readQueueMigration } from './queue-schema.js';

const QUIET = { log: () => undefined, warn: () => undefined, error: () => undefined };
/** One of a newer version, which older servers need not know. */
const ADDED = 'AddedLater1800000000000';
/** One that removes what older servers use. */
const REMOVED = 'RemovedLater1800000000001';

/** Of a pool, without those that are reserved. */
const CONNECTIONS = 8;
const TIMEOUTS = `
  SELECT pg_backend_pid() AS pid, current_setting('transaction_timeout') AS transaction, current_setting('statement_timeout') AS statement,
    current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('lock_timeout') AS lock`;

let db: Tables;
const opened = new Set<Database>();
beforeEach(async () => {
  db = new Tables(await createDatabase());
});
afterEach(async () => {
  for (const database of opened) await close(database);
  await db.close();
  await dropDatabase(db.address);
});

/** Opens the database as this version, or as one with further migrations. */
function open(...further: (new () => MigrationInterface)[]): Promise<Database> {
  return openAt(db.address, further);
}

async function openAt(at: PostgresAddress, further: (new () => MigrationInterface)[] = []): Promise<Database> {
  const options = { at, poolMax: 10, entities: [], logger: QUIET };
  const database = await Database.connect({ ...options, migrations: [...MIGRATIONS, ...further] });
  opened.add(database);
  return database;
}

async function close(database: Database): Promise<void> {
  opened.delete(database);
  await database.close();
}

class AddedLater1800000000000 implements MigrationInterface {
  name = ADDED;
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE projects ADD COLUMN later integer');
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

class LosesLock1799999999999 implements MigrationInterface {
  name = 'LosesLock1799999999999';
  readonly phase = 'expand';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7364502 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

class RemovedLater1800000000001 implements MigrationInterface {
  name = REMOVED;
  readonly phase = 'contract';
  readonly compatibleSince = ADDED;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE projects DROP COLUMN later');
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

/** As a server of an older version that starts meanwhile. */
class ConnectsOlder1800000000000 implements MigrationInterface {
  static connect: () => Promise<unknown>;
  name = 'ConnectsOlder1800000000000';
  readonly phase = 'expand';

  async up(): Promise<void> {
    await ConnectsOlder1800000000000.connect();
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

/** Takes longer than the database lets a transaction take. */
class SlowLater1800000000003 implements MigrationInterface {
  name = 'SlowLater1800000000003';
  readonly phase = 'expand';

  static pid: number | undefined;

  async up(runner: QueryRunner): Promise<void> {
    const [row] = (await runner.query('SELECT pg_backend_pid() AS pid, pg_sleep(1.5)')) as { pid: number }[];
    SlowLater1800000000003.pid = row?.pid;
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

class WithANameThatIsLongerThanTheNameOfAConnectionInPostgreSQL1800000000004 extends AddedLater1800000000000 {
  override name = 'WithANameThatIsLongerThanTheNameOfAConnectionInPostgreSQL1800000000004';
}

class IndexedLater1800000000002 implements MigrationInterface {
  name = 'IndexedLater1800000000002';
  readonly phase = 'expand';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createIndexConcurrently(runner, { name: 'projects_later_idx', on: 'ON projects (seeded_at)' });
  }

  down(): Promise<void> {
    return Promise.resolve();
  }
}

describe('a version that does not know the newest migrations', () => {
  it('can use the database while they only add', async () => {
    const older = await open();
    expect(await migrate(await open(AddedLater1800000000000))).toBe(1);
    await expect(requireSchema(older, QUIET.log)).resolves.toBeUndefined();
    expect(await migrate(older)).toBe(0);
  });

  it('cannot use the database after one that removes what it uses, and neither migrates nor plans', async () => {
    const newer = await open(AddedLater1800000000000, RemovedLater1800000000001);
    expect(await migrate(newer)).toBe(2);
    const older = await open();
    const expected = /^the database has the migration RemovedLater1800000000001 of a newer version/;
    await expect(requireSchema(older, QUIET.log)).rejects.toThrow(expected);
    await expect(migrate(older)).rejects.toThrow(expected);
    await expect(planMigrations(older)).rejects.toThrow(expected);
    // One that knows since when it is compatible can.
    await expect(requireSchema(await open(AddedLater1800000000000), QUIET.log)).resolves.toBeUndefined();
  });
});

describe('a migration that removes something', () => {
  it('does not run while a version that uses it is connected', async () => {
    const newer = await open(AddedLater1800000000000, RemovedLater1800000000001);
    const older = await open();
    await expect(migrate(newer)).rejects.toThrow(/RemovedLater\d+ removes what servers of an earlier version use/);
    // Declared before that, so that an older process which connects later waits for the end of the migrations.
    expect(await db.sql(`SELECT FROM schema_compatibility WHERE compatible_since = $1`, [ADDED])).toHaveLength(1);
    expect(await ensureMigrated(older, () => undefined)).toBe(0);
    await close(older);
    expect(await migrate(newer)).toBe(2);
  });

  it('does not run where a version that uses it has connected while the migrations before it ran', async () => {
    const newer = await open(AddedLater1800000000000, ConnectsOlder1800000000000, RemovedLater1800000000001);
    ConnectsOlder1800000000000.connect = () => open();
    await expect(migrate(newer)).rejects.toThrow(/RemovedLater\d+ removes what servers of an earlier version use/);
    expect(await db.sql(`SELECT later FROM projects`)).toEqual([]);
  });

  it('knows the version of a process also where the name of its newest migration is too long for that of a connection', async () => {
    const database = await open(WithANameThatIsLongerThanTheNameOfAConnectionInPostgreSQL1800000000004);
    const [row] = await database.query<{ name: string }>(`SELECT current_setting('application_name') AS name`);
    expect(row?.name).toMatch(/^stowage WithANameThatIsLonger[A-Za-z]{21}1800000000004$/);
  });

  it('runs while its own version watches the database on a connection of another name', async () => {
    const newer = await open(AddedLater1800000000000, RemovedLater1800000000001);
    expect(await newer.aside(() => migrate(newer))).toBe(2);
  });
});

describe('a migration of a table that is in use', () => {
  it('lets other work through while it waits for the lock, and runs when it is free', async () => {
    const newer = await open(AddedLater1800000000000);
    let migrated: Promise<number> | undefined;
    await db.transaction(async (tx) => {
      await tx.query('SELECT FROM projects');
      migrated = migrate(newer);
      while ((await countLockWaits(db)) === 0);
      // Waits behind the migration, and goes on when this gives up.
      await db.sql('SELECT FROM projects');
    });
    expect(await migrated).toBe(1);
  });
});

describe('the job queue', () => {
  it('has the migrations that this version knows', async () => {
    expect(await readQueueMigration(await open())).toBe(QUEUE_MIGRATION);
  });

  it('is not used where it has a migration of a newer version, and nothing is migrated', async () => {
    await db.sql('INSERT INTO graphile_worker.migrations (id) VALUES ($1)', [QUEUE_MIGRATION + 1]);
    const database = await open(AddedLater1800000000000);
    const expected = new RegExp(
      `^the job queue in the database has the migration ${String(QUEUE_MIGRATION + 1)} of a newer`,
    );
    await expect(requireSchema(database, QUIET.log)).rejects.toThrow(expected);
    await expect(migrate(database)).rejects.toThrow(expected);
    await expect(planMigrations(database)).rejects.toThrow(expected);
    expect(await db.sql('SELECT FROM migrations WHERE name = $1', [ADDED])).toEqual([]);
  });

  it('is not used where it lacks migrations of this version, as the plan says, until they have run', async () => {
    await db.sql('DROP SCHEMA graphile_worker CASCADE');
    const database = await open();
    expect(await planMigrations(database)).toEqual({ migrations: [], queue: { from: 0, to: QUEUE_MIGRATION } });
    await expect(requireSchema(database, QUIET.log)).rejects.toThrow(/^the job queue in the database lacks migrations/);
    await migrate(database);
    await expect(requireSchema(database, QUIET.log)).resolves.toBeUndefined();
  });
});

describe('a database that ends transactions which take long', () => {
  /** Of all connections of the pool: each is kept until the last one was read. */
  async function readTimeouts(database: Database): Promise<{ pid: number }[]> {
    let isLast: () => void = () => undefined;
    const last = new Promise<void>((resolve) => (isLast = resolve));
    let count = 0;
    const reads = Array.from({ length: CONNECTIONS }, () =>
      database.transactionOnce(async (tx) => {
        const rows = await tx.query<{ pid: number }>(TIMEOUTS);
        if (++count === CONNECTIONS) isLast();
        await last;
        return rows;
      }),
    );
    return (await Promise.all(reads)).flat();
  }

  it('lets migrations and snapshots take as long as they take, and other transactions after them', async () => {
    await setParameter(db.address, 'idle_in_transaction_session_timeout', '1s');
    await setParameter(db.address, 'transaction_timeout', '1s');
    const database = await open(SlowLater1800000000003);
    const snapshot = await database.openSnapshot();
    const slow = snapshot.query<{ pid: number }>('SELECT pg_backend_pid() AS pid, pg_sleep(1.5)');
    const [count, [used]] = await Promise.all([migrate(database), slow]);
    expect(count).toBe(1);
    await snapshot.close();
    const connections = await readTimeouts(database);
    const pids = connections.map(({ pid }) => pid);
    expect(new Set(pids).size).toBe(CONNECTIONS);
    expect(pids).toEqual(expect.arrayContaining([used?.pid, SlowLater1800000000003.pid]));
    const expected = { transaction: '0', idle: '15min', statement: '2min', lock: '10s' };
    expect(connections).toEqual(pids.map((pid) => ({ pid, ...expected })));
  });
});

describe('the lock of the migrations', () => {
  it('is needed before each of them: none runs after its connection was lost', async () => {
    const newer = await open(LosesLock1799999999999, AddedLater1800000000000);
    await expect(migrate(newer)).rejects.toThrow(/^the migrations failed: /);
    expect(await db.sql(`SELECT FROM migrations WHERE name = $1`, [ADDED])).toEqual([]);
    await close(newer);
    expect(await migrate(await open(AddedLater1800000000000))).toBe(1);
  });

  it('is not taken by a process that was stopped, nor does it run migrations', async () => {
    const stop = new AbortController();
    const newer = await open(AddedLater1800000000000);
    stop.abort(new Error('stopped'));
    await expect(migrate(newer, () => undefined, stop.signal)).rejects.toThrow('the migrations failed: stopped');
    expect(await db.sql(`SELECT FROM migrations WHERE name = $1`, [ADDED])).toEqual([]);
  });
});

describe('a process that starts while another one holds the lock of the migrations', () => {
  /** @param work is done while the lock is held, and the table of the migrations locked by a statement, if any */
  const whileLocked = (work: () => Promise<void>, table?: string): Promise<void> =>
    db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(7364502)');
      if (table !== undefined) await tx.query(table);
      await work();
    });

  /** The start says for whom it waits after it has tried the lock for 3 seconds, and is stopped then. */
  async function expectWait(
    start: (say: (line: string) => void, signal: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    const stop = new AbortController();
    const said: string[] = [];
    const say = (line: string): void => {
      said.push(line);
      stop.abort();
    };
    await expect(start(say, stop.signal)).rejects.toThrow('The operation was aborted');
    expect(said).toEqual([
      expect.stringMatching(/^waiting for the process that changes the database: "stowage tests"/),
    ]);
  }

  it('does not wait where nothing is to be migrated for its version', async () => {
    await whileLocked(async () => {
      expect(await ensureMigrated(await open(), () => undefined)).toBe(0);
    });
  });

  it.each([
    ['a migration is pending', [AddedLater1800000000000], undefined],
    ['a restore has locked the tables', [], 'LOCK TABLE migrations IN ACCESS EXCLUSIVE MODE'],
  ])('waits where %s, until it is stopped', async (_, further, table) => {
    await whileLocked(async () => {
      const database = await open(...further);
      await expectWait((say, signal) => ensureMigrated(database, say, signal));
    }, table);
  });

  it('waits where that one may remove what it uses, also with MIGRATE_ON_START=false, and looks whether it has', async () => {
    const older = await open();
    await db.sql('INSERT INTO schema_compatibility VALUES ($1, $1)', [REMOVED]);
    let started: Promise<void> | undefined;
    await db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(7364502)');
      await new Promise<string>((resolve, reject) => {
        started = requireSchema(older, resolve);
        started.then(() => {
          reject(new Error('it has not waited'));
        }, reject);
      });
      await tx.query('INSERT INTO migrations (timestamp, name) VALUES (1800000000001, $1)', [REMOVED]);
    });
    await expect(started).rejects.toThrow(/^the database has the migration RemovedLater\d+ of a newer version/);
    // Where it has failed, it has removed nothing.
    await db.sql('DELETE FROM migrations WHERE name = $1', [REMOVED]);
    await expect(requireSchema(older, QUIET.log)).resolves.toBeUndefined();
  });
});

describe('an index of a table with rows', () => {
  const IS_VALID = `SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'projects_later_idx'::regclass`;

  it('is built while other transactions write to the table', async () => {
    const newer = await open(IndexedLater1800000000002);
    let migrated: Promise<number> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'one')`);
      migrated = migrate(newer);
      while ((await countLockWaits(db)) === 0);
      // The build waits for the other transaction, and this one for neither.
      await db.sql(`INSERT INTO projects (project_id, seq, name) VALUES (2, 2, 'two')`);
    });
    expect(await migrated).toBe(1);
    expect(await db.sql(IS_VALID)).toEqual([{ valid: true }]);
  });

  it('is built again where an interrupted build left one that is not valid', async () => {
    const newer = await open(IndexedLater1800000000002);
    let migrated: Promise<unknown> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'one')`);
      migrated = migrate(newer).catch((error: unknown) => error);
      while ((await countLockWaits(db)) === 0);
      await db.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'`);
      await migrated;
    });
    expect(await migrated).toMatchObject({ message: expect.stringMatching(/^the migrations failed: canceling/) });
    expect(await db.sql(IS_VALID)).toEqual([{ valid: false }]);
    expect(await migrate(newer)).toBe(1);
    expect(await db.sql(IS_VALID)).toEqual([{ valid: true }]);
  });

  it('is kept where it was complete when the process ended before it recorded the migration', async () => {
    const newer = await open(IndexedLater1800000000002);
    await db.sql('CREATE INDEX projects_later_idx ON projects (seeded_at)');
    const before = await db.sql(`SELECT 'projects_later_idx'::regclass::oid AS oid`);
    expect(await migrate(newer)).toBe(1);
    expect(await db.sql(`SELECT 'projects_later_idx'::regclass::oid AS oid`)).toEqual(before);
  });
});

describe('the migrations', () => {
  it('run once when several processes start on an empty database at the same time', async () => {
    const empty = await createDatabase('template0');
    const databases = await Promise.all([empty, empty, empty].map((at) => openAt(at)));
    const counts = await Promise.all(databases.map((database) => migrate(database)));
    for (const database of databases) await close(database);
    await dropDatabase(empty);
    expect(counts.sort((a, b) => a - b)).toEqual([0, 0, MIGRATIONS.length]);
  });

  it('are described by the plan without a change of the database', async () => {
    const newer = await open(AddedLater1800000000000, IndexedLater1800000000002);
    expect((await planMigrations(newer)).migrations).toMatchObject([
      { name: ADDED, effects: [{ command: 'ALTER TABLE projects ADD COLUMN later', lock: 'ACCESS EXCLUSIVE' }] },
      { effects: [{ command: 'CREATE INDEX CONCURRENTLY projects_later_idx ON projects' }] },
    ]);
    expect((await planMigrations(newer)).migrations).toHaveLength(2);
    expect(await planMigrations(await open())).toEqual({ migrations: [], queue: null });
  });
});
