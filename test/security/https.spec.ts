import { once } from 'node:events';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN_KEY, Stowage, type Running } from '../cli/stowage.js';
import { stopProcess } from '../faults/stack.js';
import { Authority, type KeyPair } from '../harness/certificates.js';
import { waitFor } from '../jobs/jobs.js';

/** A client may take 10 s for its handshake. */
const HANDSHAKE_WITHIN_MS = 30_000;

let folder: string;
let authority: Authority;
let served: KeyPair;
let stowage: Stowage;
let server: Running;
let port: number;
let ca: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-https-'));
  authority = await Authority.create(folder, 'authority');
  served = { certFile: join(folder, 'served.pem'), keyFile: join(folder, 'served.key') };
  await use(await authority.issue('first', 'IP:127.0.0.1'));
  ca = await readFile(authority.pair.certFile, 'utf8');
  stowage = await Stowage.create({ STOWAGE_ADMIN_KEY: ADMIN_KEY, LOG_LEVEL: 'info', ...settings() });
  server = stowage.start(['serve']);
  const [, text = ''] = await server.prints(/Stowage is ready: https:\/\/127\.0\.0\.1:(\d+)\/api\/v1\//);
  port = Number(text);
});
afterAll(async () => {
  await stowage.remove();
  await rm(folder, { recursive: true, force: true });
});

function settings(): Record<string, string> {
  return { TLS_CERT_FILE: served.certFile, TLS_KEY_FILE: served.keyFile };
}

async function use({ certFile, keyFile }: KeyPair): Promise<void> {
  await copyFile(certFile, served.certFile);
  await copyFile(keyFile, served.keyFile);
}

interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  text: string;
}

function call(method: string, path: string, body?: string, agent?: Agent): Promise<Answer> {
  const headers = { 'X-Api-Key': ADMIN_KEY, ...(body !== undefined && { 'Content-Type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, path, method, headers, ca, ...(agent && { agent }) },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode, headers: response.headers, text });
        });
      },
    );
    sent.on('error', reject).end(body);
  });
}

/** Connects with TLS. @returns the version, and the subject of the certificate */
function handshake(options: ConnectionOptions = {}): Promise<{ version: string | null; subject: string }> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca, ...options }, () => {
      resolve({ version: socket.getProtocol(), subject: String(socket.getPeerCertificate().subject.CN) });
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** Opens connections that send nothing. */
function connectSilently(count: number): Promise<Socket[]> {
  const connecting = Array.from({ length: count }, async () => {
    const socket = connectTcp(port, '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  });
  return Promise.all(connecting);
}

describe('a server with a certificate', () => {
  /** Opened first, because it is closed after 10 s. */
  let silentClosed: Promise<void>;

  beforeAll(() => {
    const silent = connectTcp(port, '127.0.0.1');
    silent.on('error', () => undefined);
    silentClosed = new Promise((resolve) =>
      silent.once('close', () => {
        resolve();
      }),
    );
  });

  it('speaks HTTPS, and all URLs in responses are https', async () => {
    const { status, headers, text } = await call('POST', '/api/v1/batches', '{"batch_id":"b","objects":[]}');
    expect(status).toBe(201);
    expect(headers.location).toBe(`https://127.0.0.1:${String(port)}/api/v1/batches/b`);
    expect(JSON.parse(text)).toMatchObject({ url: headers.location });
  });

  it('tells browsers to use only HTTPS', async () => {
    for (const path of ['/health/ready', '/api/v1/nothing', '/browse'])
      expect((await call('GET', path)).headers['strict-transport-security']).toBe('max-age=31536000');
  });

  it('accepts TLS 1.2 and 1.3, and nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      expect(await handshake({ minVersion: version, maxVersion: version })).toMatchObject({ version });
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(handshake(old)).rejects.toThrow(/protocol version/i);
  });

  it('closes connections that speak HTTP, and serves others', async () => {
    const socket = connectTcp(port, '127.0.0.1').on('error', () => undefined);
    let received = '';
    socket.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')));
    socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).not.toContain('HTTP/');
    expect(await call('GET', '/health/ready')).toMatchObject({ status: 200 });
  });

  it.each(['load', 'export'])('is not reached by %s with http:// in STOWAGE_URL, which says why', async (command) => {
    const url = `http://127.0.0.1:${String(port)}`;
    await writeFile(join(stowage.folder, 'batch.json'), '{"batch_id":"c","objects":[]}');
    const args = command === 'load' ? ['batch.json'] : [];
    expect(await stowage.run([command, ...args], { STOWAGE_URL: url })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        `^stowage: cannot reach ${url}: .+; if the server speaks HTTPS, STOWAGE_URL or --url must begin with https://\n$`,
      ),
    });
  });

  it('uses new files for new connections without a restart, and keeps the open ones', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call('GET', '/api/v1/batches', undefined, agent)).toMatchObject({ status: 200 });
    await use(await authority.issue('second', 'IP:127.0.0.1'));
    await waitFor(async () => ((await handshake()).subject.startsWith('second') ? true : undefined));
    expect(await call('GET', '/api/v1/batches', undefined, agent)).toMatchObject({ status: 200 });
    agent.destroy();
  });

  it('keeps its certificate when the new files are invalid, logs why, and uses the next valid ones', async () => {
    const { subject } = await handshake();
    const since = server.output().length;
    await writeFile(served.certFile, 'no certificate');
    await waitFor(() =>
      Promise.resolve(server.output().includes('the former certificate stays in use', since) ? true : undefined),
    );
    expect(await handshake()).toMatchObject({ subject });
    const third = await authority.issue('third', 'IP:127.0.0.1');
    await use(third);
    await waitFor(async () => ((await handshake()).subject.startsWith('third') ? true : undefined));
  });

  it('closes connections that begin no handshake', async () => {
    const timeout = new Promise((_, reject) =>
      setTimeout(reject, HANDSHAKE_WITHIN_MS, new Error('still open')).unref(),
    );
    await Promise.race([silentClosed, timeout]);
  });

  it('stops with exit code 0 while connections have begun no handshake', async () => {
    const silent = await connectSilently(3);
    expect(await call('GET', '/health/ready')).toMatchObject({ status: 200 });
    expect(await stopProcess(server)).toMatchObject({ code: 0 });
    for (const socket of silent) socket.destroy();
  });
});

describe('a server with a certificate and two processes', () => {
  it('serves HTTPS with both, and no process is killed at its stop while connections have begun no handshake', async () => {
    server = stowage.start(['serve', '--processes', '2'], { HOST: 'localhost' });
    const [, text = ''] = await server.prints(/Stowage is ready: https:\/\/127\.0\.0\.1:(\d+)\/api\/v1\//);
    port = Number(text);
    // Fastify would have a second server there, without the limits and new certificates.
    await expect(once(connectTcp(port, '::1'), 'connect')).rejects.toThrow();
    const silent = await connectSilently(4);
    const names = await waitFor(async () => {
      // New connections, which the processes get in turn.
      const agent = new Agent({ keepAlive: false });
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => call('GET', '/health/ready', undefined, agent)),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      const prefixes = new Set(answers.map(({ headers }) => String(headers['x-request-id']).split('-')[0]));
      return prefixes.size === 2 ? prefixes : undefined;
    });
    expect(names.size).toBe(2);
    const { code, stderr } = await stopProcess(server);
    expect(code).toBe(0);
    expect(stderr).not.toContain('is killed');
    for (const socket of silent) socket.destroy();
  });
});

describe('a start with files that are no certificate and key', () => {
  let other: Stowage;
  let foreign: KeyPair;

  beforeAll(async () => {
    other = await Stowage.create();
    foreign = await authority.issue('foreign', 'IP:127.0.0.1');
  });
  afterAll(() => other.remove());

  it.each<[string, () => Record<string, string>, RegExp]>([
    ['a missing file', () => ({ TLS_KEY_FILE: '/no/such/file' }), /^stowage: TLS_KEY_FILE cannot be read: ENOENT.*\n$/],
    [
      'the key of another certificate',
      () => ({ TLS_KEY_FILE: foreign.keyFile }),
      /^stowage: TLS_CERT_FILE and TLS_KEY_FILE are not a certificate and its key.*\n$/,
    ],
    [
      'a certificate in place of the key',
      () => ({ TLS_KEY_FILE: served.certFile }),
      /^stowage: TLS_CERT_FILE and TLS_KEY_FILE are not .*\n$/,
    ],
    [
      'one setting of the two',
      () => ({ TLS_KEY_FILE: '' }),
      /^stowage: TLS_CERT_FILE and TLS_KEY_FILE must be set together\n$/,
    ],
  ])('ends with one line and creates nothing: %s', async (_, invalid, message) => {
    const { code, stderr } = await other.start(['serve'], { ...settings(), ...invalid() }).ended;
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(message) });
    expect(await readdir(other.folder)).toEqual([]);
  });
});
