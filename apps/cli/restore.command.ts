import { join } from 'node:path';
import type { Database } from '#database';
import type { Config } from '#platform';
import { Command, CommandRunner, Option } from 'nest-commander';
import { formatBytes, formatCount } from './load-meter.js';
import { printLine, printMessage } from './output.js';
import { bytesFigures, Progress } from './progress.js';
import { runUntilStopped } from './stop-signals.js';

const DETAILS = `
Restores into a database without projects: a new STOWAGE_DATA_DIR, or an empty
database in DATABASE_URL that no server uses. Either everything is restored or
nothing. Then the migrations run that are newer than the backup.

Jobs that waited or ran at the time of the backup run when a worker starts.
Webhooks that waited are not sent, unless with --keep-deliveries; webhooks of
what happens later are sent.

The API keys of the backup work only with the key secret of its installation:
set STOWAGE_KEY_SECRET, or copy the file key-secret to STOWAGE_DATA_DIR, before
the server is started. Where values are encrypted, it does not start without
STOWAGE_DATA_KEY of that installation.

Exit codes:
  0    restored
  1    nothing is restored: the file is damaged, incomplete or of a newer
       version, or the database is not empty, in use or distributed (Citus)
  2    the command or a setting is invalid
  130  interrupted by Ctrl-C, 143 by SIGTERM: nothing is restored, or everything
       without the migrations that are newer than the backup, as it says`;

const USE = { say: printMessage, leasesLane: false, createsDatabase: true };

interface Options {
  keepDeliveries?: boolean;
}

@Command({
  name: 'restore',
  arguments: '<file>',
  argsDescription: { file: 'a file that backup has written' },
  description: 'restore a backup into an empty database, which is created if it is missing',
})
export class RestoreCommand extends CommandRunner {
  override setCommand(command: Parameters<CommandRunner['setCommand']>[0]): this {
    command.addHelpText('after', DETAILS);
    return super.setCommand(command);
  }

  async run([file = '']: string[], { keepDeliveries = false }: Options): Promise<void> {
    let outcome = 'nothing was restored';
    await runUntilStopped(
      () => outcome,
      async (signal) => {
        const { isOld } = await restore(file, keepDeliveries, signal);
        if (!isOld) return;
        outcome = 'restored, not migrated; run "stowage migrate"';
        const { withInstallation } = await import('./with-installation.js');
        await withInstallation({ ...USE, pendingMigrations: 'run', signal }, ({ database }, config) =>
          nameSecrets(database, config),
        );
      },
    );
  }

  @Option({ flags: '--keep-deliveries', description: 'send the webhooks that waited at the time of the backup' })
  parseKeepDeliveries(): boolean {
    return true;
  }
}

/** @returns whether the tables are those of an older version of Stowage */
async function restore(file: string, keepsDeliveries: boolean, signal: AbortSignal): Promise<{ isOld: boolean }> {
  const { BackupReader, migrationsOf, NO_PROGRESS, restoreBackup } = await import('#backup');
  const { withInstallation } = await import('./with-installation.js');
  const backup = await BackupReader.open(file);
  const { reader, header } = backup;
  try {
    const { migrations, isOld } = migrationsOf(header);
    await withInstallation({ ...USE, migrations, pendingMigrations: 'ignore' }, async ({ database }, config) => {
      const state = { ...NO_PROGRESS };
      const progress = new Progress((elapsedMs) => {
        const { text } = bytesFigures(state.bytes, 0, state.table, elapsedMs);
        return { fraction: reader.readBytes() / reader.sizeBytes, text };
      });
      try {
        const rows = await restoreBackup(database, backup, {
          keepsDeliveries,
          progress: state,
          signal,
          say: printMessage,
        });
        progress.end();
        const what = `${formatCount(rows)} rows (${formatBytes(state.bytes)}) of ${header.created_at}`;
        printLine(`restored ${what} in ${(progress.elapsedMs / 1000).toFixed(1)} s`);
        if (!isOld) await nameSecrets(database, config);
      } finally {
        progress.end();
      }
    });
    return { isOld };
  } finally {
    reader.close();
  }
}

/** Says what the server needs that the backup does not have. */
async function nameSecrets(database: Database, config: Config): Promise<void> {
  await nameKeySecret(database, config);
  await nameDataKeys(database, config);
}

/** Says whether the API keys work with the key secret that the server will find, and where it looks for it. */
async function nameKeySecret(database: Database, config: Config): Promise<void> {
  const { describeUnmatched, KeySecret, matchKeys } = await import('#access');
  const secret = await KeySecret.find(config);
  const match = await matchKeys(database, secret);
  const unmatched = secret === null ? null : describeUnmatched(match, config);
  if (unmatched !== null) {
    printMessage(`before the server is started: ${unmatched}`);
    return;
  }
  if (match.keys === 0 || (secret !== null && match.unknown === 0)) return;
  const path = join(config.database.dataDir, 'key-secret');
  printMessage(
    secret === null
      ? `the API keys of the backup work only with the key secret of its installation: before the server is started, copy its file key-secret to ${path}, or set STOWAGE_KEY_SECRET; otherwise the server creates another one`
      : `${String(match.unknown)} of ${String(match.keys)} API keys of the backup may need another key secret, that of its installation`,
  );
}

/** Says which data keys the server needs that are not set. */
async function nameDataKeys(database: Database, config: Config): Promise<void> {
  const { dataKeysOf, findMissingKeys } = await import('#encryption');
  const ids = await findMissingKeys(database, dataKeysOf(config));
  if (ids.length === 0) return;
  const keys = ids.length === 1 ? `the data key ${String(ids[0])}` : `the data keys ${ids.join(' and ')}`;
  printMessage(`values of the backup are encrypted with ${keys}: set STOWAGE_DATA_KEY before the server is started`);
}
