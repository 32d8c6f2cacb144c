import { Logger, runMigrations } from 'graphile-worker';
import type { Pool } from 'pg';
import { StartupError } from '#platform';
import type { Queryable } from './queryable.js';

/** The newest migration of the installed graphile-worker, which has a schema and migrations of its own. */
export const QUEUE_MIGRATION = 19;

const HAS_QUEUE = `SELECT to_regclass('graphile_worker.migrations') IS NOT NULL AS has_queue`;
const NEWEST = 'SELECT max(id) AS id FROM graphile_worker.migrations';

/** The newest migration of the job queue that has run; 0 where none has. */
export async function readQueueMigration(on: Queryable): Promise<number> {
  const [has] = await on.query<{ has_queue: boolean }>(HAS_QUEUE);
  if (has?.has_queue !== true) return 0;
  const [row] = await on.query<{ id: number | null }>(NEWEST);
  return row?.id ?? 0;
}

/** Jobs are stored in tables that graphile-worker calls private, so an unknown form of them may be any. @throws StartupError */
export function requireQueueNotTooNew(queueMigration: number): void {
  if (queueMigration <= QUEUE_MIGRATION) return;
  throw new StartupError(
    `the job queue in the database has the migration ${String(queueMigration)} of a newer version of Stowage, with which this version cannot work; start the newer version`,
  );
}

/** @throws StartupError */
export function requireQueueNotTooOld(queueMigration: number): void {
  if (queueMigration >= QUEUE_MIGRATION) return;
  throw new StartupError(
    `the job queue in the database lacks migrations of this version of Stowage; run "stowage migrate" first, or set MIGRATE_ON_START=true`,
  );
}

export async function migrateQueue(pgPool: Pool): Promise<void> {
  await runMigrations({ pgPool, logger: new Logger(() => () => undefined) });
}
