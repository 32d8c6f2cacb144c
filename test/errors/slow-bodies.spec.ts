import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startBodyApp } from './body-app.js';

/** One hundredth of the production intervals, and the same rate. */
const PACE = { graceMs: 600, windowMs: 300, bytesPerSecond: 1024 };

let bodies: Awaited<ReturnType<typeof startBodyApp>>;

beforeAll(async () => {
  bodies = await startBodyApp({ BODY_LIMIT_BYTES: '65536' }, PACE);
});
afterAll(() => bodies.app.close());

class Client {
  received = '';
  isClosed = false;
  private readonly socket: Socket;

  constructor(head: readonly string[]) {
    this.socket = connect({ port: Number(new URL(bodies.origin).port), host: '127.0.0.1' });
    this.socket.on('data', (data) => (this.received += data.toString()));
    this.socket.on('close', () => (this.isClosed = true));
    this.socket.on('error', () => undefined);
    this.socket.write(`${head.join('\r\n')}\r\nHost: test\r\n\r\n`);
  }

  /** Sends `piece` every 50 ms, `times` times or until the connection is closed. */
  async send(piece: string, times: number): Promise<void> {
    for (let i = 0; i < times && !this.isClosed; i++) {
      this.socket.write(piece, 'latin1');
      await sleep(50);
    }
  }

  /** Waits until the received text matches the pattern. */
  async expect(pattern: RegExp): Promise<void> {
    for (let i = 0; i < 1_000 && !pattern.test(this.received); i++) await sleep(20);
    expect(this.received).toMatch(pattern);
  }

  close(): void {
    this.socket.destroy();
  }
}

const JSON_HEAD = ['POST /bodies HTTP/1.1', 'Content-Type: application/json'];
const NDJSON_HEAD = ['PUT /bodies HTTP/1.1', 'Content-Type: application/x-ndjson'];

// These tests spend most of their time waiting, so they run concurrently.
describe('the minimum rate of bodies', () => {
  it.concurrent.each<[string, string[]]>([
    ['JSON', [...JSON_HEAD, 'Content-Length: 60000']],
    ['NDJSON', [...NDJSON_HEAD, 'Content-Length: 60000']],
    ['gzip', [...NDJSON_HEAD, 'Content-Length: 60000', 'Content-Encoding: gzip']],
  ])('returns 408 and closes the connection for a slower body: %s', async (encoding, head) => {
    const client = new Client(head);
    const start = performance.now();
    if (encoding === 'gzip') {
      await client.send('\x1f', 1);
      await client.send('\x8b', 1);
    }
    await client.send('\x08', 60);
    expect(client.isClosed).toBe(true);
    expect(performance.now() - start).toBeGreaterThan(PACE.graceMs * 0.8);
    expect(client.received).toMatch(/^HTTP\/1\.1 408 /);
    expect(client.received).toMatch(/\r\nconnection: close\r\n/i);
    expect(client.received).toContain('/problems#request-timeout"');
  });

  it.concurrent('returns 408 when the client stops sending', async () => {
    const client = new Client([...JSON_HEAD, 'Content-Length: 60000']);
    await client.send('', 40);
    expect(client.received).toMatch(/^HTTP\/1\.1 408 /);
  });

  it.concurrent.each<[string, string[], number]>([
    ['over the size limit', [...JSON_HEAD, 'Content-Length: 99999999'], 413],
    [
      'with an unsupported media type',
      ['POST /bodies HTTP/1.1', 'Content-Type: text/plain', 'Content-Length: 60000'],
      415,
    ],
    ['with an invalid path', ['POST /%zz HTTP/1.1', 'Content-Length: 60000'], 400],
    ['with an unknown path', ['POST /none HTTP/1.1', 'Content-Length: 60000'], 404],
  ])('closes the connection when a client continues to send slowly after a rejection: %s', async (_, head, status) => {
    const client = new Client(head);
    await client.send('x', 40);
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(client.isClosed).toBe(true);
  });

  it.concurrent('accepts a body above the minimum rate, however long it takes', async () => {
    const client = new Client([...NDJSON_HEAD, 'Content-Length: 20000']);
    await client.send('x'.repeat(400), 50);
    await client.expect(/^HTTP\/1\.1 200 /);
    client.close();
  });

  it.concurrent('does not close a connection while the server reads slowly', async () => {
    const client = new Client([...NDJSON_HEAD, 'X-Wait: 2000', 'Content-Length: 8000000']);
    await client.send('x'.repeat(8_000_000), 1);
    await client.expect(/^HTTP\/1\.1 200 /);
    client.close();
  });

  it.concurrent('keeps an idle connection open', async () => {
    const client = new Client([...JSON_HEAD, 'Content-Length: 2']);
    await client.send('{}', 1);
    await sleep(1500);
    expect([client.received.match(/HTTP\/1\.1/g)?.length, client.isClosed]).toEqual([1, false]);
    client.close();
  });

  it('uses one timer for all bodies', async () => {
    await sleep(100);
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const clients = Array.from({ length: 300 }, () => new Client([...JSON_HEAD, 'Content-Length: 60000']));
    await sleep(200);
    // One timer for all 300 bodies; it does not keep the process alive.
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBeLessThanOrEqual(
      timers + 1,
    );
    for (const client of clients) client.close();
  });
});

describe('100 Continue', () => {
  it('is sent when the request is accepted', async () => {
    const client = new Client([...JSON_HEAD, 'Content-Length: 2', 'Expect: 100-continue']);
    await client.expect(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    await client.send('{}', 1);
    await client.expect(/HTTP\/1\.1 201 /);
    expect(client.received).not.toMatch(/connection: close/i);
    client.close();
  });

  it.each<[string, string[], number]>([
    ['over the size limit', [...JSON_HEAD, 'Content-Length: 99999999'], 413],
    ['with an unsupported media type', ['POST /bodies HTTP/1.1', 'Content-Type: text/plain', 'Content-Length: 2'], 415],
    ['with an unsupported encoding', [...JSON_HEAD, 'Content-Encoding: br', 'Content-Length: 2'], 415],
    ['with an unknown path', ['POST /none HTTP/1.1', 'Content-Length: 2'], 404],
    ['with an unsupported method', ['PATCH /bodies HTTP/1.1', 'Content-Length: 2'], 405],
  ])('is not sent when the request is rejected: %s', async (_, head, status) => {
    const client = new Client([...head, 'Expect: 100-continue']);
    await client.expect(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    await client.expect(/\r\nconnection: close\r\n/i);
    client.close();
  });
});
