import type { PostgresAddress } from '#database';
import type { PROBLEMS } from '#http';

/** What `test/global-setup.mjs` has started and found out, for the specs. */
export interface TestRun {
  /** The throw-away PostgreSQL of the run. */
  postgres: PostgresAddress;
  /** The database of the server that the HTTP specs share. */
  sharedDatabase: string;
  /** Where `test/harness/servers.mjs` takes its orders. */
  control: string;
  /** The file that the servers log to. */
  log: string;
  /** An operator's key of every server. */
  operatorKey: string;
  /** The secret that every server's keys are hashed with. */
  keySecret: string;
  /** The product's table of problems; importing it here would load the product into each spec. */
  problems: typeof PROBLEMS;
}

export const RUN = JSON.parse(process.env.STOWAGE_TEST_RUN ?? 'null') as TestRun;
