/**
 * database: the embedded PostgreSQL, the connection pool, a read replica, transactions, migrations and their plan, COPY, pages in
 * SQL, SQLSTATEs, sequence numbers.
 * Imports platform, telemetry and the migrations.
 */
export { ChangeNotifier } from './change-notifier.js';
export { CopyIn } from './copy-in.js';
export { type CopyOut } from './copy-out.js';
export { Database } from './database.js';
export { lockUse, requireUnused } from './database-use.js';
export type { Queryable, Statement } from './queryable.js';
export { distributionStatements, listDataTables, LOCAL_TABLES, readDistributionState } from './distribution.js';
export { DiskReserve } from './disk-reserve.js';
export { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
export { errorCode } from './error-code.js';
export { type Installation, type InstallationOptions, openEmbedded, openInstallation } from './installation.js';
export { LaneLease } from './lane-lease.js';
export { type MigrationPlan, type PlannedMigration, planMigrations } from './migration-plan.js';
export { distribute, migrate } from './migrate.js';
export { holdMigrationLock, lockMigrations } from './migration-lock.js';
export { readQueueMigration } from './queue-schema.js';
export { NotificationListener, type NotificationTimes } from './notification-listener.js';
export {
  cappedCount,
  type Count,
  type CountedRange,
  type CountMode,
  countOrMinimum,
  countRows,
  countShownBy,
  type CursorPosition,
  isAscending,
  isLastPage,
  keysetConditionSql,
  LAST_PAGE_SEQ,
  type ListSql,
  type PagePosition,
  type PageRange,
  pageSql,
  readPage,
  readSlice,
  type Slice,
  toSlice,
  type SortColumn,
} from './page-sql.js';
export { PageTrace, type PageStep, type TracedStatement } from './page-trace.js';
export type { PostgresAddress } from './open-server.js';
export { ReadDatabase } from './read-database.js';
export {
  firstSeqAt,
  firstSeqAtSql,
  isSeq,
  SEQ_STEP,
  Sequence,
  SequenceUnavailableError,
  timeOfSeq,
  timeOfSeqSql,
} from './sequence.js';
export type { Snapshot } from './snapshot.js';
export type { StatementEffect } from './statement-effect.js';
export { DISABLE_STATEMENT_TIMEOUT, LIMIT_STATEMENTS } from './statement-timeout.js';
export {
  isConnectionLoss,
  isDataError,
  isMissingProject,
  isPoolExhausted,
  isRetryable,
  isServerFailure,
  isDeadlock,
  isUniqueViolation,
  isUnresponsive,
  mayBeUniqueViolation,
} from './sqlstates.js';
export { OutcomeUnknownError, type Transaction } from './transaction.js';
export { ClientGoneError, QueryScope, QueryTimeoutError } from './query-scope.js';
