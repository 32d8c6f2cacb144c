import { setTimeout as sleep } from 'node:timers/promises';
import { MIGRATION_LOCK_TIMEOUT } from '#migrations';
import { Migration, MigrationExecutor, type DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { StartupError } from '#platform';
import type { Database } from './database.js';
import { lockUse } from './database-use.js';
import { distributionStatements, isDistributed, readDistributionState } from './distribution.js';
import { errorCode } from './error-code.js';
import { holdMigrationLock } from './migration-lock.js';
import { withMigrationSession } from './migration-session.js';
import type { Queryable } from './queryable.js';
import { migrateQueue } from './queue-schema.js';
import {
  declareCompatibility,
  isUpToDate,
  nameOf,
  pendingMigrations,
  readSchemaState,
  requireNotTooNew,
  requireNotTooOld,
  worksAfterDeclared,
  type KnownMigration,
  type SchemaState,
} from './schema-state.js';

/** The SQLSTATE of a statement that has waited for a lock for too long. */
const LOCK_NOT_AVAILABLE = '55P03';
/** The pause in which the work that waited behind the migration goes on. */
const LOCK_PAUSE_MS = 1_000;
const LOCK_ATTEMPTS = 60;

/**
 * Processes that use this database and do not know the migration $1, by the names of the connections of their pools. Connections of
 * other purposes, such as LISTEN, say nothing of a version: their processes have a pool too.
 */
const OLDER_CONNECTIONS = `
  SELECT count(*)::int AS connections FROM pg_stat_activity
  WHERE datname = current_database() AND application_name ~ '^stowage( [A-Z]\\w*)?$'
    AND coalesce(substring(application_name FROM '\\d{13}$'), '') < $1`;

/** How long a process looks for what is to be done: a restore locks all tables until it ends. */
const LOOK_LOCK_TIMEOUT = `SET LOCAL lock_timeout = '1s'`;

/**
 * Runs the migrations that have not run, like `migrate`, and waits for no other process where there are none: a server must be able to
 * start while a newer version builds an index.
 * @throws StartupError
 */
export async function ensureMigrated(
  database: Database,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<number> {
  return (await orFailed(hasMigrated(database))) ? 0 : migrate(database, say, signal);
}

/** @throws StartupError for a schema that is too new */
async function hasMigrated(database: Database): Promise<boolean> {
  const known = migrationsOf(database);
  try {
    const state = await database.transactionOnce(async (tx) => {
      await tx.query(LOOK_LOCK_TIMEOUT);
      return readSchemaState(tx);
    });
    requireNotTooNew(state, known);
    return isUpToDate(state, known);
  } catch (error) {
    if (errorCode(error) === LOCK_NOT_AVAILABLE) return false;
    throw error;
  }
}

/**
 * Runs the migrations that have not run, each once however many processes start at a time.
 * @param say receives a line while another process keeps this one waiting
 * @param signal ends the wait, or the work after the migration that runs
 * @returns their number
 * @throws StartupError
 */
export function migrate(
  database: Database,
  say: (line: string) => void = () => undefined,
  signal?: AbortSignal,
): Promise<number> {
  const work = (requireLock: () => Promise<void>): Promise<number> =>
    runPending(database, async () => {
      signal?.throwIfAborted();
      await requireLock();
    });
  return orFailed(holdMigrationLock(database, { say, signal }, work));
}

async function orFailed<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(`the migrations failed: ${(cause as Error).message.split('\n')[0] ?? ''}`, { cause });
  }
}

/**
 * Waits for the migrations of a newer version that may remove what this one uses.
 * @param say receives a line while another process keeps this one waiting
 * @param signal ends the wait
 * @throws StartupError unless this version can work with the schema as it is then
 */
export async function requireSchema(
  database: Database,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const known = migrationsOf(database);
  const look = async (): Promise<SchemaState> => {
    const state = await readSchemaState(database);
    requireNotTooNew(state, known);
    requireNotTooOld(state, known);
    return state;
  };
  if (!worksAfterDeclared(await look(), known)) await holdMigrationLock(database, { say, signal }, look);
}

/** The migrations of this version. */
export function migrationsOf(database: Database): readonly KnownMigration[] {
  return database.dataSource.migrations;
}

/**
 * Distributes the tables of data over the machines of a cluster, after the migrations. It can be repeated.
 * @param say receives each statement before it runs
 * @throws StartupError, also where it is the first time and a server or worker uses the database
 */
export async function distribute(database: Database, say: (line: string) => void): Promise<void> {
  const work = async (requireLock: () => Promise<void>, lock: Queryable): Promise<void> => {
    const statements = distributionStatements(await readDistributionState(database));
    // A process that starts while the rows move would use the tables as those of one machine.
    if (!(await isDistributed(database))) await lockUse(lock);
    // Moving the rows of a large table takes hours.
    await withMigrationSession(database, 'SET lock_timeout = 0', async (runner) => {
      for (const statement of statements) {
        await requireLock();
        say(statement);
        await runner.query(statement);
      }
    });
  };
  await orFailed(holdMigrationLock(database, { say }, work));
}

/** @param before runs before each migration */
async function runPending(database: Database, before: () => Promise<void>): Promise<number> {
  const known = migrationsOf(database);
  const state = await readSchemaState(database);
  requireNotTooNew(state, known);
  const pending = pendingMigrations(state, known);
  // Before they run, so that no server finds a migration without it. And before older servers are looked for: one that connects after
  // that finds it, and waits for this process.
  const hasDeclared = await declareCompatibility(database, known);
  for (const migration of pending) await requireNoOlderServer(database, migration);
  const beforeEach = async (migration: KnownMigration): Promise<void> => {
    await before();
    // Again: versions whose servers do not wait may have connected while the earlier migrations ran.
    await requireNoOlderServer(database, migration);
  };
  if (pending.length > 0) await runWithShortLocks(database, beforeEach);
  if (!hasDeclared) await declareCompatibility(database, known);
  await before();
  await migrateQueue(database.connections);
  return pending.length;
}

/** @throws StartupError where the migration would break processes that use the database now */
async function requireNoOlderServer(database: Database, migration: KnownMigration): Promise<void> {
  const { compatibleSince } = migration;
  if (compatibleSince === undefined) return;
  const since = /\d{13}$/.exec(compatibleSince)?.[0] ?? '';
  const [row] = await database.query<{ connections: number }>(OLDER_CONNECTIONS, [since]);
  if (row === undefined || row.connections === 0) return;
  throw new StartupError(
    `the migration ${nameOf(migration)} removes what servers of an earlier version use that are connected to the database; stop them first`,
  );
}

/** A migration that waits for a lock for long stops everything that needs the table, so it gives up and begins again. */
async function runWithShortLocks(
  database: Database,
  before: (migration: KnownMigration) => Promise<void>,
): Promise<void> {
  await withMigrationSession(database, MIGRATION_LOCK_TIMEOUT, async (runner) => {
    for (let attempt = 1; ; attempt++) {
      try {
        const executor = new CheckedMigrations(database.dataSource, runner, before);
        executor.transaction = 'each';
        await executor.executePendingMigrations();
        return;
      } catch (error) {
        if (errorCode(error) !== LOCK_NOT_AVAILABLE || attempt === LOCK_ATTEMPTS) throw error;
        await sleep(LOCK_PAUSE_MS);
      }
    }
  });
}

/** Calls `before` in the transaction of each migration, or before one that has none. */
class CheckedMigrations extends MigrationExecutor {
  constructor(
    dataSource: DataSource,
    runner: QueryRunner,
    private readonly before: (migration: KnownMigration) => Promise<void>,
  ) {
    super(dataSource, runner);
  }

  protected override getMigrations(): Migration[] {
    return super.getMigrations().map(({ id, timestamp, name, instance }) => {
      return new Migration(id, timestamp, name, instance && this.checked(instance));
    });
  }

  private checked(migration: MigrationInterface): MigrationInterface {
    const up = async (runner: QueryRunner): Promise<void> => {
      await this.before(migration);
      await migration.up(runner);
    };
    const down = (runner: QueryRunner): Promise<void> => migration.down(runner);
    return { ...migration, up, down };
  }
}
