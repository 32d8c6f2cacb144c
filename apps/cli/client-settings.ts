import type { Config } from '#platform';
import { UsageError } from './usage-error.js';

/** The server that a client command sends requests to, and its key. */
export interface ClientSettings {
  /** The address of the server, without a trailing slash. */
  origin: string;
  key: string;
}

/**
 * Returns the settings of a client command: `--url`, STOWAGE_URL or the server of the settings, and `--key`, STOWAGE_API_KEY or
 * STOWAGE_ADMIN_KEY.
 * @throws UsageError naming the setting that is missing or invalid
 */
export async function clientSettings(options: { url?: string; key?: string }): Promise<ClientSettings> {
  const config = await readSettings();
  const origin = serverOrigin(config, options.url);
  const key = options.key ?? config.client.apiKey ?? config.access.adminKey;
  if (key === null) throw new UsageError('no key: set STOWAGE_API_KEY or use --key');
  // The message must not quote the key, which is a secret.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new UsageError('the key must consist of visible ASCII characters');
  return { origin, key };
}

/** Returns the address of the server, without a trailing slash. @throws UsageError */
export function serverOrigin(config: Config, url?: string): string {
  return parseOrigin(url ?? config.client.url ?? ownServer(config));
}

/** Reads the settings from the environment and `.env`, like the server. @throws UsageError */
export async function readSettings(): Promise<Config> {
  const { readConfig } = await import('../read-config.js');
  try {
    return readConfig();
  } catch (error) {
    if ((error as Error).name === 'StartupError') throw new UsageError((error as Error).message);
    throw error;
  }
}

function ownServer({ http: { host, port, tls } }: Config): string {
  if (port === 0) throw new UsageError('PORT is 0 (any free port): set STOWAGE_URL or use --url');
  // A client cannot connect to the wildcard address that a server listens on.
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${tls === null ? 'http' : 'https'}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${String(port)}`;
}

/** Accepts the address with or without the path of the API and a trailing slash. */
function parseOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
    throw new UsageError(`STOWAGE_URL or --url must be a URL such as http://127.0.0.1:8000, not "${text}"`);
  }
  return (url.origin + url.pathname).replace(/\/+$/, '').replace(/\/api\/v1$/, '');
}
