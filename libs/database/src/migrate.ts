import { setTimeout as sleep } from 'node:timers/promises';
import { MIGRATION_LOCK_TIMEOUT } from '#migrations';
import { Logger, runMigrations as runQueueMigrations } from 'graphile-worker';
import { MigrationExecutor } from 'typeorm';
import { StartupError } from '#platform';
import type { Database } from './database.js';
import { distributionStatements, readDistributionState } from './distribution.js';
import { errorCode } from './error-code.js';
import type { Queryable } from './queryable.js';
import {
  declareCompatibility,
  nameOf,
  pendingMigrations,
  readSchemaState,
  requireNotTooNew,
  requireNotTooOld,
  type KnownMigration,
} from './schema-state.js';

/** The key of the advisory lock under which one process at a time runs migrations. */
const MIGRATION_LOCK = 7_364_502;
/** Without a parameter: the portal of a statement with parameters keeps its snapshot until the transaction ends. */
const TRY_LOCK = `SELECT pg_try_advisory_xact_lock(${String(MIGRATION_LOCK)}) AS locked`;
/** How often a process that waits for another one looks whether it has ended. */
const LOCK_POLL_MS = 200;

/** The SQLSTATE of a statement that has waited for a lock for too long. */
const LOCK_NOT_AVAILABLE = '55P03';
/** The pause in which the work that waited behind the migration goes on. */
const LOCK_PAUSE_MS = 1_000;
const LOCK_ATTEMPTS = 60;

/** Processes that use this database and do not know the migration $1, by the names of their connections. */
const OLDER_CONNECTIONS = `
  SELECT count(*)::int AS connections FROM pg_stat_activity
  WHERE datname = current_database() AND application_name ~ '^stowage( \\w+)?$'
    AND application_name <> 'stowage listener'
    AND coalesce(substring(application_name FROM '\\d{13}$'), '') < $1`;

/**
 * Runs the migrations that have not run, each once however many processes start at a time.
 * @returns their number
 * @throws StartupError
 */
export async function migrate(database: Database): Promise<number> {
  return holdingLock(database, () => runPending(database));
}

/** Runs work that one process at a time may do. @throws StartupError */
async function holdingLock<T>(database: Database, work: () => Promise<T>): Promise<T> {
  try {
    for (;;) {
      const done = await database.transactionOnce(async (tx) => {
        // A process that waited for the lock would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot.
        const [row] = await tx.query<{ locked: boolean }>(TRY_LOCK);
        // This transaction holds the lock; the work runs on other connections.
        return row?.locked === true ? { result: await work() } : null;
      });
      if (done !== null) return done.result;
      await sleep(LOCK_POLL_MS);
    }
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(`the migrations failed: ${(cause as Error).message.split('\n')[0] ?? ''}`, { cause });
  }
}

/**
 * Keeps other processes from running migrations, and so from starting, until the transaction ends.
 * @throws StartupError where another process runs them
 */
export async function lockMigrations(tx: Queryable): Promise<void> {
  const [row] = await tx.query<{ locked: boolean }>(TRY_LOCK);
  if (row?.locked !== true) throw new StartupError('another process runs migrations in this database; try again later');
}

/** @throws StartupError unless this version can work with the schema as it is */
export async function requireSchema(database: Database): Promise<void> {
  const state = await readSchemaState(database);
  requireNotTooNew(state, migrationsOf(database));
  requireNotTooOld(state, migrationsOf(database));
}

/** The migrations of this version. */
export function migrationsOf(database: Database): readonly KnownMigration[] {
  return database.dataSource.migrations;
}

/**
 * Distributes the tables of data over the machines of a cluster, after the migrations. It can be repeated.
 * @param say receives each statement before it runs
 * @throws StartupError
 */
export async function distribute(database: Database, say: (line: string) => void): Promise<void> {
  await holdingLock(database, async () => {
    const statements = distributionStatements(await readDistributionState(database));
    const runner = database.dataSource.createQueryRunner();
    try {
      // Moving the rows of a large table takes hours.
      await runner.query('SET statement_timeout = 0; SET lock_timeout = 0');
      for (const statement of statements) {
        say(statement);
        await runner.query(statement);
      }
    } finally {
      await runner.query('RESET lock_timeout; RESET statement_timeout').catch(() => undefined);
      await runner.release();
    }
  });
}

async function runPending(database: Database): Promise<number> {
  const known = migrationsOf(database);
  const state = await readSchemaState(database);
  requireNotTooNew(state, known);
  const pending = pendingMigrations(state, known);
  for (const migration of pending) await requireNoOlderServer(database, migration);
  // Before they run, so that no server finds a migration without it.
  const isDeclared = await declareCompatibility(database, known);
  if (pending.length > 0) await runWithShortLocks(database);
  if (!isDeclared) await declareCompatibility(database, known);
  // The job queue has a schema and migrations of its own.
  await runQueueMigrations({ pgPool: database.connections, logger: new Logger(() => () => undefined) });
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
async function runWithShortLocks(database: Database): Promise<void> {
  const runner = database.dataSource.createQueryRunner();
  try {
    await runner.query(`${MIGRATION_LOCK_TIMEOUT}; SET statement_timeout = 0`);
    for (let attempt = 1; ; attempt++) {
      try {
        const executor = new MigrationExecutor(database.dataSource, runner);
        executor.transaction = 'each';
        await executor.executePendingMigrations();
        return;
      } catch (error) {
        if (errorCode(error) !== LOCK_NOT_AVAILABLE || attempt === LOCK_ATTEMPTS) throw error;
        await sleep(LOCK_PAUSE_MS);
      }
    }
  } finally {
    await runner.query('RESET lock_timeout; RESET statement_timeout').catch(() => undefined);
    await runner.release();
  }
}
