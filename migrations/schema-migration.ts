import type { MigrationInterface } from 'typeorm';

/** TypeORM keeps the names of the migrations that have run. */
export interface NamedMigration extends MigrationInterface {
  name: string;
}

/** Only adds: servers that do not know it go on working, so that they run beside those that need it. */
interface Expansion extends NamedMigration {
  readonly phase: 'expand';
}

/** Removes or restricts what earlier versions use. */
interface Contraction extends NamedMigration {
  readonly phase: 'contract';
  /** The migration of the version that uses it no more: servers that do not know this one cannot work after the contraction. */
  readonly compatibleSince: string;
}

/** A migration that states what it means for servers of earlier versions; see docs/decisions/041. */
export type SchemaMigration = Expansion | Contraction;
