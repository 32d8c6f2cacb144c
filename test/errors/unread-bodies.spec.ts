import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { startBodyApp } from './body-app.js';
import { expectProblem } from './expect-problem.js';

const KIB = 1024;
const MIB = KIB * KIB;
/** The bytes of a body that are read after a response, plus the buffers of a connection. */
const READ_BYTES_MAX = (256 + 3 * 64) * KIB;

let bodies: Awaited<ReturnType<typeof startBodyApp>>;
/** The server's side of the connections of a test. */
const accepted: Socket[] = [];

beforeAll(async () => {
  bodies = await startBodyApp({ BODY_LIMIT_BYTES: String(16 * MIB) });
  bodies.app.getHttpServer().on('connection', (socket: Socket) => accepted.push(socket));
});
afterEach(() => {
  for (const socket of accepted.splice(0)) socket.destroy();
});
afterAll(() => bodies.app.close());

const JSON_TYPE = 'Content-Type: application/json';
const LENGTH = `Content-Length: ${String(64 * MIB)}`;

/** Requests whose bodies the server does not need: the head and the status of the response. */
const UNNEEDED: [string, string[], number][] = [
  ['to an unknown path', ['POST /nowhere HTTP/1.1', JSON_TYPE, LENGTH], 404],
  ['to a path that cannot be decoded', ['POST /%zz HTTP/1.1', JSON_TYPE, LENGTH], 400],
  ['with an unsupported method', ['PATCH /bodies HTTP/1.1', JSON_TYPE, LENGTH], 405],
  ['to a route without a body', ['DELETE /bodies HTTP/1.1', JSON_TYPE, LENGTH], 200],
  ['with an unsupported media type', ['POST /bodies HTTP/1.1', 'Content-Type: text/plain', LENGTH], 415],
  ['over the limit by its Content-Length', ['POST /bodies HTTP/1.1', JSON_TYPE, LENGTH], 413],
  ['in chunks to an unknown path', ['POST /nowhere HTTP/1.1', JSON_TYPE, 'Transfer-Encoding: chunked'], 404],
  ['of a client that sends Connection: close', ['POST /nowhere HTTP/1.1', 'Connection: close', JSON_TYPE, LENGTH], 404],
  ['of a client of HTTP/1.0', ['POST /nowhere HTTP/1.0', JSON_TYPE, LENGTH], 404],
];

function open(head: readonly string[]): Socket {
  const socket = connect({ port: Number(new URL(bodies.origin).port), host: '127.0.0.1', allowHalfOpen: true });
  // A client that continues to send gets an error when the server closes the connection.
  socket.on('error', () => undefined);
  socket.write(`${head.join('\r\n')}\r\nHost: test\r\n\r\n`);
  return socket;
}

describe('a body that the server does not need', () => {
  it.each(UNNEEDED)('gets its response before it is sent: %s', async (_, head, status) => {
    const reply = await text(open(head));
    expect(reply).toMatch(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
    expect(reply).toMatch(/\r\nconnection: close\r\n/i);
  });

  it.each(UNNEEDED)(
    'is read to 256 KiB at most, and the response arrives while it is sent: %s',
    async (_, head, status) => {
      const socket = open(head);
      const piece = Buffer.alloc(64 * KIB, 'x');
      const chunk = Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')]);
      const body = head.includes(LENGTH) ? piece : chunk;
      Readable.from(Array.from({ length: (64 * MIB) / piece.length }, () => body)).pipe(socket);
      expect(await text(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${String(status)} `));
      if (!socket.closed) await once(socket, 'close');
      expect(accepted.map(({ bytesRead }) => bytesRead <= READ_BYTES_MAX)).toEqual([true]);
    },
  );

  it('does not prevent a node:http client from receiving the response while it sends', async () => {
    const sending = request(`${bodies.origin}/nowhere`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Content-Length': String(64 * MIB) },
    });
    const piece = Buffer.alloc(MIB, 'x');
    sending.on('error', () => undefined);
    Readable.from(Array.from({ length: 64 }, () => piece)).pipe(sending);
    const [response] = (await once(sending, 'response')) as [Readable & { statusCode: number }];
    expect(JSON.parse(await text(response))).toMatchObject({ status: 404 });
    sending.destroy();
  });

  it('does not prevent fetch from receiving the response', async () => {
    const response = await fetch(`${bodies.origin}/bodies`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.alloc(17 * MIB, 'x'),
    });
    expect([response.status, await response.json()]).toEqual([413, expect.objectContaining({ status: 413 })]);
  });

  it('leaves the connection reusable if it is short', async () => {
    const socket = open(['POST /nowhere HTTP/1.1', JSON_TYPE, 'Content-Length: 200000']);
    socket.write('x'.repeat(200_000));
    socket.write('GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n');
    expect((await text(socket)).match(/HTTP\/1\.1 404 /g)).toHaveLength(2);
  });

  it('leaves nothing on a connection that is reused', async () => {
    const socket = open(['POST /nowhere HTTP/1.1', JSON_TYPE, 'Content-Length: 200000']);
    await once(socket, 'data');
    const [connection] = accepted;
    expect(Object.keys(connection ?? {})).toContain('destroySoon');
    socket.write('x'.repeat(200_000));
    const isClean = () => !Object.keys(connection ?? {}).includes('destroySoon');
    for (let i = 0; i < 500 && !isClean(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(isClean()).toBe(true);
    socket.destroy();
  });
});

describe('a body that exceeds the limit while it arrives', () => {
  it('is rejected at that point, without Content-Length', async () => {
    const socket = open(['POST /bodies HTTP/1.1', JSON_TYPE, 'Transfer-Encoding: chunked']);
    const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, '1'), Buffer.from('\r\n')]);
    Readable.from(Array.from({ length: 64 }, () => piece)).pipe(socket);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 413 [^]*BODY_LIMIT_BYTES, 16777216 bytes/);
    const [{ bytesRead } = { bytesRead: 0 }] = accepted;
    expect(bytesRead).toBeLessThan(16 * MIB + 2 * READ_BYTES_MAX);
  });
});

describe('the body of a route with its own limit', () => {
  let api: TestApi;
  let project: TestProject;

  beforeAll(async () => {
    api = await TestApi.shared();
    project = await api.project();
  });
  afterAll(() => api.stop());

  it('is rejected if it exceeds that limit with its exponents written out', async () => {
    const data = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`n${String(i)}`, 0]));
    const body = JSON.stringify({ data }).replaceAll(':0', ':1e131071');
    const { producer } = project.keys;
    const reply = await api.call('PUT', '/objects/there', { key: producer, body });
    const { detail } = expectProblem(reply, 'too-large');
    expect(detail).toContain('object_limit_bytes, 1048576 bytes');
    const job = await submitJob(api, 'PUT', '/objects/there', { key: producer, body });
    const { status, problem } = await waitForJob(api, producer, job);
    expect([status, problem]).toEqual(['failed', expect.objectContaining({ status: 413, detail })]);
  });

  const ROUTES: [string, string, keyof TestProject['keys'] | 'operator', string, number][] = [
    ['POST', '/firmware', 'device', 'report_limit_bytes', 16 * KIB],
    ['POST', '/firmware/{device_id}', 'device', 'report_limit_bytes', 16 * KIB],
    ['POST', '/devices', 'admin', 'management_limit_bytes', 64 * KIB],
    ['PATCH', '/devices/{device_id}', 'operator', 'management_limit_bytes', 64 * KIB],
    ['POST', '/projects', 'operator', 'management_limit_bytes', 64 * KIB],
    ['POST', '/projects/{project_id}/keys', 'admin', 'management_limit_bytes', 64 * KIB],
    ['POST', '/objects', 'producer', 'object_limit_bytes', MIB],
    ['PUT', '/objects/there', 'producer', 'object_limit_bytes', MIB],
    ['PATCH', '/objects/there', 'producer', 'object_limit_bytes', MIB],
    ['PUT', '/sprockets/there', 'producer', 'object_limit_bytes', MIB],
  ];

  it.each(ROUTES)(
    'is rejected above that limit, by Content-Length and in chunks: %s %s',
    async (method, path, role, name, bytes) => {
      const url = path.replace('{device_id}', project.deviceId).replace('{project_id}', String(project.projectId));
      const key = role === 'operator' ? api.operatorKey : project.keys[role];
      const patch = path.startsWith('/objects') && method === 'PATCH';
      const headers = { 'Content-Type': patch ? 'application/merge-patch+json' : 'application/json' };
      const call = (body: string | ReadableStream) =>
        fetch(`${api.origin}/api/v1${url}`, {
          method,
          headers: { ...headers, 'X-Api-Key': key },
          body,
          duplex: 'half',
        });
      const send = async (body: string | ReadableStream) => {
        const response = await call(body);
        return { status: response.status, headers: response.headers, text: await response.text() };
      };
      const full = `[${' '.repeat(bytes - 2)}]`;
      expect([await send(full)]).not.toEqual([expect.objectContaining({ status: 413 })]);
      for (const body of [`${full} `, ReadableStream.from([Buffer.from(full), Buffer.from(' ')])]) {
        const { detail } = expectProblem(await send(body as string), 'too-large');
        expect(detail).toBe(`The body exceeds ${name}, ${String(bytes)} bytes; see /api/v1/limits.`);
      }
    },
  );
});
