import type { LoggerService } from '@nestjs/common';
import pg, { Client, types, type ClientConfig, type CustomTypesConfig, type Pool, type PoolConfig } from 'pg';
import type { DataSourceOptions, EntitySchema, MigrationInterface } from 'typeorm';
import { DatabasePool } from './database-pool.js';
import { parseDatabaseUrl } from './database-url.js';
import type { PostgresAddress } from './open-server.js';
import { beginSession } from './running-statement.js';
import type { StallOptions } from './stall-monitor.js';
import type { Telemetry } from '#telemetry';
import { RESERVED_CONNECTIONS } from '#platform';

/** Type ids of PostgreSQL's catalog, which never change. */
const TIMESTAMPTZ = 1184;
const JSONB = 3802;

/** Of `application_name`, in bytes. */
const NAME_LENGTH_MAX = 63;
/** Of the time at the end of a migration's name, in milliseconds since 1970. */
const TIME_DIGITS = 13;

/** How long a statement waits for a lock: waiting writers must not hold all connections. */
const LOCK_TIMEOUT_MS = 10_000;
/** Longer than the largest batch takes to store. A statement that takes longer would hold a connection that others need. */
const STATEMENT_TIMEOUT_MS = 120_000;
/** After this time PostgreSQL itself ends a transaction without any statement: the process that began it hangs or has ended. */
const IDLE_TIMEOUT_MS = 15 * 60_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Reserved connections run short statements only, and wait neither long for a lock nor for a database that does not respond. */
const RESERVED_LOCK_TIMEOUT_MS = 1_000;
const RESERVED_QUERY_TIMEOUT_MS = 5_000;

export interface DatabaseOptions {
  /** A postgresql:// URL, or the socket of the embedded server. */
  at: string | PostgresAddress;
  /** Connections this process may hold, the reserved ones among them. */
  poolMax: number;
  entities: (new () => object)[] | EntitySchema[];
  migrations: (new () => MigrationInterface)[];
  logger: LoggerService;
  /** Traces statements and logs slow ones; default: none. */
  telemetry?: Telemetry;
  /** The time from which a statement is slow; default 0, none. */
  slowStatementMs?: number;
  /** How a database that does not respond is detected; default after 12 seconds. */
  stall?: StallOptions;
  /** How long a statement waits for a connection, also for a new one; default 10 seconds. */
  connectTimeoutMs?: number;
}

/**
 * Column values as responses need them: bigint and jsonb as text, with every digit, and times as RFC 3339 in UTC with
 * microseconds, which a JavaScript Date cannot hold.
 */
const TEXT_TYPES: CustomTypesConfig = {
  getTypeParser: ((type: TypeId, format?: 'text' | 'binary') => {
    const oid: number = type;
    if (oid === TIMESTAMPTZ) return (text: string) => text.replace(' ', 'T').replace(/\+00$/, 'Z');
    if (oid === JSONB) return (text: string) => text;
    return types.getTypeParser(type, format ?? 'text') as (text: string) => unknown;
  }) as CustomTypesConfig['getTypeParser'],
};

type TypeId = Parameters<typeof types.getTypeParser>[0];

/** Opens no connection before its first statement, and keeps it open: a key must not wait for one to be opened. */
export function createReservedPool({ options }: Pool, logger: LoggerService): Pool {
  const pool = new DatabasePool({
    ...(options as PoolConfig),
    // Not enumerable in the options of a pool.
    password: options.password,
    max: RESERVED_CONNECTIONS,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: RESERVED_QUERY_TIMEOUT_MS,
    query_timeout: RESERVED_QUERY_TIMEOUT_MS,
    options: sessionOptions(RESERVED_LOCK_TIMEOUT_MS, RESERVED_QUERY_TIMEOUT_MS),
  });
  pool.on('error', (error) => {
    logger.warn(`a reserved database connection broke: ${messageOf(error)}`);
  });
  return pool;
}

/** A connection to the database of this pool that belongs to no pool. @param purpose what `application_name` shows */
export function createSingleClient({ options }: Pool, purpose: string): Client {
  return new Client({
    ...(options as ClientConfig),
    // Not enumerable in the options of a pool.
    password: options.password,
    connectionTimeoutMillis: RESERVED_QUERY_TIMEOUT_MS,
    query_timeout: RESERVED_QUERY_TIMEOUT_MS,
    keepAlive: true,
    application_name: `stowage ${purpose}`,
    options: sessionOptions(RESERVED_LOCK_TIMEOUT_MS, RESERVED_QUERY_TIMEOUT_MS),
  });
}

function sessionOptions(lockTimeoutMs: number, statementTimeoutMs: number): string {
  return (
    '-c timezone=UTC -c datestyle=ISO -c client_encoding=UTF8 ' +
    `-c lock_timeout=${String(lockTimeoutMs)} -c statement_timeout=${String(statementTimeoutMs)} ` +
    `-c idle_in_transaction_session_timeout=${String(IDLE_TIMEOUT_MS)}`
  );
}

export function dataSourceOptions(options: DatabaseOptions): DataSourceOptions {
  const { at, poolMax, entities, migrations, logger, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  const where =
    typeof at === 'string'
      ? parseDatabaseUrl(at)
      : { host: at.host, port: at.port, username: at.user, password: at.password, database: at.database, ssl: false };
  return {
    type: 'postgres',
    driver: { ...pg, Pool: DatabasePool },
    ...where,
    entities,
    migrations,
    migrationsTableName: 'migrations',
    migrationsTransactionMode: 'each',
    installExtensions: false,
    applicationName: applicationNameOf(migrations),
    poolSize: poolMax - RESERVED_CONNECTIONS,
    connectTimeoutMS: connectTimeoutMs,
    poolErrorHandler: (error: unknown) => {
      logger.warn(`a database connection broke: ${messageOf(error)}`);
    },
    extra: {
      types: TEXT_TYPES,
      onConnect: beginSession,
      options: sessionOptions(LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS),
    },
  };
}

/**
 * Contains the newest migration that this version knows, for a migration that earlier versions cannot work after. Its time is at the end
 * of its name, and PostgreSQL cuts off what is longer than `NAME_LENGTH_MAX`.
 */
function applicationNameOf(migrations: DatabaseOptions['migrations']): string {
  const newest = migrations.at(-1);
  if (newest === undefined) return 'stowage';
  const { name } = newest;
  const time = name.slice(-TIME_DIGITS);
  return `stowage ${name.slice(0, -TIME_DIGITS)}`.slice(0, NAME_LENGTH_MAX - TIME_DIGITS) + time;
}

/** The first line of an error message of PostgreSQL or of the socket. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return messageOf(error.errors[0]);
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
