import { existsSync } from 'node:fs';
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
          nameDataKeys(database, config),
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
        nameKeySecret(config);
        if (!isOld) await nameDataKeys(database, config);
      } finally {
        progress.end();
      }
    });
    return { isOld };
  } finally {
    reader.close();
  }
}

/** Says where the server looks for the key secret. Without the one of the backup no key in it works. */
function nameKeySecret({ access, database }: Config): void {
  if (access.keySecret !== null) {
    printMessage('the API keys of the backup work only if STOWAGE_KEY_SECRET is the key secret of its installation');
    return;
  }
  const path = join(database.dataDir, 'key-secret');
  const now = existsSync(path) ? 'has another one unless you copied it' : 'is otherwise created with another one';
  printMessage(
    `the API keys of the backup work only with the key secret of its installation: before the server is started, copy its file over ${path}, which ${now}, or set STOWAGE_KEY_SECRET`,
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
