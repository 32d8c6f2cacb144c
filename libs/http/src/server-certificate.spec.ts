import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { Authority, type KeyPair } from '../../../test/harness/certificates.js';
import { ServerCertificate } from './server-certificate.js';

let folder: string;
let pairs: [KeyPair, KeyPair];
let served: KeyPair;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-certificate-'));
  const authority = await Authority.create(folder, 'authority');
  pairs = [await authority.issue('first', 'IP:127.0.0.1'), await authority.issue('second', 'IP:127.0.0.1')];
  served = { certFile: join(folder, 'served.pem'), keyFile: join(folder, 'served.key') };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function use({ certFile, keyFile }: KeyPair): Promise<void> {
  await copyFile(certFile, served.certFile);
  await copyFile(keyFile, served.keyFile);
}

it('replaces the certificate once for each change, warns once of invalid files, and stops with the server', async () => {
  await use(pairs[0]);
  const server = createServer();
  const replace = jest.spyOn(server, 'setSecureContext');
  const lines: string[] = [];
  const say = (line: unknown): void => void lines.push(String(line));
  jest.useFakeTimers();
  try {
    new ServerCertificate(served).follow(server, { info: say, warn: say } as never);
    const read = (times: number): void => {
      jest.advanceTimersByTime(2_000 * times);
    };
    read(3);
    expect(lines).toEqual([]);
    await use(pairs[1]);
    read(3);
    expect(replace).toHaveBeenCalledTimes(1);
    expect(replace).toHaveBeenCalledWith(expect.objectContaining({ minVersion: 'TLSv1.2' }));
    await writeFile(served.keyFile, 'no key');
    read(3);
    await rm(served.keyFile);
    read(3);
    await use(pairs[0]);
    read(3);
    expect(replace).toHaveBeenCalledTimes(2);
    expect(lines).toEqual([
      'the certificate was replaced',
      expect.stringMatching(/^TLS_CERT_FILE and TLS_KEY_FILE are not .*; the former certificate stays in use$/),
      expect.stringMatching(/^TLS_KEY_FILE cannot be read: ENOENT.*; the former certificate stays in use$/),
      'the certificate was replaced',
    ]);
    server.emit('close');
    await rm(served.keyFile);
    read(3);
    expect(lines).toHaveLength(4);
  } finally {
    jest.useRealTimers();
  }
});
