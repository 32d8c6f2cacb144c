import type { QueryRunner } from 'typeorm';
import type { Database } from './database.js';

/**
 * Runs work on a connection whose statements take as long as they take.
 * @param lockTimeout a statement that sets how long they wait for a lock
 */
export async function withMigrationSession(
  database: Database,
  lockTimeout: string,
  work: (runner: QueryRunner) => Promise<void>,
): Promise<void> {
  const runner = database.dataSource.createQueryRunner();
  try {
    await runner.query(`${lockTimeout}; SET statement_timeout = 0`);
    await work(runner);
  } finally {
    // To those that the connection was opened with.
    await runner.query('RESET lock_timeout; RESET statement_timeout').catch(() => undefined);
    await runner.release();
  }
}
