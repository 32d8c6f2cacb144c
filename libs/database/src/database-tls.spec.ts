import { appendFile, chmod, chown, mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Authority, type KeyPair } from '../../../test/harness/certificates.js';
import { addressOfEmbedded } from '../../../test/harness/embedded.js';
import { Tables } from '../../../test/harness/tables.js';
import { Database } from './database.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
import type { PostgresAddress } from './open-server.js';
import { StartupError } from '#platform';

const OPTIONS = { poolMax: 6, entities: [], migrations: [], logger: { log() {}, warn() {}, error() {} } };

/** A PostgreSQL that listens on TCP, whose certificate is valid for `localhost` and not for an address. */
let server: EmbeddedPostgres;
let admin: Tables;
let folder: string;
let port: number;
let address: PostgresAddress;
let authority: Authority;
let other: Authority;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-tls-'));
  await chmod(folder, 0o755);
  authority = await Authority.create(folder, 'authority');
  other = await Authority.create(folder, 'other');
  port = await freePort();
  const dataDir = join(folder, 'postgres');
  const settings = { fsync: 'off', shared_buffers: '16MB', listen_addresses: 'localhost', port: String(port) };
  server = await startEmbeddedPostgres({ dataDir, say: () => undefined, settings });
  address = server.address;
  admin = new Tables(await addressOfEmbedded(dataDir, 'postgres'));
  await appendFile(
    join(dataDir, 'pg_hba.conf'),
    `host stowage stowage samehost scram-sha-256
hostssl postgres stowage samehost scram-sha-256 clientcert=verify-ca
`,
  );
  await admin.sql(`ALTER SYSTEM SET ssl_ca_file = '${authority.pair.certFile}'`);
  await useCertificate(await authority.issue('server', 'DNS:localhost'), dataDir);
}, 60_000);

afterAll(async () => {
  await admin.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port: free } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return free;
}

/** PostgreSQL rejects a key that other users than its own may read. */
async function useCertificate({ certFile, keyFile }: KeyPair, dataDir: string): Promise<void> {
  const { uid, gid } = await stat(dataDir);
  await chmod(keyFile, 0o600);
  if (process.geteuid?.() === 0) await chown(keyFile, uid, gid);
  await admin.sql(`ALTER SYSTEM SET ssl_cert_file = '${certFile}'`);
  await admin.sql(`ALTER SYSTEM SET ssl_key_file = '${keyFile}'`);
  await setTls('on');
}

async function setTls(value: 'on' | 'off'): Promise<void> {
  await admin.sql(`ALTER SYSTEM SET ssl = ${value}`);
  await admin.sql('SELECT pg_reload_conf()');
  // The postmaster reloads when it gets the signal.
  for (;;) {
    const fresh = new Tables(admin.address);
    const [row] = await fresh.sql<{ ssl: string }>('SHOW ssl');
    await fresh.close();
    if (row?.ssl === value) return;
  }
}

function urlOf(host: string, parameters: Record<string, string>): string {
  const { user, password, database } = address;
  return `postgresql://${user}:${password}@${host}:${String(port)}/${database}?${String(new URLSearchParams(parameters))}`;
}

/** Connects, and opens a connection of each kind. @returns whether each of them uses TLS */
async function connect(host: string, parameters: Record<string, string>): Promise<boolean[]> {
  const database = await Database.connect({ ...OPTIONS, at: urlOf(host, parameters) });
  try {
    const text = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    const client = database.createClient();
    await client.connect();
    const ofClient = (await client.query<{ ssl: boolean }>(text)).rows;
    await client.end();
    const rows = [await database.query<{ ssl: boolean }>(text), await database.reserved.query<{ ssl: boolean }>(text)];
    return [...rows.flat(), ...ofClient].map(({ ssl }) => ssl);
  } finally {
    await database.close();
  }
}

async function errorOf(connecting: Promise<unknown>): Promise<string> {
  const error: unknown = await connecting.then(
    () => 'connected',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StartupError);
  const { message } = error as StartupError;
  expect(message).not.toContain('\n');
  expect(message).not.toContain(address.password);
  return message;
}

describe('a connection to PostgreSQL with TLS', () => {
  it('is encrypted on every connection when the authority and the name are right', async () => {
    expect(await connect('localhost', { sslmode: 'verify-full', sslrootcert: authority.pair.certFile })).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('is refused when the certificate is of another authority, with advice', async () => {
    const advice = 'add sslrootcert=<file> with its authority to the URL, or sslmode=no-verify to trust any server';
    for (const parameters of [{ sslrootcert: other.pair.certFile }, {}])
      expect(await errorOf(connect('localhost', { sslmode: 'verify-full', ...parameters }))).toContain(advice);
  });

  it('is refused when the certificate is of another host, also when it is valid for localhost and the URL has an address', async () => {
    const parameters = { sslmode: 'verify-full', sslrootcert: authority.pair.certFile };
    expect(await errorOf(connect('127.0.0.1', parameters))).toMatch(
      /cannot use the database: .*127\.0\.0\.1.*; use a name of the certificate/,
    );
  });

  it('has the certificate of the client that the URL names', async () => {
    const { certFile, keyFile } = await authority.issue('client', 'DNS:client');
    const url = (parameters: Record<string, string>): string => {
      const at = new URL(
        urlOf('localhost', { sslrootcert: authority.pair.certFile, ...parameters, sslmode: 'verify-full' }),
      );
      at.pathname = '/postgres';
      return at.href;
    };
    const open = (parameters: Record<string, string>): Promise<Database> =>
      Database.connect({ ...OPTIONS, at: url(parameters) });
    expect(await errorOf(open({}))).toContain('client certificate');
    await (await open({ sslcert: certFile, sslkey: keyFile })).close();
  });

  it('is encrypted and accepts any server with no-verify', async () => {
    expect(await connect('127.0.0.1', { sslmode: 'no-verify' })).toEqual([true, true, true]);
  });

  it('is not encrypted with disable, nor on the loopback interface without sslmode', async () => {
    expect(await connect('127.0.0.1', { sslmode: 'disable' })).toEqual([false, false, false]);
    expect(await connect('localhost', {})).toEqual([false, false, false]);
  });

  it('is never made without TLS instead when the server has none', async () => {
    await setTls('off');
    try {
      for (const sslmode of ['verify-full', 'require', 'prefer', 'no-verify'])
        expect(await errorOf(connect('localhost', { sslmode }))).toBe(
          'cannot use the database: The server does not support SSL connections; if that network is trusted, add sslmode=disable to the URL',
        );
    } finally {
      await setTls('on');
    }
  });
});
