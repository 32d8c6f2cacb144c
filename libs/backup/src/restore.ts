import {
  errorCode,
  lockMigrations,
  lockUse,
  migrate,
  readQueueMigration,
  requireUnused,
  type Database,
  type Queryable,
  type Transaction,
} from '#database';
import { MIGRATIONS } from '#migrations';
import { describeError, StartupError } from '#platform';
import {
  rowsOf,
  type BackupEnd,
  type BackupHeader,
  type BackupProgress,
  type SequenceState,
  type TableHeader,
} from './backup-format.js';
import type { BackupReader } from './backup-reader.js';
import { cancelOnAbort } from './cancel-on-abort.js';
import { listTables, readMigrations, readSequences, type StoredTable } from './stored-tables.js';

type Migration = (typeof MIGRATIONS)[number];

/** Where none of these has a row, no project was ever created, so nothing can be stored. */
const FIRST_ROWS = ['projects', 'deleted_projects', 'api_keys', 'audit_entries'];

/** Rows take as long as they take; a lock is held by migrations only. The memory is that of one index that is created. */
const SETTINGS = `
  SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
    set_config('maintenance_work_mem', '256MB', true)`;

/** Filling a GIN index row by row takes longer than storing the rows. Other indexes are filled in the order of the rows. */
const GIN_INDEXES = `
  SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
  WHERE m.amname = 'gin' AND i.indrelid = ANY ($1::regclass[])`;

/**
 * Without their feeds no cursor of changes is valid: one that was issued after the backup must not become valid again when a feed reaches
 * its position. The changes are of no use without a cursor.
 */
const END_FEEDS = 'TRUNCATE change_feeds, changes, pending_changes';

/** Webhooks for stored batches follow the changes from here on. The feeds begin at random positions, as those of `ChangeStore.follow` do. */
const FOLLOW_FOR_WEBHOOKS = `
  WITH followed AS (
    INSERT INTO change_feeds (project_id, last_position, deleted_until, read_at)
    SELECT project_id, start, start, now() FROM (
      SELECT project_id, (2 ^ 40 + floor(random() * 2 ^ 47))::bigint AS start
      FROM webhooks WHERE change_position IS NOT NULL GROUP BY project_id
    ) AS project
    RETURNING project_id, last_position
  )
  UPDATE webhooks AS w SET change_position = f.last_position FROM followed AS f
  WHERE w.project_id = f.project_id AND w.change_position IS NOT NULL`;

/** They would be sent a second time, and by a copy for tests, too. */
const DROP_DELIVERIES = `
  UPDATE webhook_deliveries SET status = 'failed', error = 'not sent: a backup was restored', finished_at = now()
  WHERE status = 'queued'`;

export interface RestoreOptions {
  /** Whether webhooks are sent that waited at the time of the backup. */
  keepsDeliveries: boolean;
  progress: BackupProgress;
  signal: AbortSignal;
  /** Receives a line while another process keeps this one waiting. */
  say: (line: string) => void;
}

/**
 * The migrations that the tables of a backup had, and whether there are newer ones.
 * @throws StartupError where this version does not know all of them
 */
export function migrationsOf({ migrations }: BackupHeader): { migrations: Migration[]; isOld: boolean } {
  const known = MIGRATIONS.filter((migration) => migrations.includes(new migration().name));
  if (known.length === migrations.length) return { migrations: known, isOld: known.length < MIGRATIONS.length };
  const names = known.map((migration) => new migration().name);
  const unknown = migrations.find((name) => !names.includes(name)) ?? '';
  throw new StartupError(
    `the backup is of a newer version of Stowage, with the migration ${unknown}: use the version that wrote it`,
  );
}

/**
 * Creates the tables that the backup has, and stores its rows in them in one transaction.
 * @param database knows the migrations of the backup
 * @returns the number of rows
 * @throws StartupError for a database that is not empty or in use, and for a file that is damaged; any error after `signal` was aborted:
 *   nothing is stored
 */
export async function restoreBackup(
  database: Database,
  backup: { reader: BackupReader; header: BackupHeader },
  options: RestoreOptions,
): Promise<number> {
  const { progress, signal, say } = options;
  signal.throwIfAborted();
  if (database.isDistributed) {
    throw new StartupError(
      'the tables are distributed over several machines (Citus); restore into a database without distributed tables, and distribute it afterwards with "stowage migrate --citus"',
    );
  }
  await requireRestorable(database, backup.header);
  await requireUnused(database);
  progress.table = 'migrations';
  await migrate(database, say, signal);
  const restored = database.transactionOnce(async (tx) => {
    await tx.query(SETTINGS);
    const cancel = await cancelOnAbort(database, tx, signal);
    try {
      return await restoreIn(tx, backup, options);
    } finally {
      cancel.end();
    }
  });
  return restored.catch((cause: unknown) => {
    // Such as a full disk, or a row that is damaged.
    if (errorCode(cause) === undefined) throw cause;
    throw new StartupError(`the restore failed: ${describeError(cause)}; nothing was restored`, { cause });
  });
}

async function restoreIn(
  tx: Transaction,
  { reader, header }: { reader: BackupReader; header: BackupHeader },
  { keepsDeliveries, progress, signal }: RestoreOptions,
): Promise<number> {
  await lockMigrations(tx);
  await lockUse(tx);
  const tables = await requireRestorable(tx, header);
  if (header.queue_migration > (await readQueueMigration(tx))) {
    throw new StartupError('the backup is of a newer version of the job queue: use the version that wrote it');
  }
  // Empty but for the rows that migrations insert. COPY FREEZE needs it too.
  const names = tables.map(({ name }) => name);
  await tx.query(`TRUNCATE ${names.join(', ')}`);
  const indexes = await tx.query<{ name: string; definition: string }>(GIN_INDEXES, [names]);
  for (const { name } of indexes) await tx.query(`DROP INDEX ${name}`);
  const end = await copyTables(tx, tables, reader, progress, signal);
  progress.table = 'indexes';
  for (const { definition } of indexes) await tx.query(definition);
  if (names.includes('change_feeds')) await tx.query(END_FEEDS);
  if (names.includes('webhooks')) await tx.query(FOLLOW_FOR_WEBHOOKS);
  if (names.includes('webhook_deliveries') && !keepsDeliveries) await tx.query(DROP_DELIVERIES);
  await setSequences(tx, header.sequences);
  await tx.query(`ANALYZE ${names.join(', ')}`);
  signal.throwIfAborted();
  return rowsOf(end.tables);
}

/** @returns the tables @throws StartupError where the database has rows, or tables of a newer version */
async function requireRestorable(on: Queryable, { migrations }: BackupHeader): Promise<StoredTable[]> {
  const tables = await listTables(on);
  await requireEmpty(on, tables);
  const hasMigrations = tables.some(({ name }) => name === 'migrations');
  const run = hasMigrations ? await readMigrations(on) : [];
  const newer = run.find((name) => !migrations.includes(name));
  if (newer === undefined) return tables;
  throw new StartupError(
    `the database has newer tables than the backup, with the migration ${newer}; restore into a database without tables`,
  );
}

async function requireEmpty(tx: Queryable, tables: readonly StoredTable[]): Promise<void> {
  // The tables of an older version may lack some of them.
  for (const name of FIRST_ROWS.filter((first) => tables.some((table) => table.name === first))) {
    const [row] = await tx.query<{ has_rows: boolean }>(`SELECT EXISTS (SELECT FROM ${name}) AS has_rows`);
    if (row?.has_rows !== true) continue;
    throw new StartupError(
      `the database is not empty: ${name} has rows; restore into a new STOWAGE_DATA_DIR or an empty database`,
    );
  }
}

async function copyTables(
  tx: Transaction,
  tables: readonly StoredTable[],
  reader: BackupReader,
  progress: BackupProgress,
  signal: AbortSignal,
): Promise<BackupEnd> {
  const copied = new Map<string, number>();
  for (let entry = await reader.next(); ; entry = await reader.next()) {
    if ('sha256' in entry) {
      requireSameRows(copied, entry);
      return entry;
    }
    requireKnown(entry, tables);
    progress.table = entry.table;
    const copy = tx.copyIn(`COPY ${entry.table} (${entry.columns.join(', ')}) FROM STDIN WITH (FREEZE)`);
    for await (const rows of reader.rows()) {
      signal.throwIfAborted();
      await copy.write(rows);
      progress.bytes += rows.length;
    }
    await copy.end();
    copied.set(entry.table, copy.rowCount);
    progress.tables++;
  }
}

/** The names become part of a statement. */
function requireKnown({ table, columns }: TableHeader, tables: readonly StoredTable[]): void {
  const found = tables.find(({ name }) => name === table);
  const unknown = found === undefined ? table : columns.find((column) => !found.columns.includes(column));
  if (unknown === undefined) return;
  const what = found === undefined ? `the table ${table}` : `the column ${unknown} of ${table}`;
  throw new StartupError(`the backup has ${what}, which Stowage does not have; nothing was restored`);
}

function requireSameRows(copied: ReadonlyMap<string, number>, { tables }: BackupEnd): void {
  const entries = Object.entries(tables);
  const isSame = entries.length === copied.size && entries.every(([name, { rows }]) => copied.get(name) === rows);
  if (!isSame) throw new StartupError('the backup has other numbers of rows than its last line; nothing was restored');
}

async function setSequences(tx: Queryable, states: Readonly<Record<string, SequenceState>>): Promise<void> {
  for (const name of Object.keys(await readSequences(tx))) {
    const state = states[name];
    if (state === undefined) continue;
    await tx.query('SELECT setval($1::regclass, $2::bigint, $3::boolean)', [name, state.last_value, state.is_called]);
  }
}
