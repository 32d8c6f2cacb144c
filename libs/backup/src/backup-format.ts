/**
 * A backup is a gzip file, which `zcat` prints: a line of JSON that describes the installation, the tables, and a line of JSON
 * that proves that the file is whole. A table is a line of JSON with its name and columns, its rows in the text format of COPY,
 * and the line `\.`, which is no row in that format. See docs/decisions/037.
 */
export const FORMAT = 'stowage backup';

/** A file with a greater version cannot be read. */
export const FORMAT_VERSION = 1;

/** Ends the rows of a table. */
export const END_OF_ROWS = '\\.\n';

/** The first line. */
export interface BackupHeader {
  format: typeof FORMAT;
  version: number;
  created_at: string;
  /** `server_version_num` of the PostgreSQL that was read. */
  postgresql: number;
  /** The names of the migrations that have run, in their order. */
  migrations: string[];
  /** The last migration of graphile-worker. */
  queue_migration: number;
  /** The ids of the key secrets that the keys were hashed with; keys that were never used have none. */
  key_secret_ids: string[];
  sequences: Record<string, SequenceState>;
}

export interface SequenceState {
  last_value: string;
  is_called: boolean;
}

/** The line before the rows of a table. */
export interface TableHeader {
  table: string;
  columns: string[];
}

/** The last line. `sha256` is that of everything before it, after decompression. */
export interface BackupEnd {
  tables: Record<string, { rows: number; bytes: number }>;
  sha256: string;
}

/** The rows of all tables. */
export function rowsOf(tables: BackupEnd['tables']): number {
  return Object.values(tables).reduce((sum, { rows }) => sum + rows, 0);
}

/** How far a backup or restore is; updated while it runs. */
export interface BackupProgress {
  /** The bytes of all rows before compression. */
  bytes: number;
  tables: number;
  /** The table that is being copied. */
  table: string;
}

export const NO_PROGRESS: Readonly<BackupProgress> = { bytes: 0, tables: 0, table: '' };
