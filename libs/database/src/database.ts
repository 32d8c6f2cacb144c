import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Pool, PoolClient } from 'pg';
import { DataSource } from 'typeorm';
import {
  createReservedPool,
  createSingleClient,
  dataSourceOptions,
  messageOf,
  type DatabaseOptions,
} from './database-options.js';
import { closeSocket, type DatabasePool } from './database-pool.js';
import { tlsAdvice } from './database-url.js';
import { PreparedStatements } from './prepared-statements.js';
import type { Queryable, Statement } from './queryable.js';
import type { QueryScope } from './query-scope.js';
import { queryConfig, run } from './run-statement.js';
import { RunningStatement } from './running-statement.js';
import { SlowStatements } from './slow-statements.js';
import { openSnapshot, type Snapshot, type SnapshotOptions } from './snapshot.js';
import { DatabaseStalledError, STALL_OPTIONS, StallMonitor } from './stall-monitor.js';
import { isRetryable, recordConnectionError } from './sqlstates.js';
import { StatementObserver } from './statement-observer.js';
import { runTransaction, type Transaction } from './transaction.js';
import { StartupError } from '#platform';
import { Telemetry } from '#telemetry';

const POSTGRES_VERSION_MIN = 15;
const RETRIES = 3;
const RETRY_DELAY_MS = 50;

/** How many connections a pool has, and how much waits for one. */
interface PoolState {
  used: number;
  idle: number;
  max: number;
  waiting: number;
}

/**
 * A data source that only `Database.close` destroys. @nestjs/typeorm destroys the data sources registered with it when the
 * application shuts down; by then jobs may still run, and the installation has statements of its own to run.
 */
class OwnedDataSource extends DataSource {
  // eslint-disable-next-line @typescript-eslint/require-await -- the signature of DataSource
  override async destroy(): Promise<void> {
    return;
  }

  async destroyByOwner(): Promise<void> {
    await super.destroy();
  }
}

/** The pool of connections: SQL text runs by `query`, repositories of entities by `dataSource`. */
export class Database implements Queryable {
  /** Whether the tables of data are distributed over several machines, as `openInstallation` finds out; see docs/decisions/042. */
  isDistributed = false;
  private readonly active = new Set<PoolClient>();
  /** The connections of `aside`. */
  private readonly asides = new Set<Client>();
  private isClosed = false;
  private readonly prepared = new PreparedStatements();
  private readonly monitor: StallMonitor;
  private readonly observer: StatementObserver | null;

  private constructor(
    readonly dataSource: OwnedDataSource,
    private readonly pool: DatabasePool,
    private readonly reservedPool: Pool,
    { logger, stall = STALL_OPTIONS, telemetry = Telemetry.off(), slowStatementMs: slowMs = 0 }: DatabaseOptions,
  ) {
    const aside: Database['aside'] = (work) => this.aside(work);
    const { log, metrics } = telemetry;
    const slow = slowMs === 0 ? null : new SlowStatements({ slowMs, log, metrics, aside });
    this.observer = StatementObserver.of(telemetry, slow);
    this.monitor = new StallMonitor(
      {
        isInUse: () => this.active.size > 0,
        ping: () => reservedPool.query('SELECT 1'),
        closeConnections: () => {
          for (const client of this.active) closeSocket(client);
        },
        warn: (message) => {
          logger.warn(message);
        },
      },
      stall,
    );
    pool.rejectWhile(() => this.monitor.isStalled);
    for (const each of [pool, reservedPool]) {
      each.on('connect', handleErrors);
      each.on('acquire', (client) => {
        // TypeORM opened the first connection before this pool had our listener for 'connect'.
        handleErrors(client);
        this.active.add(client);
      });
      each.on('release', (_error, client) => this.active.delete(client));
      each.on('remove', (client) => this.active.delete(client));
    }
  }

  /** @throws StartupError when the server cannot be reached, rejects the connection, or is too old */
  static async connect(options: DatabaseOptions): Promise<Database> {
    const dataSource = new OwnedDataSource(dataSourceOptions(options));
    try {
      await dataSource.initialize();
    } catch (cause) {
      if (dataSource.isInitialized) await dataSource.destroyByOwner();
      throw new StartupError(`cannot use the database: ${messageOf(cause)}${tlsAdvice(cause)}`, { cause });
    }
    const pool = (dataSource.driver as unknown as { master: DatabasePool }).master;
    const reservedPool = createReservedPool(pool, options.logger);
    const database = new Database(dataSource, pool, reservedPool, options);
    const [row] = await database
      .query<{ version: number }>(`SELECT current_setting('server_version_num')::int / 10000 AS version`)
      .catch(async (cause: unknown) => {
        await database.close();
        throw new StartupError(`cannot use the database: ${messageOf(cause)}`, { cause });
      });
    if (row !== undefined && row.version >= POSTGRES_VERSION_MIN) return database;
    await database.close();
    throw new StartupError(
      `the database is PostgreSQL ${String(row?.version)}; Stowage needs ${String(POSTGRES_VERSION_MIN)} or newer`,
    );
  }

  /** The pool itself, for graphile-worker. */
  get connections(): Pool {
    return this.pool;
  }

  /** Returns a connection that belongs to no pool and is not open yet, for a session that lasts: LISTEN. */
  createClient(): Client {
    return createSingleClient(this.pool, 'listener');
  }

  /**
   * Runs short statements on a connection that belongs to no pool and is open only meanwhile, so that no request waits for it: to watch
   * the database. Its owner runs one at a time.
   */
  async aside<T>(work: (on: Queryable) => Promise<T>): Promise<T> {
    if (this.isClosed || this.monitor.isStalled) throw new DatabaseStalledError('the database does not respond');
    const client = createSingleClient(this.pool, 'observer');
    client.on('error', recordConnectionError);
    this.asides.add(client);
    try {
      await client.connect();
      return await work({ query: (statement, values = []) => run(client, statement, values) });
    } finally {
      this.asides.delete(client);
      await client.end().catch(() => undefined);
    }
  }

  /** The connections of each pool. */
  get poolStates(): Record<'shared' | 'reserved', PoolState> {
    return { shared: stateOf(this.pool), reserved: stateOf(this.reservedPool) };
  }

  query<Row extends object>(statement: Statement | string, values: readonly unknown[] = []): Promise<Row[]> {
    return run<Row>(this.pool, this.named(statement), values, this.observer);
  }

  /**
   * Runs statements on connections of their own, so that they work while requests hold every other connection. For look-ups of
   * a row or two that other work depends on: keys, health checks, leases.
   */
  readonly reserved: Queryable = {
    query: async (statement, values = []) => {
      if (this.monitor.isStalled) throw new DatabaseStalledError('the database does not respond');
      return run(this.reservedPool, statement, values, this.observer);
    },
  };

  /** Runs statements, each on its own, that `scope` can cancel. */
  within(scope: QueryScope): Queryable {
    return { query: (statement, values = []) => this.queryWithin(scope, statement, values) };
  }

  /** With a name where the statement is to be prepared. */
  private named(statement: Statement | string): Statement | string {
    if (typeof statement === 'string' || statement.preparedFor === undefined) return statement;
    const name = this.prepared.nameOf(statement.text, statement.preparedFor);
    return name === undefined ? statement : { ...statement, name };
  }

  /** With callbacks: the promises of the pool and of the connection cost a tenth of the time of a look-up by key. */
  private queryWithin<Row extends object>(
    scope: QueryScope,
    statement: Statement | string,
    values: readonly unknown[],
  ): Promise<Row[]> {
    const observed = this.observer?.begin(statement, values, scope.span);
    return new Promise((resolve, rejectWith) => {
      const reject = (error: Error): void => {
        observed?.end(error);
        rejectWith(error);
      };
      if (scope.failure !== undefined) {
        reject(scope.failure);
        return;
      }
      this.pool.connect((error, client, release) => {
        if (client === undefined) {
          reject(scope.failure ?? error ?? new Error('the pool gave no connection'));
          return;
        }
        // It may have been cancelled while this waited for a connection.
        if (scope.failure !== undefined) {
          release();
          reject(scope.failure);
          return;
        }
        const running = new RunningStatement(client, this.reservedPool);
        scope.begin(running);
        observed?.sent();
        client.query<Row>(queryConfig(this.named(statement), values), (cause: Error | null, result) => {
          running.end();
          scope.end(running);
          // A cancel that arrives late must not hit the next statement on this connection, so there is none.
          release(cause !== null || scope.failure !== undefined);
          if (cause === null) {
            observed?.end();
            resolve(result.rows);
          } else reject(scope.failure ?? cause);
        });
      });
    });
  }

  /**
   * Runs `work` in a transaction, and repeats it when the transaction lost a race or its connection: `work` must have the
   * same effect when it is repeated.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.retrying(() => this.transactionOnce(work));
  }

  /** The same without repetition, for work whose input can be read only once. */
  async transactionOnce<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return runTransaction(await this.pool.connect(), work, this.observer);
  }

  /**
   * Starts a read-only transaction that sees one state of the database until it is closed. Its owner must close it, and must not
   * keep it longer than it needs: it holds a connection, and VACUUM keeps every row that is visible to it.
   */
  openSnapshot({ statementTimeoutMs }: SnapshotOptions = {}): Promise<Snapshot> {
    return this.retrying(async () =>
      openSnapshot(await this.pool.connect(), this.reservedPool, this.observer, statementTimeoutMs),
    );
  }

  /** Repeats work that lost a race or its connection; it must have the same effect when it is repeated. */
  async retrying<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (attempt > RETRIES || !isRetryable(error)) throw error;
        await sleep(RETRY_DELAY_MS * 2 ** attempt * (0.5 + Math.random()));
      }
    }
  }

  /** Waits for running statements, then closes all connections. */
  async close(): Promise<void> {
    this.monitor.stop();
    this.isClosed = true;
    for (const client of this.asides) void client.end().catch(() => undefined);
    await Promise.all([this.dataSource.destroyByOwner(), this.reservedPool.end()]);
  }

  /** Closes the connections that are in use, whose statements then fail: for a stop that cannot wait. */
  closeActiveConnections(): void {
    for (const client of this.active) void client.end();
  }
}

/**
 * Listens for the errors of a connection: an error between two queries is reported by an event only, which ends the process
 * where it has no listener.
 */
function handleErrors(client: PoolClient): void {
  if (!client.listeners('error').includes(recordConnectionError)) client.on('error', recordConnectionError);
}

function stateOf({ totalCount, idleCount, waitingCount, options }: Pool): PoolState {
  return { used: totalCount - idleCount, idle: idleCount, max: options.max, waiting: waitingCount };
}
