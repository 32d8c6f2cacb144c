import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MIGRATIONS } from '#migrations';
import type { LoggerService } from '@nestjs/common';
import { type Config, StartupError } from '#platform';
import type { Telemetry } from '#telemetry';
import { Database } from './database.js';
import { isDistributed, requireDistribution } from './distribution.js';
import { DiskReserve } from './disk-reserve.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
import { LaneLease } from './lane-lease.js';
import { ensureMigrated, requireSchema } from './migrate.js';
import { parseDatabaseUrl } from './database-url.js';
import { ReadDatabase } from './read-database.js';
import { Sequence } from './sequence.js';

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
  /** The result of `openEmbedded`, where the caller loads modules while the database starts. */
  embedded?: Promise<EmbeddedPostgres | undefined> | undefined;
  /** Whether pending migrations are run, rejected or ignored; default by MIGRATE_ON_START. */
  pendingMigrations?: 'run' | 'reject' | 'ignore' | undefined;
  /** Traces statements and logs slow ones; default: none. */
  telemetry?: Telemetry;
  /** The migrations to run where they have not; default all. */
  migrations?: typeof MIGRATIONS;
  /** Receives one line for each step that takes time. */
  say: (line: string) => void;
  /** Ends pending migrations, and the wait for those of another process. */
  signal?: AbortSignal | undefined;
}

/** Starts the embedded database or connects to DATABASE_URL, and brings its schema up to date. @throws StartupError */
export async function openInstallation({
  config,
  entities,
  logger,
  leasesLane,
  createsDatabase,
  usesReplica = false,
  embedded: starting,
  pendingMigrations = config.database.migrateOnStart ? 'run' : 'reject',
  telemetry,
  migrations = MIGRATIONS,
  say,
  signal,
}: InstallationOptions): Promise<Installation> {
  requireUrls(config, usesReplica);
  const dataDir = dataDirOf(config);
  if (config.database.url === null && !createsDatabase && !existsSync(join(dataDir, 'PG_VERSION'))) {
    throw noDatabase(dataDir);
  }
  const embedded = await (starting ?? openEmbedded(config, say));
  if (embedded === undefined) say('connecting to the database of DATABASE_URL');
  let database: Database | undefined;
  let readDatabase: ReadDatabase | undefined;
  let lease: LaneLease | undefined;
  try {
    database = await Database.connect({
      at: embedded?.address ?? config.database.url ?? '',
      poolMax: config.database.poolMax,
      entities,
      migrations,
      logger,
      ...(telemetry === undefined ? {} : { telemetry, slowStatementMs: config.database.slowStatementMs }),
    });
    if (pendingMigrations === 'run') sayMigrations(await ensureMigrated(database, say, signal), say);
    if (pendingMigrations === 'reject') await requireSchema(database, say, signal);
    const sequence = new Sequence();
    lease = leasesLane ? await LaneLease.open(database, sequence, logger) : undefined;
    // After the lease, which keeps the tables from being distributed for the first time.
    database.isDistributed = await isDistributed(database);
    if (leasesLane && database.isDistributed) await requireDistribution(database);
    readDatabase = usesReplica
      ? await openReadDatabase(database, config, logger, telemetry)
      : ReadDatabase.ofPrimary(database);
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
    await lease?.close();
    await readDatabase?.close();
    await database?.close();
    await embedded?.stopIfUnused();
    throw error;
  }
}

/** A replica that cannot be reached is not an error, but a wrong URL of one is. @throws StartupError */
function requireUrls({ database: { url, readUrl } }: Config, usesReplica: boolean): void {
  if (url !== null) parseDatabaseUrl(url, 'DATABASE_URL');
  if (readUrl !== null && usesReplica) parseDatabaseUrl(readUrl, 'DATABASE_READ_URL');
}

function dataDirOf({ database: { dataDir } }: Config): string {
  return join(dataDir, 'postgres');
}

/**
 * Starts the embedded database before the rest of a server is loaded, or for child processes, which use it until this process closes it.
 * @param isChild whether the parent process has started it
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
  { database: { readUrl, poolMax, readLagMaxMs, slowStatementMs } }: Config,
  logger: LoggerService,
  telemetry: Telemetry | undefined,
): Promise<ReadDatabase> {
  if (readUrl === null) return ReadDatabase.ofPrimary(database);
  return ReadDatabase.withReplica(database, {
    url: readUrl,
    poolMax,
    lagMaxMs: readLagMaxMs,
    logger,
    telemetry,
    slowStatementMs,
  });
}

function noDatabase(dataDir: string): StartupError {
  return new StartupError(
    `no database in ${resolve(dataDir)}; use the folder of the server, set STOWAGE_DATA_DIR or DATABASE_URL as for the server, or start the server first`,
  );
}

function sayMigrations(count: number, say: (line: string) => void): void {
  if (count > 0) say(`ran ${String(count)} migration${count === 1 ? '' : 's'}`);
}
