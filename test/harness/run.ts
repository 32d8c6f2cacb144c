import type { PostgresAddress } from '#database';
import type { PROBLEMS } from '#http';

/** The facts that `test/global-setup.mjs` passes to the specs. */
export interface TestRun {
  /** The temporary PostgreSQL of the run, and the role of the product, which owns the databases and is no superuser. */
  postgres: PostgresAddress;
  /** Creates and drops the databases of the tests. */
  superuser: PostgresAddress;
  /** The database of the server that the HTTP specs share. */
  sharedDatabase: string;
  /** The URL to which `test/harness/servers.mjs` listens for commands. */
  control: string;
  /** The file that the servers log to. */
  log: string;
  /** The URL of the module that records the statements of a process. */
  recorder: string;
  /** The file of the keys and passwords that the run created, one on each line; none of them may be in the log. */
  secrets: string;
  /** An operator key that every server accepts. */
  operatorKey: string;
  /** The secret with which every server hashes keys. */
  keySecret: string;
  /** The data key of every server on the shared database. */
  dataKey: string;
  /** The product's table of problems. Importing it here would load the product into each spec. */
  problems: typeof PROBLEMS;
}

export const RUN = JSON.parse(process.env.STOWAGE_TEST_RUN ?? 'null') as TestRun;

/** Arguments of Node.js for a process of the product, whose statements are then checked at the end of the run. */
export const RECORDED = [`--import=${RUN.recorder}`];
