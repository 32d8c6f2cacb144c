import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MIGRATIONS } from '#migrations';
import type { LoggerService } from '@nestjs/common';
import { Logger, runMigrations } from 'graphile-worker';
import { type Config, StartupError } from '#platform';
import { Database } from './database.js';
import { DiskReserve } from './disk-reserve.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
import { LaneLease } from './lane-lease.js';
import { ReadDatabase } from './read-database.js';
import { Sequence } from './sequence.js';

/** The key of the advisory lock under which one process at a time runs migrations. */
const MIGRATION_LOCK = 7_364_501;

/** An open database with up-to-date tables. */
export interface Installation {
  database: Database;
  /** The replica of DATABASE_READ_URL, if the process uses it, else the database. */
  readDatabase: ReadDatabase;
  sequence: Sequence;
  /** The reserve of the embedded database's disk. A process that stores data or runs jobs for long starts it. */
  diskReserve: DiskReserve;
  /** Closes the connections, and stops the embedded server unless another process uses it. */
  close(): Promise<void>;
}

export interface InstallationOptions {
  config: Config;
  entities: (new () => object)[];
  logger: LoggerService;
  /** Whether this process generates sequence numbers; without a lane `sequence.next` throws. */
  leasesLane: boolean;
  /** Whether the embedded database is created where there is none, or the process was started in a wrong folder. */
  createsDatabase: boolean;
  /** Whether this process reads from the replica of DATABASE_READ_URL; default false. */
  usesReplica?: boolean;
  /** Whether the parent process has started the embedded database, see `openEmbedded`; default false. */
  isChild?: boolean;
  /** Receives one line for each step that takes time. */
  say: (line: string) => void;
}

/** Starts the embedded database or connects to DATABASE_URL, and runs pending migrations. @throws StartupError */
export async function openInstallation({
  config,
  entities,
  logger,
  leasesLane,
  createsDatabase,
  usesReplica = false,
  isChild = false,
  say,
}: InstallationOptions): Promise<Installation> {
  const dataDir = dataDirOf(config);
  if (config.database.url === null && !createsDatabase && !existsSync(join(dataDir, 'PG_VERSION'))) {
    throw noDatabase(dataDir);
  }
  const embedded = await openEmbedded(config, say, isChild);
  if (embedded === undefined) say('connecting to the database of DATABASE_URL');
  let database: Database | undefined;
  let readDatabase: ReadDatabase | undefined;
  try {
    database = await Database.connect({
      at: embedded?.address ?? config.database.url ?? '',
      poolMax: config.database.poolMax,
      entities,
      migrations: MIGRATIONS,
      logger,
    });
    await migrate(database, say);
    readDatabase = usesReplica ? await openReadDatabase(database, config, logger) : ReadDatabase.ofPrimary(database);
    const sequence = new Sequence();
    const lease = leasesLane ? await LaneLease.open(database, sequence, logger) : undefined;
    const opened = { database, readDatabase };
    const diskReserve = new DiskReserve({
      path: dataDir,
      reserveBytes: embedded === undefined ? 0 : config.database.diskReserveBytes,
      warn: (line) => {
        logger.warn(line);
      },
    });
    return {
      ...opened,
      sequence,
      diskReserve,
      close: async () => {
        diskReserve.stop();
        await lease?.close();
        await opened.readDatabase.close();
        await opened.database.close();
        await embedded?.stopIfUnused();
      },
    };
  } catch (error) {
    await readDatabase?.close();
    await database?.close();
    await embedded?.stopIfUnused();
    throw error;
  }
}

function dataDirOf({ database: { dataDir } }: Config): string {
  return join(dataDir, 'postgres');
}

/**
 * Starts the embedded database for child processes, which use it until this process closes it.
 * @returns undefined with DATABASE_URL
 * @throws StartupError
 */
export async function openEmbedded(
  config: Config,
  say: (line: string) => void,
  isChild = false,
): Promise<EmbeddedPostgres | undefined> {
  if (config.database.url !== null) return undefined;
  const embedded = await startEmbeddedPostgres({ dataDir: dataDirOf(config), say, startsServer: !isChild });
  if (embedded.adopted && !isChild) say('using the PostgreSQL server that runs on this data directory');
  return embedded;
}

async function openReadDatabase(
  database: Database,
  { database: { readUrl, poolMax, readLagMaxMs } }: Config,
  logger: LoggerService,
): Promise<ReadDatabase> {
  if (readUrl === null) return ReadDatabase.ofPrimary(database);
  return ReadDatabase.withReplica(database, { url: readUrl, poolMax, lagMaxMs: readLagMaxMs, logger });
}

function noDatabase(dataDir: string): StartupError {
  return new StartupError(
    `no database in ${resolve(dataDir)}; use the folder of the server, set STOWAGE_DATA_DIR or DATABASE_URL as for the server, or start the server first`,
  );
}

async function migrate(database: Database, say: (line: string) => void): Promise<void> {
  try {
    await database.transaction(async (tx) => {
      // This transaction holds the lock; the migrations run on other connections.
      await tx.query('SET LOCAL lock_timeout = 0');
      await tx.query('SET LOCAL statement_timeout = 0');
      await tx.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const done = await database.dataSource.runMigrations();
      // The job queue has a schema and migrations of its own.
      await runMigrations({ pgPool: database.connections, logger: new Logger(() => () => undefined) });
      if (done.length > 0) say(`ran ${String(done.length)} migration${done.length === 1 ? '' : 's'}`);
    });
  } catch (cause) {
    throw new StartupError(`the migrations failed: ${(cause as Error).message.split('\n')[0] ?? ''}`, {
      cause,
    });
  }
}
