import { mayBeKey } from './key-format.js';
import { StartupError } from './startup-error.js';

export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Kubernetes defines the first two for a service with the name `stowage`, and hosts of PostgreSQL the third; OpenTelemetry reads the last
 * ones itself.
 */
const FOREIGN = /^(?:STOWAGE_SERVICE_|STOWAGE_PORT(?:_|$)|DATABASE_URL_|OTEL_)/;

/** The environment, and the names that were read from it: the settings. */
export class Environment {
  private readonly settings = new Set<string>();

  constructor(private readonly variables: Variables) {}

  /** An empty value counts as not set, so that `NAME=` in a compose file keeps the default. */
  get(name: string): string | null {
    this.settings.add(name);
    return this.valueOf(name);
  }

  /**
   * Rejects misspelled settings, which would have no effect: variables that begin with `STOWAGE_`, or with the first two words
   * of a setting, and are none.
   * @throws StartupError
   */
  rejectUnread(): void {
    const prefixes = ['STOWAGE_', ...Array.from(this.settings).flatMap((name) => /^[A-Z]+_[A-Z]+/.exec(name) ?? [])];
    for (const name of Object.keys(this.variables)) {
      if (this.settings.has(name) || FOREIGN.test(name) || this.valueOf(name) === null) continue;
      if (name === 'TRUST_PROXY') throw new StartupError('TRUST_PROXY was replaced; set TRUSTED_PROXIES');
      if (prefixes.some((prefix) => name.startsWith(prefix)))
        throw new StartupError(`${name} is not a setting; .env.example lists the settings`);
    }
  }

  private valueOf(name: string): string | null {
    const value = this.variables[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }
}

/** @param reason the end of the error, why the range is what it is */
export function integer(
  env: Environment,
  name: string,
  fallback: number,
  min: number,
  max: number,
  reason = '',
): number {
  const text = env.get(name);
  if (text === null) return fallback;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new StartupError(
      `${name} must be a whole number from ${String(min)} to ${String(max)}, not "${text}"${reason}`,
    );
  }
  return value;
}

/** A number that the processes of a server share equally. @returns the share of each, rounded down */
export function share(
  env: Environment,
  name: string,
  processes: number,
  { fallback, minOfEach, max }: { fallback: number; minOfEach: number; max: number },
): number {
  const shares = processes === 1 ? '' : ` (${String(minOfEach)} for each of the ${String(processes)} processes)`;
  return Math.floor(integer(env, name, fallback, minOfEach * processes, max, shares) / processes);
}

export function parsed<T, D>(
  env: Environment,
  name: string,
  parse: (setting: string, text: string) => T,
  fallback: D,
): T | D {
  const text = env.get(name);
  return text === null ? fallback : parse(name, text);
}

export function flag(env: Environment, name: string, fallback: boolean): boolean {
  return choice(env, name, ['true', 'false'], String(fallback)) === 'true';
}

export function choice<T extends string>(
  env: Environment,
  name: string,
  choices: readonly T[],
  fallback: NoInfer<T> | string,
): T {
  const text = env.get(name) ?? fallback;
  const value = choices.find((one) => one === text);
  if (value === undefined) throw new StartupError(`${name} must be one of ${choices.join(', ')}, not "${text}"`);
  return value;
}

/** The error never contains the value, which may have a password. */
export function postgresUrl(env: Environment, name: string): string | null {
  const url = env.get(name);
  if (url === null || /^postgres(ql)?:\/\//.test(url)) return url;
  throw new StartupError(`${name} must be a postgresql:// address`);
}

/** The error never contains the value, which may have a password. */
export function redisUrl(env: Environment, name: string): string | null {
  const value = env.get(name);
  if (value === null) return null;
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.host === '' || !/^\/?\d*$/.test(url.pathname)) {
    throw new StartupError(`${name} must be an address such as redis://host:6379/0, or rediss:// with TLS`);
  }
  return value;
}

function httpUrl(env: Environment, name: string): string | null {
  const text = env.get(name);
  if (text === null || (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol))) return text;
  throw new StartupError(`${name} must be an http:// or https:// URL`);
}

const TRACE_SAMPLERS = ['always_on', 'always_off', 'traceidratio'].flatMap((name) => [name, `parentbased_${name}`]);
/** Of all signals, and of traces. */
const TRACE_PROTOCOLS = ['OTEL_EXPORTER_OTLP_PROTOCOL', 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'];

/** Whether requests are traced. OpenTelemetry reads the settings of the sampler itself, but replaces invalid ones by its defaults. */
export function isTracingOn(env: Environment): boolean {
  if (httpUrl(env, 'OTEL_EXPORTER_OTLP_ENDPOINT') === null) return false;
  choice(env, 'OTEL_TRACES_SAMPLER', TRACE_SAMPLERS, 'parentbased_always_on');
  const ratio = env.get('OTEL_TRACES_SAMPLER_ARG') ?? '1';
  if (!/^\d*\.?\d+(e-\d+)?$/i.test(ratio) || Number(ratio) > 1)
    throw new StartupError(`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not "${ratio}"`);
  for (const name of TRACE_PROTOCOLS) choice(env, name, ['http/json'], 'http/json');
  return true;
}

/** The error never contains the value, which has a key. */
export function sentryDsn(env: Environment): string | null {
  const dsn = httpUrl(env, 'SENTRY_DSN');
  if (dsn === null) return null;
  const { username, pathname } = new URL(dsn);
  if (username === '' || !/\/\d+$/.test(pathname))
    throw new StartupError('SENTRY_DSN must be a URL with the key and the number of a project: https://key@host/1');
  return dsn;
}

/** The error never contains the URL, which may have a secret in its path. */
export function alertWebhook(env: Environment): { url: string; secret: string } | null {
  const url = env.get('ALERT_WEBHOOK_URL');
  const signingSecret = env.get('ALERT_WEBHOOK_SECRET');
  if (signingSecret !== null && !isSigningSecret(signingSecret))
    throw new StartupError('ALERT_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64');
  if (url === null) return null;
  const parsedUrl = URL.canParse(url) ? new URL(url) : null;
  if (
    parsedUrl === null ||
    !/^https?:$/.test(parsedUrl.protocol) ||
    parsedUrl.username !== '' ||
    parsedUrl.password !== ''
  )
    throw new StartupError('ALERT_WEBHOOK_URL must be an http:// or https:// URL without a user name');
  if (signingSecret === null)
    throw new StartupError(
      'ALERT_WEBHOOK_SECRET is required with ALERT_WEBHOOK_URL: whsec_ and 24 to 64 bytes in base64',
    );
  return { url, secret: signingSecret };
}

/** In the form of Standard Webhooks. */
function isSigningSecret(text: string): boolean {
  const [, key] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = Buffer.from(key ?? '', 'base64');
  return bytes.toString('base64') === key && bytes.length >= 24 && bytes.length <= 64;
}

export function tlsPaths(env: Environment): { certFile: string; keyFile: string } | null {
  const certFile = env.get('TLS_CERT_FILE');
  const keyFile = env.get('TLS_KEY_FILE');
  if (certFile !== null && keyFile !== null) return { certFile, keyFile };
  if (certFile === null && keyFile === null) return null;
  throw new StartupError('TLS_CERT_FILE and TLS_KEY_FILE must be set together');
}

/** The error never contains the value: it is a secret. */
export function secret(env: Environment, name: string): string | null {
  const value = env.get(name);
  if (value !== null && value.length < 32) throw new StartupError(`${name} must have at least 32 characters`);
  return value;
}

/** Rejects a key that no request could send, or that would always be rejected as a typing error. */
export function apiKey(env: Environment, name: string): string | null {
  const value = secret(env, name);
  if (value !== null && !mayBeKey(value)) {
    throw new StartupError(
      `${name} must have at most 1,024 characters, all of them visible ASCII, and the right checksum if it begins with stw_`,
    );
  }
  return value;
}
