import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { StartupError } from '#platform';

/** Where and how to connect: a URL without parameters of TLS, and TLS, or false for none. */
export interface DatabaseServer {
  url: string;
  ssl: false | ClientTls;
}

/** Options of `tls.connect`. */
interface ClientTls {
  rejectUnauthorized: boolean;
  host: string;
  ca?: string;
  cert?: string;
  key?: string;
}

/** Modes that ask for less than the verification of the certificate and its name, which cost nothing more. */
const VERIFIED_MODES = ['verify-full', 'verify-ca', 'require', 'prefer', 'allow'];
const MODES = 'disable, no-verify or verify-full';
/** Parameters of TLS that are passed on as options: the driver interprets them in its own way, and with warnings. */
const TLS_PARAMETERS = ['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation', 'uselibpqcompat'];

/**
 * Reads the URL of a database. Without `sslmode` the certificate of a server on another machine is verified, and that of this machine
 * needs none: its sockets and its loopback interface reach no network.
 * @param setting where the URL is from, for errors
 * @throws StartupError for an invalid URL, an unknown mode, or a file that cannot be read; without the URL, which has a password
 */
export function parseDatabaseUrl(text: string, setting = 'the database URL'): DatabaseServer {
  // A URL without a host, which the driver accepts, is that of this machine.
  const complete = URL.canParse(text) ? text : text.replace('@/', '@localhost/');
  if (!URL.canParse(complete)) throw new StartupError(`${setting} is not a valid URL`);
  const url = new URL(complete);
  if (!isDecodable(`${url.username} ${url.password} ${url.hostname} ${url.pathname}`)) {
    throw new StartupError(`${setting} is not a valid URL: write % as %25`);
  }
  const parameters = Object.fromEntries(url.searchParams);
  // The driver would use PGHOST for an empty host, and ignores an empty parameter.
  if (url.hostname === '') url.hostname = 'localhost';
  const hostName = parameters.host || decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const mode = parameters.sslmode ?? parameters.ssl ?? (isLocal(hostName) ? 'disable' : 'verify-full');
  const ssl = tlsOf(mode, hostName, parameters, setting);
  // The driver would begin TLS with options of its own.
  if (parameters.sslnegotiation === 'direct') {
    throw new StartupError(`sslnegotiation=direct of ${setting} is not supported; remove it`);
  }
  for (const name of TLS_PARAMETERS) url.searchParams.delete(name);
  return { url: url.href, ssl };
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function tlsOf(mode: string, host: string, parameters: Record<string, string>, setting: string): false | ClientTls {
  if (['disable', 'false', '0'].includes(mode)) return false;
  const isVerified = [...VERIFIED_MODES, 'true', '1'].includes(mode);
  if (!isVerified && mode !== 'no-verify') {
    throw new StartupError(`sslmode of ${setting} must be ${MODES}, not "${mode}"`);
  }
  const { sslrootcert, sslcert, sslkey } = parameters;
  return {
    rejectUnauthorized: isVerified,
    // The name that is verified; for an address Node.js would verify "localhost".
    host,
    // `system`, as in libpq: the authorities that Node.js trusts.
    ...(sslrootcert !== undefined &&
      sslrootcert !== 'system' && { ca: read(`sslrootcert of ${setting}`, sslrootcert) }),
    ...(sslcert !== undefined && { cert: read(`sslcert of ${setting}`, sslcert) }),
    ...(sslkey !== undefined && { key: read(`sslkey of ${setting}`, sslkey) }),
  };
}

function read(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new StartupError(`${name} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function isLocal(host: string): boolean {
  if (host === '' || host === 'localhost' || host.startsWith('/')) return true;
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1';
}

/** Codes of Node.js for a certificate that is not valid for the connection, and what the user can do. */
const UNKNOWN_AUTHORITY =
  'add sslrootcert=<file> with its authority to the URL, or sslmode=no-verify to trust any server';
const CERTIFICATE_ADVICE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID: 'use a name of the certificate in the URL, or a certificate with the name of the URL',
  CERT_HAS_EXPIRED: 'renew the certificate of the server',
  CERT_NOT_YET_VALID: 'compare the clocks of both machines',
};

/** What the user can do about an error of TLS, as the end of a sentence; empty for other errors. */
export function tlsAdvice(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (message === 'The server does not support SSL connections') {
    return '; if that network is trusted, add sslmode=disable to the URL';
  }
  const advice = CERTIFICATE_ADVICE[code ?? ''];
  return advice === undefined ? '' : `; ${advice}`;
}
