import type { SchemaMigration } from '#migrations';
import { StartupError } from '#platform';
import type { MigrationInterface } from 'typeorm';
import type { Queryable } from './queryable.js';
import { readQueueMigration, requireQueueNotTooNew, requireQueueNotTooOld } from './queue-schema.js';

/** A migration of this version. The first ones have no phase: no earlier version can work after them. */
export type KnownMigration = MigrationInterface &
  Partial<Pick<SchemaMigration, 'phase'>> & { compatibleSince?: string };

/** What a database says of its schema. */
export interface SchemaState {
  /** The names of the migrations that have run; none in an empty database. */
  executed: readonly string[];
  /** By migration, the oldest migration that a server must know after it; null where it needs to know none. */
  compatibleSince: ReadonlyMap<string, string | null>;
  /** The newest migration of the job queue's tables; 0 where there are none. */
  queueMigration: number;
}

const HAS_TABLES = `
  SELECT to_regclass('migrations') IS NOT NULL AS has_migrations,
    to_regclass('schema_compatibility') IS NOT NULL AS has_compatibility`;

const DECLARE = `
  INSERT INTO schema_compatibility (migration, compatible_since)
  SELECT * FROM unnest($1::text[], $2::text[])
  ON CONFLICT (migration) DO UPDATE SET compatible_since = excluded.compatible_since`;

/** Reads the schema of a database and changes nothing. */
export async function readSchemaState(on: Queryable): Promise<SchemaState> {
  const [has] = await on.query<{ has_migrations: boolean; has_compatibility: boolean }>(HAS_TABLES);
  const executed =
    has?.has_migrations === true ? await on.query<{ name: string }>('SELECT name FROM migrations ORDER BY name') : [];
  const declared =
    has?.has_compatibility === true
      ? await on.query<{ migration: string; compatible_since: string | null }>('SELECT * FROM schema_compatibility')
      : [];
  return {
    executed: executed.map(({ name }) => name),
    compatibleSince: new Map(declared.map((row) => [row.migration, row.compatible_since])),
    queueMigration: await readQueueMigration(on),
  };
}

/** Stores what each migration means for servers that do not know it. @returns false where the table does not exist yet */
export async function declareCompatibility(on: Queryable, known: readonly KnownMigration[]): Promise<boolean> {
  const [has] = await on.query<{ has_compatibility: boolean }>(HAS_TABLES);
  if (has?.has_compatibility !== true) return false;
  const phased = known.filter(({ phase }) => phase !== undefined);
  await on.query(DECLARE, [phased.map(nameOf), phased.map(({ compatibleSince }) => compatibleSince ?? null)]);
  return true;
}

/**
 * Whether this version can work with the schema although it does not know all of it.
 * @throws StartupError for a schema that is too new
 */
export function requireNotTooNew(
  { executed, compatibleSince, queueMigration }: SchemaState,
  known: readonly KnownMigration[],
): void {
  const names = new Set(known.map(nameOf));
  for (const name of executed) {
    if (names.has(name)) continue;
    const since = compatibleSince.get(name);
    if (since === null || (since !== undefined && names.has(since))) continue;
    throw new StartupError(
      `the database has the migration ${name} of a newer version of Stowage, with which this version cannot work; start the newer version`,
    );
  }
  requireQueueNotTooNew(queueMigration);
}

/** The migrations that have not run, oldest first. */
export function pendingMigrations(
  { executed }: Pick<SchemaState, 'executed'>,
  known: readonly KnownMigration[],
): KnownMigration[] {
  return known.filter((migration) => !executed.includes(nameOf(migration)));
}

/** @throws StartupError for a schema that is too old */
export function requireNotTooOld(state: SchemaState, known: readonly KnownMigration[]): void {
  const pending = pendingMigrations(state, known);
  const [first] = pending;
  if (first === undefined) {
    requireQueueNotTooOld(state.queueMigration);
    return;
  }
  const count = pending.length === 1 ? '1 migration' : `${String(pending.length)} migrations`;
  throw new StartupError(
    `the database lacks ${count} of this version of Stowage, from ${nameOf(first)} on; run "stowage migrate" first, or set MIGRATE_ON_START=true`,
  );
}

export function nameOf({ name }: KnownMigration): string {
  if (name === undefined) throw new Error('a migration has no name');
  return name;
}
