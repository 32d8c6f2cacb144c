import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Webhook } from 'standardwebhooks';
import { AlertWebhook, type WebhookTimes } from './alert-webhook.js';

const SECRET = `whsec_${Buffer.from('a secret of the tests, 32 bytes.').toString('base64')}`;
const TIMES: WebhookTimes = { timeoutMs: 5_000, retryAfterMs: [1, 1], stopWithinMs: 5_000 };

interface Received {
  path: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

let server: Server;
let url: string;
let received: Received[];
/** Responds to the requests in turn; later ones get 204. */
let responses: ((response: ServerResponse) => void)[];
let arrived: () => void;

beforeAll(() => {
  Logger.overrideLogger(false);
});
afterAll(() => {
  Logger.overrideLogger(true);
});
beforeEach(async () => {
  received = [];
  responses = [];
  arrived = () => undefined;
  server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ path: request.url, headers: request.headers, body });
      const respond = responses.shift() ?? ((one: ServerResponse) => one.writeHead(204).end());
      respond(response);
      arrived();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/alerts?token=t`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const status =
  (code: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void => {
    response.writeHead(code, headers).end('a body that is not read');
  };

/** The next request, after those that have arrived. */
function nextRequest(): Promise<void> {
  return new Promise((resolve) => (arrived = resolve));
}

/** Sends alerts and waits until all attempts have ended. */
async function sendAll(webhook: AlertWebhook, alerts: object[], requests: number): Promise<void> {
  for (const alert of alerts) webhook.send('e', alert);
  while (received.length < requests) await nextRequest();
  await webhook.stop();
}

/** The numbers of the alerts that have arrived, and their ids. */
const numbers = (): number[] => received.map(({ body }) => (JSON.parse(body) as { data: { n: number } }).data.n);
const ids = (): unknown[] => received.map(({ headers }) => headers['webhook-id']);

it('sends an alert as JSON with a time, signed as the library of Standard Webhooks verifies it', async () => {
  await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ text: 'ü' }], 1);
  const [request] = received;
  expect(request?.path).toBe('/alerts?token=t');
  expect(request?.headers['content-type']).toBe('application/json');
  const headers = request?.headers as Record<string, string>;
  const body = new Webhook(SECRET).verify(request?.body ?? '', headers) as { timestamp: string };
  expect(body).toEqual({ type: 'e', timestamp: expect.any(String), data: { text: 'ü' } });
  expect(ids()).toEqual([expect.stringMatching(/^msg_[0-9a-f-]{36}$/)]);
  expect(Math.abs(Date.now() - Date.parse(body.timestamp))).toBeLessThan(60_000);
});

it.each([500, 503, 429, 408])(
  'sends an alert again after status %i, with the same id, and then the next one',
  async (code) => {
    responses = [status(code), status(code)];
    await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ n: 1 }, { n: 2 }], 4);
    expect(numbers()).toEqual([1, 1, 1, 2]);
    expect(new Set(ids()).size).toBe(2);
  },
);

it('gives up after the last retry, and sends the next alert', async () => {
  responses = [status(500), status(500), status(500)];
  await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ n: 1 }, { n: 2 }], 4);
  expect(numbers()).toEqual([1, 1, 1, 2]);
});

it.each([400, 404])('does not send an alert again after status %i', async (code) => {
  responses = [status(code)];
  await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ n: 1 }, { n: 2 }], 2);
  expect(numbers()).toEqual([1, 2]);
});

it.each([301, 302, 307, 308])('does not follow the redirect %i', async (code) => {
  responses = [status(code, { Location: `${new URL(url).origin}/elsewhere` })];
  await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ n: 1 }, { n: 2 }], 2);
  expect(received.map(({ path }) => path)).toEqual(['/alerts?token=t', '/alerts?token=t']);
});

it('tries again where the receiver does not respond in time, and where it cannot be reached', async () => {
  // It never responds to the first attempt, and closes the connection of the second.
  responses = [() => undefined, (response) => response.destroy()];
  const webhook = new AlertWebhook(url, SECRET, { ...TIMES, timeoutMs: 50 });
  webhook.send('e', { n: 1 });
  while (received.length < 3) await nextRequest();
  await webhook.stop();
  expect(new Set(ids()).size).toBe(1);
});

it('takes a change of the protocol (101) as a failure: it closes the connection, tries again, and sends the next alert', async () => {
  const sockets: Socket[] = [];
  const switchProtocols = (response: ServerResponse): void => {
    const { socket } = response;
    if (socket === null) throw new Error('the connection is closed');
    sockets.push(socket);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  };
  responses = [switchProtocols, switchProtocols, switchProtocols];
  await sendAll(new AlertWebhook(url, SECRET, TIMES), [{ n: 1 }, { n: 2 }], 4);
  expect(numbers()).toEqual([1, 1, 1, 2]);
  expect(sockets).toHaveLength(3);
  for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
});

it('stops: without waiting for retries, and without waiting for long for a receiver that hangs', async () => {
  responses = [status(500)];
  const patient = new AlertWebhook(url, SECRET, { ...TIMES, retryAfterMs: [3_600_000], stopWithinMs: 1 });
  patient.send('e', { n: 1 });
  await nextRequest();
  await patient.stop();

  responses = [() => undefined];
  const hanging = new AlertWebhook(url, SECRET, { ...TIMES, timeoutMs: 3_600_000, stopWithinMs: 1 });
  hanging.send('e', { n: 2 });
  await nextRequest();
  await hanging.stop();
  expect(received).toHaveLength(2);
});

it('holds at most 1,000 alerts', async () => {
  let finish: (() => void) | undefined;
  responses = [(response) => (finish = () => void response.writeHead(204).end())];
  const webhook = new AlertWebhook(url, SECRET, TIMES);
  for (let n = 0; n < 1_100; n++) webhook.send('e', { n });
  while (finish === undefined) await nextRequest();
  finish();
  while (received.length < 1_000) await nextRequest();
  await webhook.stop();
  expect(numbers()).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
});
