import { createLog, nestLog, type Config } from '#platform';
import { openInstallation, type Installation, type InstallationOptions } from '#database';
import { readConfig } from '../read-config.js';
import { ENTITIES } from '../entities.js';

export interface InstallationUse {
  /** Receives one line for each step that takes time. */
  say: (line: string) => void;
  /** Whether the command creates rows, and so needs sequence numbers. */
  leasesLane: boolean;
  /** Whether the command creates the embedded database where there is none. */
  createsDatabase: boolean;
  /** Whether pending migrations are run, rejected or ignored; default by MIGRATE_ON_START. */
  pendingMigrations?: InstallationOptions['pendingMigrations'];
  /** Default all. */
  migrations?: NonNullable<InstallationOptions['migrations']>;
  /** Ends pending migrations. */
  signal?: AbortSignal;
}

/** Opens the installation while `work` runs. A server can use the same database at the same time. */
export async function withInstallation<T>(
  use: InstallationUse,
  work: (installation: Installation, config: Config) => T | Promise<T>,
): Promise<T> {
  const config = readConfig();
  const logger = nestLog(createLog(config.log.level));
  const installation = await openInstallation({ ...use, config, entities: ENTITIES, logger });
  try {
    return await work(installation, config);
  } finally {
    await installation.close();
  }
}
