import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startBodyApp } from '../errors/body-app.js';
import { waitFor } from '../jobs/jobs.js';

/** About a tenth of the production times, but the longest, which no test waits for: a busy machine sends a request in time. */
const TIMES = { headersMs: 1_000, keepAliveMs: 500, inactiveMs: 2_000, keyKeepAliveMs: 60_000 };
const MAX_CONNECTIONS = 10;

let server: Awaited<ReturnType<typeof startBodyApp>>;
const clients: Client[] = [];

beforeAll(async () => {
  server = await startBodyApp({ MAX_CONNECTIONS: String(MAX_CONNECTIONS) }, undefined, TIMES);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  await waitFor(async () => ((await countConnections()) === 0 ? true : undefined));
});
afterAll(() => server.app.close());

class Client {
  received = '';
  readonly socket: Socket;
  readonly closed: Promise<void>;

  constructor() {
    this.socket = connect({ port: Number(new URL(server.origin).port), host: '127.0.0.1' });
    this.socket.on('data', (data) => (this.received += data.toString('latin1')));
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        resolve();
      });
    });
    clients.push(this);
  }

  /** Sends a request without a body and waits for its response. */
  async send(...headers: string[]): Promise<void> {
    await this.exchange(...headers);
    expect(this.received).toMatch(/^HTTP\/1\.1 200 /);
  }

  async exchange(...headers: string[]): Promise<void> {
    this.received = '';
    this.socket.write(`${['DELETE /bodies HTTP/1.1', 'Host: server', ...headers].join('\r\n')}\r\n\r\n`);
    await waitFor(() => Promise.resolve(this.received.endsWith('}') ? true : undefined));
  }
}

function countConnections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.app.getHttpServer().getConnections((error: Error | null, count: number) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}

describe('a connection without a valid key', () => {
  it('is closed with 408 when it sends nothing', async () => {
    const client = new Client();
    await client.closed;
    expect(client.received).toMatch(/^HTTP\/1\.1 408 [^]*request-timeout/);
  });

  it('is closed with 408 when its headers arrive too slowly', async () => {
    const client = new Client();
    client.socket.write('GET /bodies HTTP/1.1\r\nHost: server\r\nX-Slow: ');
    const sending = new AbortController();
    void client.closed.then(() => {
      sending.abort();
    });
    while (!sending.signal.aborted) {
      client.socket.write('x');
      await sleep(10);
    }
    expect(client.received).toMatch(/^HTTP\/1\.1 408 [^]*request-timeout/);
  });

  it('is closed when it is idle after a request; one with a valid key stays open', async () => {
    const withKey = new Client();
    await withKey.send('X-Api-Key: key');
    await withKey.exchange('X-Api-Key: key', 'X-Reject: yes');
    expect(withKey.received).toMatch(/^HTTP\/1\.1 503 /);
    await withKey.send('X-Api-Key: key');
    const without = new Client();
    await without.send();
    expect(without.received).toContain('Connection: keep-alive');
    await without.closed;
    await withKey.send();
    await withKey.send('X-Api-Key: key');
  });

  it('is closed when its response is not read', async () => {
    const client = new Client();
    client.socket.pause();
    client.socket.write('GET /bodies HTTP/1.1\r\nHost: server\r\n\r\n');
    await waitFor(async () => ((await countConnections()) === 1 ? true : undefined));
    await waitFor(async () => ((await countConnections()) === 0 ? true : undefined));
  });
});

describe('MAX_CONNECTIONS', () => {
  it('is the number of connections; further ones are closed at once, until one ends', async () => {
    const first = new Client();
    await first.send('X-Api-Key: key');
    // Each sends its request as soon as it is open, because a connection without one is closed.
    for (let count = 1; count < MAX_CONNECTIONS; count++) await new Client().send('X-Api-Key: key');
    const further = new Client();
    await further.closed;
    expect(further.received).toBe('');
    first.socket.destroy();
    await waitFor(async () => ((await countConnections()) === MAX_CONNECTIONS - 1 ? true : undefined));
    await new Client().send('X-Api-Key: key');
  });
});
