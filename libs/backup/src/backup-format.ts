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

/** @returns null where the first line is not that of a backup; its members may be of a newer version */
export function parseFormat(text: string): { version: number } | null {
  const header = parseObject(text);
  return header?.format === FORMAT && isCount(header.version) ? { version: header.version } : null;
}

/** @returns null for an unexpected line */
export function parseHeader(text: string): BackupHeader | null {
  const header = parseObject(text);
  const isValid =
    header?.format === FORMAT &&
    isCount(header.version) &&
    isText(header.created_at) &&
    isCount(header.postgresql) &&
    isTexts(header.migrations) &&
    isCount(header.queue_migration) &&
    isRecordOf(header.sequences, isSequenceState);
  return isValid ? (header as unknown as BackupHeader) : null;
}

/** @returns null for an unexpected line */
export function parseEntry(text: string): TableHeader | BackupEnd | null {
  const entry = parseObject(text);
  if (entry === null) return null;
  if (isText(entry.table) && isTexts(entry.columns)) return { table: entry.table, columns: entry.columns };
  if (isRecordOf(entry.tables, isTableSize) && isText(entry.sha256)) {
    return { tables: entry.tables as BackupEnd['tables'], sha256: entry.sha256 };
  }
  return null;
}

/** @returns null for text that is not JSON, and for other values */
function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isRecordOf(value: unknown, isMember: (member: unknown) => boolean): boolean {
  return isObject(value) && Object.values(value).every(isMember);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isSequenceState(state: unknown): boolean {
  return (
    isObject(state) &&
    isText(state.last_value) &&
    /^-?\d{1,19}$/.test(state.last_value) &&
    typeof state.is_called === 'boolean'
  );
}

function isTableSize(size: unknown): boolean {
  return isObject(size) && isCount(size.rows) && isCount(size.bytes);
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
