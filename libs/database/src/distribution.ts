import { StartupError } from '#platform';
import type { Queryable } from './queryable.js';

/** The first table that is distributed; the others are placed like it. */
const FIRST_TABLE = 'batches';

/**
 * Tables with a column `project_id` that stay on the coordinator: a request needs them before it knows its project, or their keys are
 * unique in the installation.
 */
export const LOCAL_TABLES: readonly string[] = ['projects', 'api_keys', 'devices'];

/** Tables of data: those with a column `project_id` that may not be null, except `LOCAL_TABLES`. */
const DATA_TABLES = `
  SELECT c.relname AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
  WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
    AND a.attname = 'project_id' AND a.attnotnull AND NOT a.attisdropped AND c.relname <> ALL ($1::text[])
  ORDER BY c.relname`;

const DISTRIBUTED_TABLES = `SELECT logicalrelid::regclass::text AS name FROM pg_dist_partition WHERE partmethod = 'h'`;

/** Distributed tables whose former rows are still on the coordinator, where no statement reads them. */
const WITH_LOCAL_ROWS = `
  SELECT logicalrelid::regclass::text AS name FROM pg_dist_partition
  WHERE partmethod = 'h' AND pg_relation_size(logicalrelid) > 0 ORDER BY 1`;

/** References from tables of data to tables of the coordinator, which a cluster cannot check. */
const FOREIGN_KEYS = `
  SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
  WHERE contype = 'f' AND conrelid::regclass::text = ANY ($1::text[]) AND NOT confrelid::regclass::text = ANY ($1::text[])
  ORDER BY 1, 2`;

/**
 * Whether the database has the functions of Citus. Its catalog is found by name, as Citus has it in `pg_catalog`.
 */
const HAS_CITUS = `
  SELECT to_regproc('create_distributed_table') IS NOT NULL AND to_regclass('pg_dist_partition') IS NOT NULL AS has_citus`;

/** The state of a database that its distribution depends on. */
export interface DistributionState {
  database: string;
  dataTables: readonly string[];
  distributed: readonly string[];
  /** Those of them whose rows on the coordinator were not removed: a run ended before it did so. */
  withLocalRows: readonly string[];
  foreignKeys: readonly { table: string; name: string }[];
}

/** @throws StartupError where the database has no Citus */
export async function readDistributionState(on: Queryable): Promise<DistributionState> {
  const [has] = await on.query<{ has_citus: boolean }>(HAS_CITUS);
  if (has?.has_citus !== true) {
    throw new StartupError(
      'the database has no Citus; run CREATE EXTENSION citus in it on the coordinator, and add the workers, first',
    );
  }
  const [row] = await on.query<{ name: string }>('SELECT current_database() AS name');
  const dataTables = await listDataTables(on);
  const distributed = await on.query<{ name: string }>(DISTRIBUTED_TABLES);
  const withLocalRows = await on.query<{ name: string }>(WITH_LOCAL_ROWS);
  const foreignKeys = await on.query<{ table: string; name: string }>(FOREIGN_KEYS, [dataTables]);
  return {
    database: row?.name ?? '',
    dataTables,
    distributed: distributed.map(({ name }) => name),
    withLocalRows: withLocalRows.map(({ name }) => name),
    foreignKeys,
  };
}

/** The names of the tables that are distributed on a cluster. */
export async function listDataTables(on: Queryable): Promise<string[]> {
  return (await on.query<{ name: string }>(DATA_TABLES, [LOCAL_TABLES])).map(({ name }) => name);
}

/**
 * The statements that distribute a database, each on its own: a repetition continues after the last that has run. The rows of a table move
 * to the shards, and then those that remain on the coordinator are removed.
 */
export function distributionStatements({
  database,
  dataTables,
  distributed,
  withLocalRows,
  foreignKeys,
}: DistributionState): string[] {
  const missing = [FIRST_TABLE, ...dataTables.filter((name) => name !== FIRST_TABLE)].filter(
    (name) => !distributed.includes(name),
  );
  return [
    ...SETTINGS.flatMap(([name, value]) => settingStatements(database, name, value)),
    ...foreignKeys.map(({ table, name }) => `ALTER TABLE ${table} DROP CONSTRAINT ${name}`),
    ...withLocalRows.map(removeLocalRows),
    ...missing.flatMap((name) => {
      const place = name === FIRST_TABLE ? '' : `, colocate_with => '${FIRST_TABLE}'`;
      return [`SELECT create_distributed_table('${name}', 'project_id'${place})`, removeLocalRows(name)];
    }),
  ];
}

function removeLocalRows(name: string): string {
  return `SELECT truncate_local_data_after_distributing_table('${name}')`;
}

/** Sessions on the workers are not those of the servers, so what these set for themselves is set on the database. */
const SETTINGS = [
  ['timezone', 'UTC'],
  ['lock_timeout', '10s'],
] as const;

function settingStatements(database: string, name: string, value: string): string[] {
  const statement = `ALTER DATABASE ${quoted(database)} SET ${name} = '${value}'`;
  return [statement, `SELECT run_command_on_workers($command$${statement}$command$)`];
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Whether the tables of data are distributed. */
export async function isDistributed(on: Queryable): Promise<boolean> {
  const [has] = await on.query<{ has_citus: boolean }>(HAS_CITUS);
  if (has?.has_citus !== true) return false;
  return (await on.query<{ name: string }>(DISTRIBUTED_TABLES)).some(({ name }) => name === FIRST_TABLE);
}

/** @throws StartupError where a migration has added a table of data that is not distributed yet */
export async function requireDistribution(on: Queryable): Promise<void> {
  const { dataTables, distributed } = await readDistributionState(on);
  const missing = dataTables.find((name) => !distributed.includes(name));
  if (missing === undefined) return;
  throw new StartupError(`the table ${missing} is not distributed; run "stowage migrate --citus" first`);
}
