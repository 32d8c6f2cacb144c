import type { SchemaMigration } from '#migrations';
import { StartupError } from '#platform';
import type { MigrationInterface } from 'typeorm';
import type { Queryable } from './queryable.js';
import { QUEUE_MIGRATION, readQueueMigration, requireQueueNotTooNew, requireQueueNotTooOld } from './queue-schema.js';

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
  const phased = known.filter(hasPhase);
  await on.query(DECLARE, [phased.map(nameOf), phased.map(({ compatibleSince }) => compatibleSince ?? null)]);
  return true;
}

function hasPhase({ phase }: KnownMigration): boolean {
  return phase !== undefined;
}

/** Whether there is nothing to migrate for this version, and no newer one has begun to remove what it uses. */
export function isUpToDate(state: SchemaState, known: readonly KnownMigration[]): boolean {
  return (
    pendingMigrations(state, known).length === 0 &&
    state.queueMigration === QUEUE_MIGRATION &&
    known.filter(hasPhase).every((migration) => state.compatibleSince.has(nameOf(migration))) &&
    worksAfterDeclared(state, known)
  );
}

/**
 * Whether this version works after all migrations that the database describes. A newer version describes them before it runs them.
 */
export function worksAfterDeclared(state: SchemaState, known: readonly KnownMigration[]): boolean {
  return [...state.compatibleSince.keys()].every((name) => worksAfter(name, state, known));
}

/**
 * Whether this version can work with the schema although it does not know all of it.
 * @throws StartupError for a schema that is too new
 */
export function requireNotTooNew(state: SchemaState, known: readonly KnownMigration[]): void {
  const newer = state.executed.find((name) => !worksAfter(name, state, known));
  if (newer !== undefined) {
    throw new StartupError(
      `the database has the migration ${newer} of a newer version of Stowage, with which this version cannot work; start the newer version`,
    );
  }
  requireQueueNotTooNew(state.queueMigration);
}

/** Whether a version that knows these migrations works after the one with this name. */
function worksAfter(name: string, { compatibleSince }: SchemaState, known: readonly KnownMigration[]): boolean {
  const since = compatibleSince.get(name);
  return since === null || known.some((migration) => [name, since].includes(nameOf(migration)));
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
