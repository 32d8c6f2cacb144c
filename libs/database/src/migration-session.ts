import type { QueryRunner } from 'typeorm';
import type { Database } from './database.js';

/**
 * Turns off what the database may have for others, and ends transactions that wait or take long. `transaction_timeout` exists since
 * PostgreSQL 17.
 */
const noTimeouts = (isLocal: boolean): string => `
  SELECT set_config(name, '0', ${String(isLocal)}) FROM pg_settings
  WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`;

/** For a transaction that holds a lock while other connections work. */
export const TRANSACTION_WITHOUT_TIMEOUTS = noTimeouts(true);

/**
 * Runs work on a connection whose statements and transactions take as long as they take.
 * @param settings SET statements of the session
 */
export async function withMigrationSession(
  database: Database,
  settings: string,
  work: (runner: QueryRunner) => Promise<void>,
): Promise<void> {
  const runner = database.dataSource.createQueryRunner();
  try {
    await runner.query(`${settings}; SET statement_timeout = 0`);
    await runner.query(noTimeouts(false));
    await work(runner);
  } finally {
    // To those that the connection was opened with.
    await runner.query('RESET ALL').catch(() => undefined);
    await runner.release();
  }
}
