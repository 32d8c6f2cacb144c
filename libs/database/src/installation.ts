import { join } from 'node:path';
import { MIGRATIONS } from '#migrations';
import type { LoggerService } from '@nestjs/common';
import { Logger, runMigrations } from 'graphile-worker';
import type { Config } from '#platform';
import { Database } from './database.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
import { LaneLease } from './lane-lease.js';
import { Sequence } from './sequence.js';
import { StartupError } from '#platform';

/** Any number; the same in every process, so that only one migrates at a time. */
const MIGRATION_LOCK = 7_364_501;

/** A database that is there, has its tables, and can be closed again. */
export interface Installation {
  database: Database;
  sequence: Sequence;
  /** Closes the connections, and stops the embedded server unless another process uses it. */
  close(): Promise<void>;
}

export interface InstallationOptions {
  config: Config;
  entities: (new () => object)[];
  logger: LoggerService;
  /** Whether this process draws sequence numbers; without a lane `sequence.next` throws. */
  leasesLane: boolean;
  /** Receives one line for each step that takes time. */
  say: (line: string) => void;
}

/** Starts the embedded database or finds the one that is set, and brings its tables up to date. @throws StartupError */
export async function openInstallation({
  config,
  entities,
  logger,
  leasesLane,
  say,
}: InstallationOptions): Promise<Installation> {
  let embedded: EmbeddedPostgres | undefined;
  if (config.database.url === null) {
    embedded = await startEmbeddedPostgres({ dataDir: join(config.database.dataDir, 'postgres'), say });
    if (embedded.adopted) say('using the PostgreSQL of this data dir that runs already');
  } else {
    say('connecting to the database of DATABASE_URL');
  }
  let database: Database | undefined;
  try {
    database = await Database.connect({
      at: embedded?.address ?? config.database.url ?? '',
      poolMax: config.database.poolMax,
      entities,
      migrations: MIGRATIONS,
      logger,
    });
    await migrate(database, say);
    const sequence = new Sequence();
    const lease = leasesLane ? await LaneLease.open(database, sequence, logger) : undefined;
    const opened = database;
    return {
      database,
      sequence,
      close: async () => {
        await lease?.close();
        await opened.close();
        await embedded?.stopIfUnused();
      },
    };
  } catch (error) {
    await database?.close();
    await embedded?.stopIfUnused();
    throw error;
  }
}

async function migrate(database: Database, say: (line: string) => void): Promise<void> {
  try {
    await database.transaction(async (tx) => {
      // Held by this transaction alone, while the migrations run on connections of their own.
      await tx.query('SET LOCAL lock_timeout = 0');
      await tx.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const done = await database.dataSource.runMigrations();
      // The queue of the jobs, in a schema of its own; its migrations keep their own books.
      await runMigrations({ pgPool: database.connections, logger: new Logger(() => () => undefined) });
      if (done.length > 0) say(`ran ${String(done.length)} migration${done.length === 1 ? '' : 's'}`);
    });
  } catch (cause) {
    throw new StartupError(`cannot bring the tables up to date: ${(cause as Error).message.split('\n')[0] ?? ''}`, {
      cause,
    });
  }
}
