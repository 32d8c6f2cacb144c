import { describe, expect, it } from '@jest/globals';
import { namesRead, rejectionOf, WITH_URL } from '../../../test/harness/config.js';
import { Config } from './config.js';

describe('Config', () => {
  it('has the documented defaults', () => {
    expect(new Config({})).toEqual({
      http: {
        host: '127.0.0.1',
        port: 8000,
        tls: null,
        publicUrl: null,
        trustedProxies: [],
        processes: 1,
        maxConnections: 2000,
        corsOrigins: [],
      },
      log: { level: 'info' },
      metrics: { isOn: true, port: null, host: '127.0.0.1', token: null },
      tracing: { isOn: false },
      encryption: { dataKey: null, previousDataKey: null },
      errors: { dsn: null },
      database: {
        url: null,
        poolMax: 20,
        sharedMax: 18,
        readUrl: null,
        readLagMaxMs: 5_000,
        queryTimeoutMs: 10_000,
        migrateOnStart: true,
        slowStatementMs: 1_000,
        diskReserveBytes: 268_435_456,
        dataDir: '.stowage',
      },
      access: { adminKey: null, operatorKey: null, keySecret: null, previousKeySecret: null },
      limits: {
        pageSize: 10,
        pageSizeMax: 1000,
        pageBytesMax: 67_108_864,
        countCap: 1000,
        bodyLimitBytes: 64 * 1024 * 1024,
        batchObjectsMax: 100_000,
        projectObjectsMax: 0,
        projectBytesMax: 0,
        inflatedLimitBytes: 16 * 1024 ** 3,
        undeleteHours: 24,
        undeleteBytesMax: 10 * 1024 ** 3,
        jobBodiesBytesMax: 10 * 1024 ** 3,
        memoryBudgetBytes: 192 * 1024 ** 2,
      },
      rateLimits: { keyItems: 0, projectItems: 0, failures: 0, redisUrl: null },
      jobs: { worker: 'inline', concurrency: 6 },
      changes: { keptHours: 168 },
      webhooks: { allowedNetworks: [] },
      rules: { requireIfMatch: false, seed: true },
      alerts: { webhook: null },
      client: { url: null, apiKey: null },
    });
  });

  it('is frozen', () => {
    const config = new Config({});
    expect(() => {
      (config.http as { port: number }).port = 1;
    }).toThrow(TypeError);
    expect(() => {
      (config as { http: unknown }).http = {};
    }).toThrow(TypeError);
  });

  it('uses the default for an empty setting', () => {
    const empty = Object.fromEntries(Array.from(namesRead(), (name) => [name, '']));
    expect(new Config(empty)).toEqual(new Config({}));
    expect(new Config({ PORT: ' ', HOST: '\t' })).toEqual(new Config({}));
  });
});

describe('a numeric setting', () => {
  const RANGES: [string, number, number, (config: Config) => number][] = [
    ['PORT', 0, 65_535, (config) => config.http.port],
    ['WEB_CONCURRENCY', 1, 8, (config) => config.http.processes],
    ['METRICS_PORT', 0, 65_535, (config) => config.metrics.port ?? NaN],
    ['MAX_CONNECTIONS', 10, 100_000, (config) => config.http.maxConnections],
    ['QUERY_TIMEOUT_MS', 100, 120_000, (config) => config.database.queryTimeoutMs],
    ['SLOW_STATEMENT_MS', 0, 3_600_000, (config) => config.database.slowStatementMs],
    ['DATABASE_POOL_MAX', 6, 72, (config) => config.database.poolMax],
    ['DATABASE_READ_LAG_MAX_MS', 1_000, 600_000, (config) => config.database.readLagMaxMs],
    ['PAGE_SIZE_MAX', 1, 10_000, (config) => config.limits.pageSizeMax],
    ['PAGE_SIZE', 1, 1000, (config) => config.limits.pageSize],
    ['COUNT_CAP', 1, 1_000_000, (config) => config.limits.countCap],
    ['BODY_LIMIT_BYTES', 1024, 134_217_728, (config) => config.limits.bodyLimitBytes],
    ['PAGE_BYTES_MAX', 1_024, 268_435_456, (config) => config.limits.pageBytesMax],
    ['BATCH_OBJECTS_MAX', 1, 1_000_000, (config) => config.limits.batchObjectsMax],
    ['UNDELETE_HOURS', 0, 8_760, (config) => config.limits.undeleteHours],
    ['UNDELETE_BYTES_MAX', 1, 10 ** 15 - 1, (config) => config.limits.undeleteBytesMax],
    ['JOB_BODIES_BYTES_MAX', 1_048_576, 10 ** 15 - 1, (config) => config.limits.jobBodiesBytesMax],
    ['INFLATED_LIMIT_BYTES', 1_048_576, 1_099_511_627_776, (config) => config.limits.inflatedLimitBytes],
    ['MEMORY_BUDGET_BYTES', 134_217_728, 68_719_476_736, (config) => config.limits.memoryBudgetBytes],
    ['RATE_LIMIT_ITEMS_PER_MINUTE', 0, 1_000_000_000, (config) => config.rateLimits.keyItems],
    ['RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE', 0, 1_000_000_000, (config) => config.rateLimits.projectItems],
    ['DISK_RESERVE_BYTES', 0, 1_099_511_627_776, (config) => config.database.diskReserveBytes],
    ['JOB_CONCURRENCY', 1, 100, (config) => config.jobs.concurrency],
    ['CHANGES_HOURS', 1, 8760, (config) => config.changes.keptHours],
  ];

  it.each(RANGES)('accepts %s from %i to %i', (name, min, max, read) => {
    for (const value of [min, max]) expect(read(new Config({ [name]: String(value) }, true))).toBe(value);
    for (const value of [min - 1, max + 1]) {
      const message = rejectionOf({ [name]: String(value) }, true);
      expect(message).toContain(name);
      expect(message).toContain(`from ${String(min)} to ${String(max)}`);
      expect(message).toContain(`"${String(value)}"`);
    }
  });

  it.each(['x', '1.5', '1e3', '0x10', '-1', '+5', '5 MiB', '1_000', 'NaN', '9'.repeat(20)])('rejects %s', (value) => {
    for (const [name] of RANGES) expect(rejectionOf({ [name]: value })).toContain(name);
  });

  it('has a MEMORY_BUDGET_BYTES of at least twice the largest body and the largest page', () => {
    const large = { BODY_LIMIT_BYTES: '134217728' };
    expect(new Config(large).limits.memoryBudgetBytes).toBe(268_435_456);
    expect(rejectionOf({ ...large, MEMORY_BUDGET_BYTES: '268435455' })).toContain('from 268435456 to');
    const small = { BODY_LIMIT_BYTES: '1024', PAGE_BYTES_MAX: '2048', MEMORY_BUDGET_BYTES: '4096' };
    expect(new Config(small).limits.memoryBudgetBytes).toBe(4096);
  });

  it('has a DATABASE_POOL_MAX of at most 1,000, and 72 with the embedded database, which has 100 connections', () => {
    const DATABASE_POOL_MAX = '1000';
    expect(new Config({ ...WITH_URL, DATABASE_POOL_MAX }).database.poolMax).toBe(1000);
    expect(rejectionOf({ ...WITH_URL, DATABASE_POOL_MAX: '1001' })).toContain('from 6 to 1000');
    expect(rejectionOf({ DATABASE_POOL_MAX })).toContain('from 6 to 72');
  });

  it('rejects a PAGE_SIZE over PAGE_SIZE_MAX', () => {
    expect(new Config({ PAGE_SIZE_MAX: '5' }).limits.pageSize).toBe(5);
    expect(rejectionOf({ PAGE_SIZE_MAX: '5', PAGE_SIZE: '6' })).toContain('from 1 to 5');
  });
});

describe('WEB_CONCURRENCY', () => {
  const of = (settings: Record<string, string>, isServer = true): Config =>
    new Config({ WEB_CONCURRENCY: '3', ...settings }, isServer);
  const shares = ({ http, database, limits, jobs }: Config): number[] => [
    http.processes,
    http.maxConnections,
    database.poolMax,
    limits.memoryBudgetBytes,
    jobs.concurrency,
  ];

  it('divides the limits of a server between its processes, so that together they never exceed a limit', () => {
    const limits = { MAX_CONNECTIONS: '101', DATABASE_POOL_MAX: '20', JOB_CONCURRENCY: '8' };
    const MEMORY_BUDGET_BYTES = String(600 * 1024 ** 2 + 1);
    expect(shares(of({ ...limits, MEMORY_BUDGET_BYTES }))).toEqual([3, 33, 6, 200 * 1024 ** 2, 2]);
  });

  it('has defaults with which each process can do all that one can: its memory and connections grow with it', () => {
    expect(shares(of({}))).toEqual([3, 666, 20, 192 * 1024 ** 2, 2]);
    expect(of({ ...WITH_URL, WORKER: 'inline', WEB_CONCURRENCY: '32' }).jobs.concurrency).toBe(2);
    expect(shares(of({ ...WITH_URL, WORKER: 'inline' }))).toEqual([3, 666, 20, 192 * 1024 ** 2, 2]);
    // The embedded database has 100 connections.
    expect(shares(of({ WEB_CONCURRENCY: '8' }))).toEqual([8, 250, 9, 192 * 1024 ** 2, 2]);
    expect(shares(of({ ...WITH_URL, WEB_CONCURRENCY: '32' }))).toEqual([32, 62, 20, 192 * 1024 ** 2, 6]);
  });

  it('rejects limits of which a process would have less than it needs, and more than 8 processes on the embedded database', () => {
    for (const [name, below, min] of [
      ['MAX_CONNECTIONS', '29', '30'],
      ['DATABASE_POOL_MAX', '17', '18'],
      ['MEMORY_BUDGET_BYTES', String(3 * 128 * 1024 ** 2 - 1), String(3 * 128 * 1024 ** 2)],
      // One project has at most half of them: with one job, a process would have no room for those of another.
      ['JOB_CONCURRENCY', '5', '6'],
    ] as const) {
      const message = rejectionOf({ WEB_CONCURRENCY: '3', [name]: below }, true);
      expect(message).toContain(`${name} must be a whole number from ${min} to`);
      expect(message).toContain(` (${String(Number(min) / 3)} for each of the 3 processes)`);
      expect(() => of({ [name]: min })).not.toThrow();
    }
    expect(rejectionOf({ WEB_CONCURRENCY: '9' }, true)).toContain('from 1 to 8');
    expect(of({ ...WITH_URL, WEB_CONCURRENCY: '32', JOB_CONCURRENCY: '1' }).jobs.concurrency).toBe(1);
  });

  it('changes nothing in other commands than serve, which have one process', () => {
    expect(of({}, false)).toEqual(new Config({}));
    expect(of({ WEB_CONCURRENCY: '32' }, false)).toEqual(new Config({}));
  });
});

describe('the rate limits', () => {
  it('are 600,000 items for a key and five times as many for a project with DATABASE_URL, and off when embedded', () => {
    const redisUrl = null;
    expect(new Config(WITH_URL).rateLimits).toEqual({
      keyItems: 600_000,
      projectItems: 3_000_000,
      failures: 60,
      redisUrl,
    });
    const embedded = new Config({ RATE_LIMIT_ITEMS_PER_MINUTE: '10' }).rateLimits;
    expect(embedded).toEqual({ keyItems: 10, projectItems: 50, failures: 60, redisUrl });
  });

  it('can be turned off one by one; without that of keys, failures are not limited either', () => {
    const limits = (settings: object): object => new Config({ ...WITH_URL, ...settings }).rateLimits;
    expect(limits({ RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: '0' })).toMatchObject({ keyItems: 600_000, projectItems: 0 });
    expect(limits({ RATE_LIMIT_FAILURES_PER_MINUTE: '0' })).toMatchObject({ keyItems: 600_000, failures: 0 });
    const off = { RATE_LIMIT_ITEMS_PER_MINUTE: '0', RATE_LIMIT_FAILURES_PER_MINUTE: '5' };
    expect(limits(off)).toMatchObject({ keyItems: 0, projectItems: 0, failures: 0 });
    expect(limits({ ...off, RATE_LIMIT_PROJECT_ITEMS_PER_MINUTE: '7' })).toMatchObject({ projectItems: 7 });
  });

  it('are at most 1,000,000,000 items, that of a project by default too', () => {
    const most = { RATE_LIMIT_ITEMS_PER_MINUTE: '1000000000' };
    expect(new Config(most).rateLimits).toMatchObject({ keyItems: 1e9, projectItems: 1e9 });
  });

  it('reject a REDIS_URL that is no address of Redis, without repeating it', () => {
    for (const url of ['redis://h', 'rediss://user:password@h:6380/1']) {
      expect(new Config({ REDIS_URL: url }).rateLimits.redisUrl).toBe(url);
    }
    for (const url of ['h:6379', 'http://h', 'redis:', 'redis://', 'redis:///1', 'redis://h:port', 'redis://h/name']) {
      expect(rejectionOf({ REDIS_URL: url })).toBe(
        'REDIS_URL must be an address such as redis://host:6379/0, or rediss:// with TLS',
      );
    }
  });
});

describe('METRICS_PORT', () => {
  const same = { PORT: '9464', METRICS_PORT: '9464' };

  it('is not the PORT of the server, for none of its processes', () => {
    expect(rejectionOf(same, true)).toBe('METRICS_PORT (9464) must not be PORT (9464)');
    const three = { ...same, METRICS_PORT: '9462', WEB_CONCURRENCY: '3' };
    expect(rejectionOf(three, true)).toBe('METRICS_PORT (9462 to 9464, one for each process) must not be PORT (9464)');
    for (const other of [{ METRICS_PORT: '9463' }, { METRICS_PORT: '9465' }, { METRICS: 'false' }])
      expect(new Config({ ...same, ...other }, true).http.port).toBe(9464);
    expect(new Config({ PORT: '0', METRICS_PORT: '0' }, true).metrics.port).toBe(0);
  });

  it('may be that of PORT in a worker, which has no PORT', () => {
    expect(new Config(same).metrics.port).toBe(9464);
  });
});

describe('traces', () => {
  const rejected = (settings: Record<string, string>): string | null =>
    rejectionOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', ...settings });

  it.each([
    { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' },
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '.5' },
    { OTEL_TRACES_SAMPLER: 'always_off', OTEL_TRACES_SAMPLER_ARG: '1' },
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_TRACES_SAMPLER_ARG: '0' },
    { OTEL_EXPORTER_OTLP_PROTOCOL: '', OTEL_TRACES_SAMPLER: '', OTEL_TRACES_SAMPLER_ARG: '' },
  ])('accept %j', (settings) => {
    expect(new Config({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', ...settings }).tracing.isOn).toBe(true);
  });

  it('reject a sampler, a ratio and a protocol that OpenTelemetry would replace by a default', () => {
    expect(rejected({ OTEL_TRACES_SAMPLER: 'ratio' })).toMatch(
      /^OTEL_TRACES_SAMPLER must be one of always_on, .*"ratio"/,
    );
    for (const ratio of ['1.1', '-0.1', '10%', 'x', '1e3', 'Infinity'])
      expect(rejected({ OTEL_TRACES_SAMPLER_ARG: ratio })).toBe(
        `OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not "${ratio}"`,
      );
    for (const name of ['OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'])
      expect(rejected({ [name]: 'grpc' })).toBe(`${name} must be one of http/json, not "grpc"`);
  });
});

describe('a setting with choices', () => {
  it.each(['REQUIRE_IF_MATCH', 'STOWAGE_SEED'])('accepts only true and false for %s', (name) => {
    for (const value of ['true', 'false']) expect(() => new Config({ [name]: value })).not.toThrow();
    for (const value of ['TRUE', '1', 'yes', 'on', 'null']) expect(rejectionOf({ [name]: value })).toContain(name);
  });

  it('accepts only log levels for LOG_LEVEL', () => {
    for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const) {
      expect(new Config({ LOG_LEVEL: level }).log.level).toBe(level);
    }
    expect(rejectionOf({ LOG_LEVEL: 'verbose' })).toContain('fatal, error, warn, info, debug, silent');
  });

  it('WORKER defaults to inline with the embedded database, otherwise to separate, and accepts no other value', () => {
    expect(new Config({}).jobs.worker).toBe('inline');
    expect(new Config(WITH_URL).jobs.worker).toBe('separate');
    for (const worker of ['inline', 'separate'] as const) {
      expect(new Config({ ...WITH_URL, WORKER: worker }).jobs.worker).toBe(worker);
    }
    expect(rejectionOf({ WORKER: 'none' })).toContain('inline, separate');
  });

  it('STOWAGE_SEED defaults to true only with the embedded database', () => {
    expect(new Config({}).rules.seed).toBe(true);
    expect(new Config(WITH_URL).rules.seed).toBe(false);
    expect(new Config({ ...WITH_URL, STOWAGE_SEED: 'true' }).rules.seed).toBe(true);
  });
});

describe('a secret', () => {
  it.each([
    'STOWAGE_ADMIN_KEY',
    'STOWAGE_OPERATOR_KEY',
    'STOWAGE_KEY_SECRET',
    'STOWAGE_KEY_SECRET_PREVIOUS',
    'METRICS_TOKEN',
  ])('%s must have at least 32 characters and is not included in the error', (name) => {
    expect(() => new Config({ [name]: 'q'.repeat(32) })).not.toThrow();
    const message = rejectionOf({ [name]: 'q'.repeat(31) });
    expect(message).toContain(name);
    expect(message).not.toContain('qqq');
  });

  it.each(['STOWAGE_ADMIN_KEY', 'STOWAGE_OPERATOR_KEY'])('rejects a %s that no request can send', (name) => {
    const mistyped = `stw_admin_${'0'.repeat(36)}`;
    for (const key of ['q'.repeat(1025), 'ü'.repeat(32), 'q'.repeat(20) + ' ' + 'q'.repeat(20), mistyped]) {
      const message = rejectionOf({ [name]: key });
      expect(message).toContain(name);
      expect(message).not.toContain(key);
    }
    expect(() => new Config({ [name]: 'q'.repeat(1024) })).not.toThrow();
  });

  it.each(['STOWAGE_DATA_KEY', 'STOWAGE_DATA_KEY_PREVIOUS'])(
    '%s is 32 bytes, and not included in the error',
    (name) => {
      const bytes = Buffer.alloc(32, 250);
      const [hex, base64] = [bytes.toString('hex'), bytes.toString('base64')];
      for (const text of [hex, hex.toUpperCase(), base64, base64.slice(0, -1)]) {
        const { encryption } = new Config({ STOWAGE_DATA_KEY: 'b'.repeat(64), [name]: text });
        expect(encryption[name === 'STOWAGE_DATA_KEY' ? 'dataKey' : 'previousDataKey']).toEqual(bytes);
      }
      for (const text of [hex.slice(1), `${hex}00`, base64.slice(1), base64.replaceAll('+', '-'), 'q'.repeat(32)]) {
        const message = rejectionOf({ STOWAGE_DATA_KEY: hex, [name]: text });
        expect(message).toContain(`${name} must be 32 bytes in base64 or hexadecimal`);
        expect(message).not.toContain(text);
      }
    },
  );

  it('rejects STOWAGE_DATA_KEY_PREVIOUS without STOWAGE_DATA_KEY, and the same key twice', () => {
    const key = Buffer.alloc(32, 7);
    const settings = { STOWAGE_DATA_KEY: key.toString('hex'), STOWAGE_DATA_KEY_PREVIOUS: key.toString('base64') };
    expect(rejectionOf(settings)).toContain('the same key');
    expect(rejectionOf({ STOWAGE_DATA_KEY_PREVIOUS: 'a'.repeat(64) })).toContain('needs STOWAGE_DATA_KEY');
  });

  it('in SENTRY_DSN is not included in the error', () => {
    for (const dsn of ['hunter2', 'ftp://hunter2@host/1', 'https://hunter2@host/', 'https://host/1?hunter2']) {
      const message = rejectionOf({ SENTRY_DSN: dsn });
      expect(message).toContain('SENTRY_DSN must be');
      expect(message).not.toContain('hunter2');
    }
    expect(new Config({ SENTRY_DSN: 'https://key@host/path/1' }).errors.dsn).toBe('https://key@host/path/1');
  });

  it('rejects the same key for the admin and the operator', () => {
    const key = 'q'.repeat(32);
    expect(rejectionOf({ STOWAGE_ADMIN_KEY: key, STOWAGE_OPERATOR_KEY: key })).toContain('must differ');
  });

  it('STOWAGE_KEY_SECRET is required with DATABASE_URL', () => {
    expect(rejectionOf({ DATABASE_URL: WITH_URL.DATABASE_URL })).toContain('STOWAGE_KEY_SECRET');
    expect(new Config(WITH_URL).access.keySecret).toBe(WITH_URL.STOWAGE_KEY_SECRET);
  });

  it('in DATABASE_URL is not included in the error', () => {
    for (const url of ['mysql://u:hunter2@host/db', 'u:hunter2@host', 'http://hunter2']) {
      const message = rejectionOf({ ...WITH_URL, DATABASE_URL: url });
      expect(message).toContain('DATABASE_URL');
      expect(message).not.toContain('hunter2');
    }
    expect(new Config({ ...WITH_URL, DATABASE_URL: 'postgres://host/db' }).database.url).toBe('postgres://host/db');
  });
});
