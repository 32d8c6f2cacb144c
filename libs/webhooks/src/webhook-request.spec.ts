import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Authority } from '../../../test/harness/certificates.js';
import { PublicAddresses } from './public-address.js';
import { sendWebhook, type WebhookOutcome } from './webhook-request.js';

const SECRET = `whsec_${Buffer.from('a secret of the tests, 32 bytes.').toString('base64')}`;

let receiver: Server;
let sockets: Socket[];
/** What the receiver does when the request has arrived. */
let respond: (socket: Socket) => void;

beforeEach(async () => {
  sockets = [];
  receiver = createServer((socket) => {
    sockets.push(socket);
    socket
      .on('error', () => undefined)
      .once('data', () => {
        respond(socket);
      });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  receiver.close();
  await once(receiver, 'close');
});

function send(stopping = new AbortController().signal, timeoutMs?: number): Promise<WebhookOutcome> {
  return sendTo(urlOf('http'), stopping, timeoutMs);
}

function urlOf(scheme: string): string {
  return `${scheme}://127.0.0.1:${String((receiver.address() as AddressInfo).port)}/hook`;
}

function sendTo(url: string, stopping = new AbortController().signal, timeoutMs?: number): Promise<WebhookOutcome> {
  return sendWebhook(
    { id: 'msg_1', url, secret: SECRET, body: '{}' },
    new PublicAddresses(['127.0.0.1']),
    stopping,
    timeoutMs,
  );
}

describe('the attempt to send a webhook ends', () => {
  it.each(['Connection: upgrade\r\nUpgrade: websocket\r\n', ''])(
    'with the status where the receiver switches protocols (%j), and closes the connection',
    async (headers) => {
      respond = (socket) => socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`);
      expect(await send()).toEqual({ status: 101, error: null });
      const [socket] = sockets;
      if (socket?.closed === false) await once(socket.resume(), 'close');
    },
  );

  it('in time where the receiver sends only informational responses', async () => {
    respond = (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n');
    expect(await send(undefined, 100)).toEqual({ status: null, error: 'no response within 0.1 seconds' });
  });

  it.each(['', 'HTTP/1.1 2', 'HTTP/1.1 200 OK\r\nA: b\r\n'])(
    'with an error where the receiver closes the connection after %j',
    async (start) => {
      respond = (socket) => socket.end(start);
      expect(await send()).toEqual({
        status: null,
        error: expect.stringMatching(/^the re(ceiver|sponse) .* \([A-Z_]+\)$/),
      });
    },
  );

  it('with an error where the response is not HTTP', async () => {
    respond = (socket) => socket.end('220 ready\r\n');
    expect(await send()).toEqual({
      status: null,
      error: 'the response of the receiver is not HTTP (HPE_INVALID_CONSTANT)',
    });
  });

  it.each([
    ['https', 'the TLS handshake with the receiver failed (EPROTO)'],
    ['http', 'the receiver refuses connections (ECONNREFUSED)'],
  ])('with a sentence where %s is of no use', async (scheme, error) => {
    respond = (socket) => socket.end('220 ready\r\n');
    const url = urlOf(scheme);
    if (scheme === 'http') {
      receiver.close();
      await once(receiver, 'close');
    }
    expect(await sendTo(url)).toEqual({ status: null, error });
    if (scheme === 'http') receiver.listen(0, '127.0.0.1');
  });

  it('with a sentence where the certificate is not trusted', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-webhooks-'));
    const authority = await Authority.create(folder, 'unknown');
    const { certFile, keyFile } = await authority.issue('receiver', 'IP:127.0.0.1');
    const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
    const secure = createTlsServer({ cert, key }).listen(0, '127.0.0.1');
    await once(secure, 'listening');
    const error = 'the certificate of the receiver is not trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)';
    const { port } = secure.address() as AddressInfo;
    expect(await sendTo(`https://127.0.0.1:${String(port)}/`)).toEqual({ status: null, error });
    secure.close();
    await rm(folder, { recursive: true });
  });

  it('without a warning of Node on standard error, however many requests are sent at a time', async () => {
    respond = (socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n');
    const message = { id: 'msg_1', url: urlOf('http'), secret: SECRET, body: '{}' };
    // Jest keeps the warnings of its own process from tests.
    const script = `
      import { PublicAddresses } from './dist/libs/webhooks/src/public-address.js';
      import { sendWebhook } from './dist/libs/webhooks/src/webhook-request.js';
      const { signal } = new AbortController();
      const addresses = new PublicAddresses(['127.0.0.1']);
      const send = () => sendWebhook(${JSON.stringify(message)}, addresses, signal);
      const outcomes = await Promise.all(Array.from({ length: 20 }, send));
      console.log(outcomes.filter(({ status }) => status === 204).length);`;
    const ended = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(ended).toEqual({ stdout: '20\n', stderr: '' });
  });

  it('when the server stops, before the request or during it', async () => {
    const stopping = new AbortController();
    respond = () => {
      stopping.abort();
    };
    const ended = { status: null, error: 'no response within 10 seconds' };
    expect(await send(stopping.signal)).toEqual(ended);
    expect(await send(stopping.signal)).toEqual(ended);
  });
});
