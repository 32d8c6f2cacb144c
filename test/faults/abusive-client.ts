import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN_KEY } from '../cli/stowage.js';

/** A raw HTTP client that keeps sending after the server has responded. */
export class AbusiveClient {
  received = '';
  private readonly socket: Socket;

  /** @param path relative to `url` @param headers lines of the form `Name: value` */
  constructor(url: string, method: string, path: string, headers: readonly string[]) {
    const { port, hostname, pathname } = new URL(url);
    this.socket = connect({ port: Number(port), host: hostname });
    this.socket.on('data', (data) => (this.received += data.toString()));
    this.socket.on('error', () => undefined);
    const lines = [`${method} ${pathname}${path} HTTP/1.1`, 'Host: test', `X-Api-Key: ${ADMIN_KEY}`, ...headers];
    this.socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  }

  get isClosed(): boolean {
    return this.socket.closed;
  }

  /** The status of the response; 0 before it arrives. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.received)?.[1] ?? 0);
  }

  write(bytes: string | Buffer): void {
    if (!this.isClosed) this.socket.write(bytes);
  }

  /** Sends `chunk` as fast as the server reads it, until `bytes` bytes are sent. @returns the number of bytes sent */
  async flood(chunk: Buffer, bytes: number): Promise<number> {
    const framed = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
    let sent = 0;
    while (sent < bytes && !this.isClosed) {
      this.socket.write(framed);
      sent += chunk.length;
      while (this.socket.writableNeedDrain) await sleep(1);
    }
    this.write('0\r\n\r\n');
    return sent;
  }

  /** Waits for a response. @returns its status; 0 if the connection closes or the time is over */
  async waitForStatus(withinMs: number): Promise<number> {
    for (const end = Date.now() + withinMs; this.status === 0 && !this.isClosed && Date.now() < end;) await sleep(10);
    return this.status;
  }

  close(): void {
    this.socket.destroy();
  }
}
