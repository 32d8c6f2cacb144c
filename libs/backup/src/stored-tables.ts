import type { Queryable } from '#database';
import type { SequenceState } from './backup-format.js';

/** The schema of graphile-worker, whose rows are jobs that wait. */
const QUEUE_SCHEMA = 'graphile_worker';

/** The state of its schema, which the installed version of graphile-worker creates; the header of a backup has its number. */
const QUEUE_MIGRATIONS = `${QUEUE_SCHEMA}.migrations`;

/** Tables and sequences of ours, and not those of an extension. */
const isOurs = (kinds: string): string => `
  c.relkind IN (${kinds})
  AND c.relnamespace IN (current_schema()::regnamespace, to_regnamespace('${QUEUE_SCHEMA}'))
  AND c.relpersistence <> 't' AND c.oid IS DISTINCT FROM to_regclass('${QUEUE_MIGRATIONS}')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`;

/** From the catalogue, so that no table can be forgotten. PostgreSQL computes generated columns again. */
const TABLES = `
  SELECT c.oid::regclass::text AS name,
    array(SELECT quote_ident(a.attname) FROM pg_attribute AS a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
    array(SELECT DISTINCT f.confrelid::regclass::text FROM pg_constraint AS f
      WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.confrelid <> c.oid) AS parents,
    pg_table_size(c.oid) AS size_bytes
  FROM pg_class AS c WHERE ${isOurs(`'r'`)}
  ORDER BY name`;

const SEQUENCES = `SELECT c.oid::regclass::text AS name FROM pg_class AS c WHERE ${isOurs(`'S'`)} ORDER BY name`;

export interface StoredTable {
  name: string;
  /** Without generated ones, quoted for SQL. */
  columns: string[];
  /** The tables that its foreign keys refer to. */
  parents: string[];
  sizeBytes: number;
}

/** All tables whose rows belong to the installation, each after the tables that it refers to. */
export async function listTables(on: Queryable): Promise<StoredTable[]> {
  const rows = await on.query<Omit<StoredTable, 'sizeBytes'> & { size_bytes: string }>(TABLES);
  const waiting = rows.map(({ size_bytes, ...table }) => ({ ...table, sizeBytes: Number(size_bytes) }));
  const tables: StoredTable[] = [];
  while (waiting.length > 0) {
    const next = waiting.findIndex(
      ({ parents }) => !parents.some((name) => waiting.some((table) => table.name === name)),
    );
    if (next === -1) throw new Error('the foreign keys of the tables are circular');
    tables.push(...waiting.splice(next, 1));
  }
  return tables;
}

/** The names of the migrations that have run, in their order. */
export async function readMigrations(on: Queryable): Promise<string[]> {
  const rows = await on.query<{ name: string }>('SELECT name FROM migrations ORDER BY timestamp, id');
  return rows.map(({ name }) => name);
}

/** The states of all sequences. They are no part of a snapshot: a state that is read later is a greater one. */
export async function readSequences(on: Queryable): Promise<Record<string, SequenceState>> {
  const states: Record<string, SequenceState> = {};
  for (const { name } of await on.query<{ name: string }>(SEQUENCES)) {
    const [state] = await on.query<SequenceState>(`SELECT last_value, is_called FROM ${name}`);
    if (state !== undefined) states[name] = state;
  }
  return states;
}
