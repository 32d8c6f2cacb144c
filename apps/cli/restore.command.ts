import { Command, CommandRunner } from 'nest-commander';
import { formatBytes, formatCount } from './load-meter.js';
import { printLine, printMessage } from './output.js';
import { bytesFigures, Progress } from './progress.js';

/** The exit code of a shell for a command that SIGINT ended: 128 + 2. */
const EXIT_INTERRUPTED = 130;

const DETAILS = `
Restores into a database without projects: a new STOWAGE_DATA_DIR, or an empty
database in DATABASE_URL. Either everything is restored or nothing. Then the
migrations run that are newer than the backup.

The API keys of the backup work only with the key secret of its installation:
set STOWAGE_KEY_SECRET, or copy the file key-secret to STOWAGE_DATA_DIR, before
the server is started.

Exit codes:
  0    restored
  1    nothing is restored: the file is damaged, incomplete or of a newer
       version, or the database is not empty
  2    the command or a setting is invalid
  130  interrupted by Ctrl-C; nothing is restored`;

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

  async run([file = '']: string[]): Promise<void> {
    const { BackupReader, migrationsOf, NO_PROGRESS, restoreBackup } = await import('#backup');
    const { withInstallation } = await import('./with-installation.js');
    const abort = new AbortController();
    process.on('SIGINT', () => {
      abort.abort();
    });
    const backup = await BackupReader.open(file);
    const { reader, header } = backup;
    const use = { say: printMessage, leasesLane: false, createsDatabase: true };
    try {
      const { migrations, isOld } = migrationsOf(header);
      await withInstallation({ ...use, migrations, pendingMigrations: 'ignore' }, async ({ database }) => {
        const state = { ...NO_PROGRESS };
        const progress = new Progress((elapsedMs) => {
          const { text } = bytesFigures(state.bytes, 0, state.table, elapsedMs);
          return { fraction: reader.readBytes() / reader.sizeBytes, text };
        });
        try {
          const rows = await restoreBackup(database, backup, state, abort.signal);
          progress.end();
          const what = `${formatCount(rows)} rows (${formatBytes(state.bytes)}) of ${header.created_at}`;
          printLine(`restored ${what} in ${(progress.elapsedMs / 1000).toFixed(1)} s`);
        } finally {
          progress.end();
        }
      });
      if (isOld) await withInstallation({ ...use, pendingMigrations: 'run' }, () => undefined);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      process.exitCode = EXIT_INTERRUPTED;
    } finally {
      reader.close();
    }
  }
}
