import type { Config } from '#platform';
import { UsageError } from './usage-error.js';

/** Where the commands that are clients of the API send their requests, and with which key. */
export interface ClientSettings {
  /** The address of the server, without a slash at its end. */
  origin: string;
  key: string;
}

/**
 * The one place that reads the client's settings: `--url`, STOWAGE_URL (default http://HOST:PORT), `--key`,
 * STOWAGE_API_KEY (default STOWAGE_ADMIN_KEY).
 * @throws UsageError naming the setting that is missing or wrong
 */
export async function clientSettings(options: { url?: string; key?: string }): Promise<ClientSettings> {
  const config = await serverSettings();
  const origin = serverOrigin(config, options.url);
  const key = options.key ?? setting('STOWAGE_API_KEY') ?? config.access.adminKey;
  if (key === null) throw new UsageError('no key: set STOWAGE_API_KEY, or give --key');
  // Never quotes the key: it is a secret.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new UsageError('the key holds characters that a key cannot have');
  return { origin, key };
}

/** Where the server is, without a slash at its end. @throws UsageError */
export function serverOrigin(config: Config, url?: string): string {
  return originOf(url ?? setting('STOWAGE_URL') ?? ownServer(config));
}

/** The same settings as the server's, and the same file `.env`. */
export async function serverSettings(): Promise<Config> {
  const { readConfig } = await import('../api/run-server.js');
  try {
    return readConfig();
  } catch (error) {
    if ((error as Error).name === 'StartupError') throw new UsageError((error as Error).message);
    throw error;
  }
}

function ownServer({ http: { host, port } }: Config): string {
  if (port === 0)
    throw new UsageError('PORT is 0, any free one: set STOWAGE_URL to where the server is, or give --url');
  // "Every address of this machine" is something to listen on, not something to connect to.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${String(port)}`;
}

/** Takes what people paste: with the API's own path or without, with a slash at the end or without. */
function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
    throw new UsageError(`STOWAGE_URL or --url must be an address such as http://127.0.0.1:8000, not "${text}"`);
  }
  return (url.origin + url.pathname).replace(/\/+$/, '').replace(/\/api\/v1$/, '');
}

/** An empty value counts as not set, as for the server. */
function setting(name: string): string | null {
  const value = process.env[name]?.trim();
  return value === undefined || value === '' ? null : value;
}
