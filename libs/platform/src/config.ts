import { dataKey } from './data-key-setting.js';
import {
  apiKey,
  choice,
  Environment,
  flag,
  integer,
  isTracingOn,
  parsed,
  postgresUrl,
  redisUrl,
  secret,
  sentryDsn,
  share,
  tlsPaths,
  type Variables,
  alertWebhook,
} from './environment.js';
import { parseAddressRanges, parseOrigin, parseOrigins } from './network-settings.js';
import { StartupError } from './startup-error.js';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The largest limit of items per minute. */
const RATE_ITEMS_MAX = 1_000_000_000;

/** Connections of DATABASE_POOL_MAX that run only the look-ups of keys, health checks and leases: no request can take them. */
export const RESERVED_CONNECTIONS = 2;

/** Each process of a server is one more user of the embedded database, which has 100 connections, also for other commands. */
const EMBEDDED_PROCESSES_MAX = 8;
const EMBEDDED_POOLS_MAX = 72;

/** The largest limit of objects or bytes: JavaScript holds every digit of it, and so does a setting. */
export const QUOTA_MAX = 999_999_999_999_999;

/**
 * All settings, read once from the environment and frozen.
 * `.env.example` lists the same names with the same defaults; a test compares the two.
 *
 * A server can consist of several processes. MAX_CONNECTIONS, DATABASE_POOL_MAX, MEMORY_BUDGET_BYTES and JOB_CONCURRENCY are limits of the
 * whole server; here they are the equal share of each process.
 */
export class Config {
  readonly http: Readonly<{
    /** HOST: the address to listen on; default 127.0.0.1. */
    host: string;
    /** PORT: the TCP port to listen on, 0 for any free one; default 8000. */
    port: number;
    /** TLS_CERT_FILE and TLS_KEY_FILE: a certificate and its key in PEM, with which the server speaks HTTPS; default none: HTTP. */
    tls: Readonly<{ certFile: string; keyFile: string }> | null;
    /** PUBLIC_URL: the scheme, host and port of the URLs in responses; default none: those of the request. */
    publicUrl: string | null;
    /**
     * TRUSTED_PROXIES: addresses and CIDR ranges of the proxies whose X-Forwarded-Proto, -Host and -For are believed; default
     * none.
     */
    trustedProxies: readonly string[];
    /** WEB_CONCURRENCY: processes of the server, 1 to 32, with the embedded database 8; default 1. Other commands have one process. */
    processes: number;
    /** MAX_CONNECTIONS: connections that clients may hold to a server, 10 for each process to 100,000; default 2000. */
    maxConnections: number;
    /** CORS_ORIGINS: origins whose scripts may use the API in a browser, or `*` for all; default none. */
    corsOrigins: readonly string[];
  }>;
  readonly log: Readonly<{
    /** LOG_LEVEL: fatal, error, warn, info, debug or silent; default info. */
    level: LogLevel;
  }>;
  readonly metrics: Readonly<{
    /** METRICS: whether the process measures itself, and serves `/metrics`; default true. */
    isOn: boolean;
    /** METRICS_PORT: a further TCP port, 0 for any free one, on which `/metrics` needs no key; default none. */
    port: number | null;
    /** METRICS_HOST: the address of that port; default 127.0.0.1. */
    host: string;
    /**
     * METRICS_TOKEN: a bearer token, at least 32 characters, with which `/metrics` can be read besides the operator's keys, and
     * which METRICS_PORT then requires; default none.
     */
    token: string | null;
  }>;
  readonly tracing: Readonly<{
    /** OTEL_EXPORTER_OTLP_ENDPOINT: the URL of an OTLP/HTTP collector, which gets traces; default none: no traces. */
    isOn: boolean;
  }>;
  readonly errors: Readonly<{
    /** SENTRY_DSN: where errors of the server are sent by Sentry's protocol; default none. */
    dsn: string | null;
  }>;
  readonly database: Readonly<{
    /** DATABASE_URL: PostgreSQL 15 or newer; default none, which starts the embedded one. */
    url: string | null;
    /**
     * DATABASE_POOL_MAX: connections that a server or worker may hold, 6 for each process to 1,000, with the embedded database 72;
     * default 20 for each process, and no more than this maximum. Two of each process are reserved. Each process of a server opens
     * one more, on which it is notified of changes of keys.
     */
    poolMax: number;
    /** The connections among them that requests and jobs share: all but the two reserved ones. */
    sharedMax: number;
    /**
     * DATABASE_READ_URL: a streaming replica of DATABASE_URL, from which a server reads exports, facets, keys in use and
     * aggregates, over as many connections again; default none.
     */
    readUrl: string | null;
    /** DATABASE_READ_LAG_MAX_MS: how old its data may be, 1,000 to 600,000; default 5000. */
    readLagMaxMs: number;
    /** QUERY_TIMEOUT_MS: the time that the queries of a GET request, or a statement of DELETE /objects, may take, 100 to 120,000; default 10000. */
    queryTimeoutMs: number;
    /** SLOW_STATEMENT_MS: statements that take longer are logged with their plan, 0 (none) to 3,600,000; default 1000. */
    slowStatementMs: number;
    /**
     * MIGRATE_ON_START: whether a process that finds pending migrations runs them, or else ends; default true. `stowage migrate` always
     * runs them.
     */
    migrateOnStart: boolean;
    /**
     * DISK_RESERVE_BYTES: below this much free space on the disk of the embedded database writes are rejected and no jobs are
     * started, 0 (no check) to 1 TiB; default 256 MiB.
     */
    diskReserveBytes: number;
    /** STOWAGE_DATA_DIR: the embedded database's files and the kept key secret; default .stowage. */
    dataDir: string;
  }>;
  readonly access: Readonly<{
    /**
     * STOWAGE_ADMIN_KEY: an admin key of the project `default`, 32 to 1,024 visible ASCII characters; default none: created on
     * first start.
     */
    adminKey: string | null;
    /** STOWAGE_OPERATOR_KEY: the operator's key, 32 to 1,024 visible ASCII characters; default none: created on first start. */
    operatorKey: string | null;
    /**
     * STOWAGE_KEY_SECRET: the secret of the keyed hash, at least 32 characters; default kept in the data dir, required with
     * DATABASE_URL.
     */
    keySecret: string | null;
    /**
     * STOWAGE_KEY_SECRET_PREVIOUS: another key secret that is accepted while STOWAGE_KEY_SECRET is changed, at least 32
     * characters; default none.
     */
    previousKeySecret: string | null;
  }>;
  readonly encryption: Readonly<{
    /**
     * STOWAGE_DATA_KEY: 32 random bytes in base64 or hexadecimal, with which the values of the `encrypted_keys` of projects are
     * encrypted; default none: projects cannot have encrypted keys.
     */
    dataKey: Buffer | null;
    /** STOWAGE_DATA_KEY_PREVIOUS: another data key whose values are read while STOWAGE_DATA_KEY is changed; default none. */
    previousDataKey: Buffer | null;
  }>;
  readonly limits: Readonly<{
    /** PAGE_SIZE: results on a page without `page_size`, 1 to PAGE_SIZE_MAX; default 10. */
    pageSize: number;
    /** PAGE_SIZE_MAX: the largest `page_size`, 1 to 10,000; default 1000. */
    pageSizeMax: number;
    /** PAGE_BYTES_MAX: the approximate size of all objects of a page, 1 KiB to 256 MiB; default 64 MiB. */
    pageBytesMax: number;
    /** COUNT_CAP: the limit up to which counts are exact without count=exact, 1 to 1,000,000; default 1000. */
    countCap: number;
    /** BODY_LIMIT_BYTES: the largest JSON body, 1 KiB to 128 MiB (PostgreSQL's jsonb ends at 256 MB); default 64 MiB. */
    bodyLimitBytes: number;
    /** BATCH_OBJECTS_MAX: the most objects in one JSON batch, 1 to 1,000,000; default 100000. */
    batchObjectsMax: number;
    /** PROJECT_OBJECTS_MAX: the largest number of objects of a project without its own limit, 0 (none) to 10^15 - 1; default 0. */
    projectObjectsMax: number;
    /** PROJECT_BYTES_MAX: the largest size of the data of such a project in bytes, 0 (none) to 10^15 - 1; default 0. */
    projectBytesMax: number;
    /** INFLATED_LIMIT_BYTES: the largest compressed NDJSON or CSV stream after decompression, 1 MiB to 1 TiB; default 16 GiB. */
    inflatedLimitBytes: number;
    /** UNDELETE_HOURS: how long deleted batches and objects can be restored, 0 (not at all) to 8,760; default 24. */
    undeleteHours: number;
    /**
     * UNDELETE_BYTES_MAX: the space of one project's deleted objects in bytes, beyond which deletes cannot be restored, 1 to 10^15 - 1;
     * default 10 GiB.
     */
    undeleteBytesMax: number;
    /**
     * JOB_BODIES_BYTES_MAX: the bytes of the stored bodies of one project's jobs, beyond which those of failed jobs are deleted and no jobs
     * are accepted, 1 MiB to 10^15 - 1; default 10 GiB.
     */
    jobBodiesBytesMax: number;
    /**
     * MEMORY_BUDGET_BYTES: the bytes of bodies and responses that a server or worker holds at a time, half of them for one project;
     * for each process twice the larger of BODY_LIMIT_BYTES and PAGE_BYTES_MAX, to 64 GiB; default 192 MiB for each process, or
     * more where the minimum is more.
     */
    memoryBudgetBytes: number;
  }>;
  readonly rateLimits: Readonly<{
    /**
     * RATE_LIMIT_ITEMS_PER_MINUTE: items that a key may use per minute, 0 (no limit) to 1,000,000,000; default 0 when embedded,
     * else 600000.
     */
    keyItems: number;
    /**
     * RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: items that all keys of a project may use per minute, 0 (no limit) to 1,000,000,000;
     * default five times RATE_LIMIT_ITEMS_PER_MINUTE.
     */
    projectItems: number;
    /**
     * RATE_LIMIT_FAILURES_PER_MINUTE: failed authentications of an address per minute, 0 (no limit) to 1,000,000; default 60.
     * No limit while RATE_LIMIT_ITEMS_PER_MINUTE is 0.
     */
    failures: number;
    /** REDIS_URL: a redis:// or rediss:// address, where the processes combine their counts; default none: the database. */
    redisUrl: string | null;
  }>;
  readonly jobs: Readonly<{
    /** WORKER: which process runs jobs, the server itself (inline) or `stowage worker` (separate); default inline when embedded. */
    worker: 'inline' | 'separate';
    /**
     * JOB_CONCURRENCY: jobs that a server or worker runs at a time, 1 to 100, where several processes run jobs two for each of them to
     * 100; each takes a connection; default 6, or two for each process where that is more. One project has at most half.
     */
    concurrency: number;
  }>;
  readonly changes: Readonly<{
    /** CHANGES_HOURS: how long changes are kept for GET /objects/changes, 1 to 8,760; default 168. */
    keptHours: number;
  }>;
  readonly webhooks: Readonly<{
    /**
     * WEBHOOK_ALLOWED_NETWORKS: addresses and CIDR ranges inside the network that webhooks may be sent to; default none: only public
     * addresses.
     */
    allowedNetworks: readonly string[];
  }>;
  readonly rules: Readonly<{
    /** REQUIRE_IF_MATCH: reject (428) changes of existing objects, batches and sprockets without If-Match; default false. */
    requireIfMatch: boolean;
    /** STOWAGE_SEED: load fixtures/ on first start; default true when embedded, else false. */
    seed: boolean;
  }>;
  readonly alerts: Readonly<{
    /**
     * ALERT_WEBHOOK_URL: an http:// or https:// URL that alerts are sent to, and ALERT_WEBHOOK_SECRET, `whsec_` and 24 to 64 bytes in
     * base64, with which they are signed; default none: alerts are only logged and recorded.
     */
    webhook: Readonly<{ url: string; secret: string }> | null;
  }>;
  readonly client: Readonly<{
    /** STOWAGE_URL: the server that client commands such as `load` send requests to; default none: http://HOST:PORT. */
    url: string | null;
    /** STOWAGE_API_KEY: the key that client commands send; default none: STOWAGE_ADMIN_KEY. */
    apiKey: string | null;
  }>;

  /**
   * @param isServer whether the command can have several processes
   * @throws StartupError naming the first invalid setting and its valid values, or a variable that only looks like a setting
   */
  constructor(variables: Variables, isServer = false) {
    const env = new Environment(variables);
    const url = postgresUrl(env, 'DATABASE_URL');
    // Hosts set it for all commands, most of which have one process.
    const processesMax = url === null && isServer ? EMBEDDED_PROCESSES_MAX : 32;
    const webConcurrency = integer(env, 'WEB_CONCURRENCY', 1, 1, processesMax, ' (--processes sets it, too)');
    const processes = isServer ? webConcurrency : 1;
    const readUrl = postgresUrl(env, 'DATABASE_READ_URL');
    if (url === null && readUrl !== null) {
      throw new StartupError('DATABASE_READ_URL is the address of a replica of DATABASE_URL, which must be set too');
    }
    this.http = {
      host: env.get('HOST') ?? '127.0.0.1',
      port: integer(env, 'PORT', 8000, 0, 65_535),
      tls: tlsPaths(env),
      publicUrl: parsed(env, 'PUBLIC_URL', parseOrigin, null),
      trustedProxies: parsed(env, 'TRUSTED_PROXIES', parseAddressRanges, []),
      processes,
      maxConnections: share(env, 'MAX_CONNECTIONS', processes, { fallback: 2000, minOfEach: 10, max: 100_000 }),
      corsOrigins: parsed(env, 'CORS_ORIGINS', parseOrigins, []),
    };
    this.log = { level: choice(env, 'LOG_LEVEL', LOG_LEVELS, 'info') };
    this.metrics = {
      isOn: flag(env, 'METRICS', true),
      port: env.get('METRICS_PORT') === null ? null : integer(env, 'METRICS_PORT', 0, 0, 65_535),
      host: env.get('METRICS_HOST') ?? '127.0.0.1',
      token: secret(env, 'METRICS_TOKEN'),
    };
    // A worker has no PORT.
    if (isServer && this.metrics.isOn) rejectSharedPort(this.http, this.metrics);
    this.tracing = { isOn: isTracingOn(env) };
    this.errors = { dsn: sentryDsn(env) };
    const poolsMax = url === null ? EMBEDDED_POOLS_MAX : 1000;
    const pools = { fallback: Math.min(20 * processes, poolsMax), minOfEach: 6, max: poolsMax };
    const poolMax = share(env, 'DATABASE_POOL_MAX', processes, pools);
    this.database = {
      url,
      poolMax,
      sharedMax: poolMax - RESERVED_CONNECTIONS,
      readUrl,
      readLagMaxMs: integer(env, 'DATABASE_READ_LAG_MAX_MS', 5_000, 1_000, 600_000),
      queryTimeoutMs: integer(env, 'QUERY_TIMEOUT_MS', 10_000, 100, 120_000),
      migrateOnStart: flag(env, 'MIGRATE_ON_START', true),
      slowStatementMs: integer(env, 'SLOW_STATEMENT_MS', 1_000, 0, 3_600_000),
      diskReserveBytes: integer(env, 'DISK_RESERVE_BYTES', 256 * 1024 ** 2, 0, 1024 ** 4),
      dataDir: env.get('STOWAGE_DATA_DIR') ?? '.stowage',
    };
    this.access = {
      adminKey: apiKey(env, 'STOWAGE_ADMIN_KEY'),
      operatorKey: apiKey(env, 'STOWAGE_OPERATOR_KEY'),
      keySecret: secret(env, 'STOWAGE_KEY_SECRET'),
      previousKeySecret: secret(env, 'STOWAGE_KEY_SECRET_PREVIOUS'),
    };
    if (url !== null && this.access.keySecret === null) {
      throw new StartupError(
        'STOWAGE_KEY_SECRET is required with DATABASE_URL: at least 32 characters, the same on every server',
      );
    }
    if (this.access.adminKey !== null && this.access.adminKey === this.access.operatorKey) {
      throw new StartupError('STOWAGE_ADMIN_KEY and STOWAGE_OPERATOR_KEY must differ: a key has one role');
    }
    this.encryption = {
      dataKey: parsed(env, 'STOWAGE_DATA_KEY', dataKey, null),
      previousDataKey: parsed(env, 'STOWAGE_DATA_KEY_PREVIOUS', dataKey, null),
    };
    if (this.encryption.dataKey === null && this.encryption.previousDataKey !== null)
      throw new StartupError('STOWAGE_DATA_KEY_PREVIOUS needs STOWAGE_DATA_KEY');
    if (this.encryption.dataKey !== null && this.encryption.previousDataKey?.equals(this.encryption.dataKey) === true)
      throw new StartupError('STOWAGE_DATA_KEY_PREVIOUS must not be the same key as STOWAGE_DATA_KEY');
    const pageSizeMax = integer(env, 'PAGE_SIZE_MAX', 1000, 1, 10_000);
    const pageBytesMax = integer(env, 'PAGE_BYTES_MAX', 64 * 1024 ** 2, 1024, 256 * 1024 ** 2);
    const bodyLimitBytes = integer(env, 'BODY_LIMIT_BYTES', 64 * 1024 ** 2, 1024, 128 * 1024 ** 2);
    // Half of it, the share of a project, has room for the largest body and the largest page.
    const budgetMin = 2 * Math.max(pageBytesMax, bodyLimitBytes);
    const budget = Math.max(192 * 1024 ** 2, budgetMin);
    this.limits = {
      pageSizeMax,
      pageSize: integer(env, 'PAGE_SIZE', Math.min(10, pageSizeMax), 1, pageSizeMax),
      pageBytesMax,
      countCap: integer(env, 'COUNT_CAP', 1000, 1, 1_000_000),
      bodyLimitBytes,
      batchObjectsMax: integer(env, 'BATCH_OBJECTS_MAX', 100_000, 1, 1_000_000),
      projectObjectsMax: integer(env, 'PROJECT_OBJECTS_MAX', 0, 0, QUOTA_MAX),
      projectBytesMax: integer(env, 'PROJECT_BYTES_MAX', 0, 0, QUOTA_MAX),
      inflatedLimitBytes: integer(env, 'INFLATED_LIMIT_BYTES', 16 * 1024 ** 3, 1024 ** 2, 1024 ** 4),
      undeleteHours: integer(env, 'UNDELETE_HOURS', 24, 0, 8_760),
      undeleteBytesMax: integer(env, 'UNDELETE_BYTES_MAX', 10 * 1024 ** 3, 1, QUOTA_MAX),
      jobBodiesBytesMax: integer(env, 'JOB_BODIES_BYTES_MAX', 10 * 1024 ** 3, 1024 ** 2, QUOTA_MAX),
      memoryBudgetBytes: share(env, 'MEMORY_BUDGET_BYTES', processes, {
        fallback: budget * processes,
        minOfEach: budgetMin,
        max: 64 * 1024 ** 3,
      }),
    };
    const keyItems = integer(env, 'RATE_LIMIT_ITEMS_PER_MINUTE', url === null ? 0 : 600_000, 0, RATE_ITEMS_MAX);
    const projectItems = Math.min(5 * keyItems, RATE_ITEMS_MAX);
    const failures = integer(env, 'RATE_LIMIT_FAILURES_PER_MINUTE', 60, 0, 1_000_000);
    this.rateLimits = {
      keyItems,
      projectItems: integer(env, 'RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE', projectItems, 0, RATE_ITEMS_MAX),
      failures: keyItems === 0 ? 0 : failures,
      redisUrl: redisUrl(env, 'REDIS_URL'),
    };
    const worker = choice(env, 'WORKER', ['inline', 'separate'] as const, url === null ? 'inline' : 'separate');
    const runners = worker === 'inline' ? processes : 1;
    // With one job, a process would have no room for those of another project.
    const minOfEach = runners > 1 ? 2 : 1;
    this.jobs = {
      worker,
      concurrency: share(env, 'JOB_CONCURRENCY', runners, { fallback: Math.max(6, 2 * runners), minOfEach, max: 100 }),
    };
    this.changes = { keptHours: integer(env, 'CHANGES_HOURS', 168, 1, 8760) };
    this.webhooks = { allowedNetworks: parsed(env, 'WEBHOOK_ALLOWED_NETWORKS', parseAddressRanges, []) };
    this.rules = {
      requireIfMatch: flag(env, 'REQUIRE_IF_MATCH', false),
      seed: flag(env, 'STOWAGE_SEED', url === null),
    };
    this.alerts = { webhook: alertWebhook(env) };
    this.client = { url: env.get('STOWAGE_URL'), apiKey: env.get('STOWAGE_API_KEY') };
    env.rejectUnread();
    for (const group of Object.values(this)) Object.freeze(group);
    Object.freeze(this);
  }
}

/** Each process of a server takes one of as many ports, from METRICS_PORT on. */
function rejectSharedPort({ port, processes }: Config['http'], metrics: Config['metrics']): void {
  const first = metrics.port ?? 0;
  if (port === 0 || first === 0 || port < first || port >= first + processes) return;
  const last = processes === 1 ? '' : ` to ${String(first + processes - 1)}, one for each process`;
  throw new StartupError(`METRICS_PORT (${String(first)}${last}) must not be PORT (${String(port)})`);
}
