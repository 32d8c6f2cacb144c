import type { Telemetry } from '#telemetry';
import type { LoggerService } from '@nestjs/common';
import { describeError, StartupError } from '#platform';
import { Database } from './database.js';
import { messageOf } from './database-options.js';
import { errorCode } from './error-code.js';
import { ReplicationLag } from './replication-lag.js';

export interface ReplicaOptions {
  /** A postgresql:// URL. */
  url: string;
  /** Connections to the replica, two reserved ones among them. */
  poolMax: number;
  /** How old the data that is read may be. */
  lagMaxMs: number;
  logger: LoggerService;
  telemetry?: Telemetry | undefined;
  slowStatementMs?: number;
}

export interface ReplicaState {
  /** `current` while reads use the replica; `behind` while its data is too old; `unavailable` while it cannot be used at all. */
  status: 'current' | 'behind' | 'unavailable';
  /** The most milliseconds by which it is behind; null where that is not known. */
  lagMs: number | null;
  /** Why it is unavailable. */
  error: string | null;
}

/** The lag is known at least four times within its limit, and at least once a second. */
const CHECK_EVERY_MS_MAX = 1_000;
const CHECKS_IN_LIMIT = 4;
/** A replica that responds to no check within this time is not used until it does; its primary serves the reads. */
const CHECK_TIMEOUT_MS = 2_000;
const INSUFFICIENT_PRIVILEGE = '42501';

/** The cluster and the database in it: a physical copy has the same. */
const IDENTITY = `
  (SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())`;

const PRIMARY_POSITION = {
  text: `SELECT pg_current_wal_lsn() - '0/0' AS position`,
  query_timeout: CHECK_TIMEOUT_MS,
};

/** The server is not a standby of the primary: a setting is wrong, or it has been promoted. */
class NotAReplicaError extends Error {}

/**
 * A streaming replica. A check in the background measures every second how old its data may be; whether it is current is then a
 * comparison of numbers. When checks fail, the measured age grows with the time, so that a replica that nobody can check is not used.
 */
export class Replica {
  private readonly lag = new ReplicationLag();
  private readonly openedAtMs = performance.now();
  /** Null until the first successful connection. */
  private server: Database | null = null;
  private failure: Error | null = null;
  private logged: ReplicaState['status'] = 'behind';
  private checking: Promise<void> | null = null;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly primary: Database,
    private readonly options: ReplicaOptions,
    /** Null where the primary does not permit to read it. */
    private readonly identity: string | null,
  ) {}

  /**
   * A replica that cannot be reached is not an error: it is tried again with each check.
   * @throws StartupError when it can be reached and is not a standby of the primary
   */
  static async open(primary: Database, options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(primary, options, await identityOf(primary));
    await replica.check();
    if (replica.failure instanceof NotAReplicaError) {
      await replica.close();
      throw new StartupError(
        `the server of DATABASE_READ_URL ${replica.failure.message}; set it to a streaming replica of DATABASE_URL, or remove it`,
      );
    }
    const everyMs = Math.min(CHECK_EVERY_MS_MAX, options.lagMaxMs / CHECKS_IN_LIMIT);
    replica.timer = setInterval(() => {
      replica.checking ??= replica.check().finally(() => (replica.checking = null));
    }, everyMs).unref();
    return replica;
  }

  /** The connections to it while its data is new enough, else null. */
  get current(): Database | null {
    return this.state.status === 'current' ? this.server : null;
  }

  get state(): ReplicaState {
    const lagMs = this.lag.at(performance.now());
    const isBehind = lagMs > this.options.lagMaxMs;
    return {
      status: this.failure !== null ? 'unavailable' : isBehind ? 'behind' : 'current',
      lagMs: lagMs === Infinity ? null : Math.round(lagMs),
      error: this.failure && messageOf(this.failure),
    };
  }

  /** Closes the connections that are in use, whose statements then fail. */
  closeActiveConnections(): void {
    this.server?.closeActiveConnections();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.checking;
    await this.server?.close();
  }

  private async check(): Promise<void> {
    await this.addPrimaryPosition();
    try {
      this.lag.addReplica(await this.replayedPosition());
      this.failure = null;
    } catch (error) {
      this.failure = error as Error;
    }
    this.logChange();
  }

  /** While the primary does not respond, the age of the replica's data grows. */
  private async addPrimaryPosition(): Promise<void> {
    const atMs = performance.now();
    const rows = await this.primary.reserved.query<{ position: string }>(PRIMARY_POSITION).catch(() => []);
    for (const { position } of rows) this.lag.addPrimary(BigInt(position), atMs);
  }

  /** @throws NotAReplicaError */
  private async replayedPosition(): Promise<bigint> {
    this.server ??= await this.connect();
    const identity = this.identity === null ? 'NULL' : IDENTITY;
    const [row] = await this.server.reserved.query<{ is_standby: boolean; position: string | null; identity: string }>({
      text: `
        SELECT pg_is_in_recovery() AS is_standby, pg_last_wal_replay_lsn() - '0/0' AS position, ${identity} AS identity`,
      query_timeout: CHECK_TIMEOUT_MS,
    });
    if (row?.is_standby !== true) throw new NotAReplicaError('is not a standby');
    if (this.identity !== null && row.identity !== this.identity) {
      throw new NotAReplicaError('is a standby of another cluster, or its database is another one');
    }
    return BigInt(row.position ?? 0);
  }

  private async connect(): Promise<Database> {
    const { url, poolMax, logger, telemetry, slowStatementMs = 0 } = this.options;
    // A broken connection is not a warning: the primary serves the reads, and `logChange` reports a replica that is away.
    const debug = (message: unknown): void => {
      logger.debug?.(`read replica: ${String(message)}`);
    };
    try {
      return await Database.connect({
        at: url,
        poolMax,
        entities: [],
        migrations: [],
        logger: { log: debug, warn: debug, error: debug },
        stall: { checkEveryMs: CHECK_EVERY_MS_MAX, timeoutMs: CHECK_TIMEOUT_MS },
        connectTimeoutMs: CHECK_TIMEOUT_MS,
        ...(telemetry === undefined ? {} : { telemetry, slowStatementMs }),
      });
    } catch (error) {
      // The message of the StartupError is about the primary.
      throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
    }
  }

  private logChange(): void {
    const { status, error } = this.state;
    if (status === this.logged) return;
    const { logger, lagMaxMs } = this.options;
    // At the start it has to replay the migrations first.
    if (status === 'behind' && performance.now() - this.openedAtMs <= lagMaxMs) return;
    this.logged = status;
    if (status === 'current') {
      logger.log('exports, facets and aggregates are read from the replica');
      return;
    }
    const reason =
      status === 'behind' ? `is more than ${String(lagMaxMs)} ms behind` : `is unavailable: ${describeError(error)}`;
    logger.warn(`exports, facets and aggregates are read from the primary, because the replica ${reason}`);
  }
}

async function identityOf(primary: Database): Promise<string | null> {
  try {
    const [row] = await primary.reserved.query<{ identity: string }>(`SELECT ${IDENTITY} AS identity`);
    return row?.identity ?? null;
  } catch (error) {
    if (errorCode(error) === INSUFFICIENT_PRIVILEGE) return null;
    throw error;
  }
}
