import type { Queryable } from '#database';
import { Command, CommandRunner, Option } from 'nest-commander';
import { findOutputPath } from '#platform';
import { formatBytes, formatCount } from './load-meter.js';
import { printLine, printMessage } from './output.js';
import { bytesFigures, Progress } from './progress.js';
import { runUntilStopped } from './stop-signals.js';
import { UsageError } from './usage-error.js';

const LEVEL = 1;

const DETAILS = `
The file has one state of the whole database: projects, keys, devices, batches,
objects, the index, jobs that wait, and the audit log. Servers and workers go on
meanwhile; do not upgrade them until the file is written.

Its API keys work only with the key secret of this installation, which is not in
the file: keep STOWAGE_KEY_SECRET, or the file key-secret in STOWAGE_DATA_DIR,
in another place.

Exit codes:
  0    the file is whole
  1    it cannot be written; an existing file is kept. Or <file> is a folder,
       a FIFO or a device, or in a folder that does not exist. Or the database
       is distributed (Citus): back up its machines with PostgreSQL
  2    the command or a setting is invalid
  130  interrupted by Ctrl-C, 143 by SIGTERM; an existing file is kept`;

interface Options {
  level?: number;
}

@Command({
  name: 'backup',
  arguments: '<file>',
  argsDescription: { file: 'the file, which is replaced when the backup is whole' },
  description: 'write the whole database to a file, also while the server runs',
})
export class BackupCommand extends CommandRunner {
  override setCommand(command: Parameters<CommandRunner['setCommand']>[0]): this {
    command.addHelpText('after', DETAILS);
    return super.setCommand(command);
  }

  async run([file = '']: string[], { level = LEVEL }: Options): Promise<void> {
    await runUntilStopped('no backup was written', (signal) => backUp(file, level, signal));
  }

  @Option({ flags: '--level <level>', description: 'of compression, 0 (none) to 9 (slowest); default 1' })
  parseLevel(value: string): number {
    if (!/^\d$/.test(value)) throw new UsageError(`--level must be 0 to 9, not "${value}"`);
    return Number(value);
  }
}

/** The ids of the data keys that the values of the backup may be encrypted with. */
async function listDataKeys(snapshot: Queryable): Promise<string[]> {
  // The tables may be those of an older version.
  const [row] = await snapshot.query<{ exists: boolean }>(`SELECT to_regclass('data_keys') IS NOT NULL AS exists`);
  if (row?.exists !== true) return [];
  const { findMissingKeys } = await import('#encryption');
  return findMissingKeys(snapshot, []);
}

async function backUp(file: string, level: number, signal: AbortSignal): Promise<void> {
  const path = await findOutputPath(file);
  const { NO_PROGRESS, writeBackup } = await import('#backup');
  const { withInstallation } = await import('./with-installation.js');
  // The tables are backed up as they are: a newer version must not change them before that.
  const use = { say: printMessage, leasesLane: false, createsDatabase: false, pendingMigrations: 'ignore' } as const;
  await withInstallation(use, async ({ database }) => {
    let ids: string[] = [];
    const onSnapshot = async (snapshot: Queryable): Promise<void> => {
      ids = await listDataKeys(snapshot);
    };
    const state = { ...NO_PROGRESS };
    let total = 0;
    const onSize = (bytes: number): void => {
      total = bytes;
    };
    const progress = new Progress((elapsedMs) => bytesFigures(state.bytes, total, state.table, elapsedMs));
    try {
      const options = { path, level, onSize, onSnapshot, progress: state, signal };
      const { rows, sizeBytes } = await writeBackup(database, options);
      progress.end();
      const what = `${formatCount(rows)} rows (${formatBytes(state.bytes)}) to ${file} (${formatBytes(sizeBytes)})`;
      printLine(`backed up ${what} in ${(progress.elapsedMs / 1000).toFixed(1)} s`);
      if (ids.length > 0) {
        const keys = ids.length === 1 ? `data key ${ids.join()}` : `data keys ${ids.join(' and ')}`;
        printMessage(
          `after a restore its values need the ${keys}, which the file does not have: keep a copy apart from it`,
        );
      }
    } finally {
      progress.end();
    }
  });
}
