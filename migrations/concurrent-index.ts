import type { QueryRunner } from 'typeorm';

/** How long a migration waits for a lock of a table: everything that needs the table waits behind it. The migrator tries again. */
export const MIGRATION_LOCK_TIMEOUT = `SET lock_timeout = '2s'`;

interface ConcurrentIndex {
  name: string;
  /** The rest of CREATE INDEX, from ON. */
  on: string;
}

/**
 * Creates an index while others write to its table; for a migration with `transaction = false`. It can be repeated: an index that is
 * complete stays, and an invalid one, which an interrupted attempt leaves, is built again.
 */
export async function createIndexConcurrently(runner: QueryRunner, { name, on }: ConcurrentIndex): Promise<void> {
  const found = (await runner.query(
    `SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass('${name}')`,
  )) as {
    valid: boolean;
  }[];
  if (found[0]?.valid === true) return;
  // It waits for transactions that have begun before, and nobody waits for it.
  await runner.query(`SET lock_timeout = 0`);
  try {
    if (found.length > 0) await runner.query(`DROP INDEX CONCURRENTLY ${name}`);
    await runner.query(`CREATE INDEX CONCURRENTLY ${name} ${on}`);
  } finally {
    await runner.query(MIGRATION_LOCK_TIMEOUT);
  }
}
