import type { QueryRunner } from 'typeorm';
import type { Database } from './database.js';
import { migrationsOf } from './migrate.js';
import { QUEUE_MIGRATION } from './queue-schema.js';
import { nameOf, pendingMigrations, readSchemaState, requireNotTooNew, type KnownMigration } from './schema-state.js';
import { effectsOf, type StatementEffect } from './statement-effect.js';

/** A migration that has not run. */
export interface PlannedMigration {
  name: string;
  phase: 'expand' | 'contract';
  effects: StatementEffect[];
}

/** What `migrate` would do. */
export interface MigrationPlan {
  migrations: PlannedMigration[];
  /** The newest migration of the job queue before and after; null where none of its migrations would run. */
  queue: { from: number; to: number } | null;
}

/**
 * The migrations that would run, with what they would do. It changes nothing.
 * @throws StartupError for a schema that is too new
 */
export async function planMigrations(database: Database): Promise<MigrationPlan> {
  const known = migrationsOf(database);
  const state = await readSchemaState(database);
  requireNotTooNew(state, known);
  const migrations: PlannedMigration[] = [];
  for (const migration of pendingMigrations(state, known)) {
    const { phase = 'contract' } = migration;
    migrations.push({ name: nameOf(migration), phase, effects: await migrationEffects(migration) });
  }
  const { queueMigration: from } = state;
  return { migrations, queue: from < QUEUE_MIGRATION ? { from, to: QUEUE_MIGRATION } : null };
}

/** What a migration does on a database where it has not begun. */
export async function migrationEffects(migration: KnownMigration): Promise<StatementEffect[]> {
  const statements: string[] = [];
  const recorder = {
    query: (text: string) => {
      statements.push(text);
      return Promise.resolve([]);
    },
  };
  await migration.up(recorder as unknown as QueryRunner);
  return (await Promise.all(statements.map(effectsOf))).flat();
}
