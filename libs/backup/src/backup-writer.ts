import { rm } from 'node:fs/promises';
import { errorCode, readQueueMigration, type Database, type Queryable, type Snapshot } from '#database';
import { partPathOf, publishPart, removeOldParts, StartupError } from '#platform';
import {
  END_OF_ROWS,
  FORMAT,
  FORMAT_VERSION,
  rowsOf,
  type BackupEnd,
  type BackupHeader,
  type BackupProgress,
  type TableHeader,
} from './backup-format.js';
import { cancelOnAbort } from './cancel-on-abort.js';
import { GzipFile } from './gzip-file.js';
import { listTables, readMigrations, readSequences, type StoredTable } from './stored-tables.js';

export interface BackupOptions {
  /** Of `findOutputPath`. Replaced when the backup is whole. */
  path: string;
  /** Of zlib, 0 for no compression. */
  level: number;
  /** Receives the approximate size of all rows before they are copied. */
  onSize: (bytes: number) => void;
  /** Reads more of the state that the file has, before the file is written: where it throws, an existing file is kept. */
  onSnapshot: (snapshot: Queryable) => Promise<void>;
  progress: BackupProgress;
  signal: AbortSignal;
}

export interface WrittenBackup {
  rows: number;
  /** The size of the file. */
  sizeBytes: number;
}

const HAS_TABLES = `SELECT to_regclass('migrations') IS NOT NULL AND to_regclass('projects') IS NOT NULL AS has_tables`;
const VERSION = `SELECT current_setting('server_version_num')::int AS version`;

/**
 * Writes one state of all tables to a file, while servers and workers use the database.
 * @throws StartupError for a database without tables, and for a cluster; any error after `signal` was aborted: no file is left
 */
export async function writeBackup(database: Database, options: BackupOptions): Promise<WrittenBackup> {
  // A copy reads the rows of each machine at another moment.
  if (database.isDistributed) {
    throw new StartupError(
      'the tables are distributed over several machines (Citus), which have no common state to copy; back up the machines with PostgreSQL, at one point of citus_create_restore_point',
    );
  }
  const snapshot = await database.openSnapshot({ statementTimeoutMs: 0 });
  let cancel: { end: () => void } | undefined;
  try {
    const tables = await lockTables(database, snapshot);
    // Not before: it would take the snapshot.
    cancel = await cancelOnAbort(database, snapshot, options.signal);
    options.onSize(tables.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    const header = await readHeader(snapshot);
    const part = partPathOf(options.path);
    try {
      await options.onSnapshot(snapshot);
      // Before, because they take space on the disk.
      await removeOldParts(options.path);
      const written = await writeFile(part, snapshot, tables, header, options);
      options.signal.throwIfAborted();
      await publishPart(part, options.path);
      return written;
    } catch (cause) {
      // Such as a full disk, or a database that has ended.
      if (errorCode(cause) === undefined) throw cause;
      // The path of the part is of no use to the user.
      const reason = (cause as Error).message.replaceAll(part, options.path);
      throw new StartupError(`the backup cannot be written: ${reason}`, { cause });
    } finally {
      await rm(part, { force: true });
    }
  } finally {
    cancel?.end();
    await snapshot.close();
  }
}

/**
 * Locked against migrations, which would change a table between the snapshot and its copy; reads and writes go on. The locks come first:
 * a table that is rewritten after the snapshot seems to be empty in it.
 */
async function lockTables(database: Database, snapshot: Snapshot): Promise<StoredTable[]> {
  const [row] = await database.query<{ has_tables: boolean }>(HAS_TABLES);
  if (row?.has_tables !== true)
    throw new StartupError('the database has no tables of Stowage; there is nothing to back up');
  const names = namesOf(await listTables(database));
  await snapshot.query(`LOCK TABLE ${names} IN ACCESS SHARE MODE`);
  const tables = await listTables(snapshot);
  if (namesOf(tables) !== names)
    throw new StartupError('a migration has changed the tables meanwhile; run the backup again');
  return tables;
}

function namesOf(tables: readonly StoredTable[]): string {
  return tables.map(({ name }) => name).join(', ');
}

async function readHeader(snapshot: Queryable): Promise<BackupHeader> {
  const [server] = await snapshot.query<{ version: number }>(VERSION);
  return {
    format: FORMAT,
    version: FORMAT_VERSION,
    created_at: new Date().toISOString(),
    postgresql: server?.version ?? 0,
    migrations: await readMigrations(snapshot),
    queue_migration: await readQueueMigration(snapshot),
    sequences: await readSequences(snapshot),
  };
}

async function writeFile(
  path: string,
  snapshot: Snapshot,
  tables: readonly StoredTable[],
  header: BackupHeader,
  { level, progress, signal }: BackupOptions,
): Promise<WrittenBackup> {
  const file = await GzipFile.create(path, level);
  try {
    await file.write(line(header));
    const copied: BackupEnd['tables'] = {};
    for (const { name, columns } of tables) {
      progress.table = name;
      await file.write(line({ table: name, columns } satisfies TableHeader));
      const copy = snapshot.copyOut(`SELECT ${columns.join(', ')} FROM ${name}`, []);
      let bytes = 0;
      for (let chunk = await copy.next(); chunk !== null; chunk = await copy.next()) {
        signal.throwIfAborted();
        await file.write(chunk);
        bytes += chunk.length;
        progress.bytes += chunk.length;
      }
      await file.write(END_OF_ROWS);
      copied[name] = { rows: copy.rowCount, bytes };
      progress.tables++;
    }
    await file.write(line({ tables: copied, sha256: file.digest() } satisfies BackupEnd));
    return { rows: rowsOf(copied), sizeBytes: await file.end() };
  } catch (error) {
    await file.abort();
    throw error;
  }
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
