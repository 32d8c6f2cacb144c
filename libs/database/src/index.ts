/**
 * database: the embedded PostgreSQL, the connection pool, transactions, migrations, COPY, SQLSTATEs, sequence numbers.
 * Imports platform and the migrations.
 */
export { CopyIn } from './copy-in.js';
export {
  Database,
  OutcomeUnknownError,
  type Queryable,
  type Snapshot,
  type Statement,
  type Transaction,
} from './database.js';
export { startEmbeddedPostgres, type PostgresAddress } from './embedded-postgres.js';
export { type Installation, openInstallation } from './installation.js';
export { LaneLease } from './lane-lease.js';
export { SEQ_STEP, Sequence, SequenceUnavailableError, timeOfSeq, timeOfSeqSql } from './sequence.js';
export {
  isConnectionLoss,
  isDataError,
  isPoolExhausted,
  isRetryable,
  isUniqueViolation,
  sqlStateOf,
} from './sqlstates.js';
