import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { constants, createGzip, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { startBodyApp } from './body-app.js';
import { expectProblem } from './expect-problem.js';

const MIB = 1024 * 1024;
const LIMIT = 2 * MIB;
const INFLATED_LIMIT = 256 * MIB;

/** The output of the program `zstd` for `BATCH`. */
const ZSTD_BATCH =
  'KLUv/QRoXQMAEsYUGHBvDpBGdS0DKBUhbPf/9V5//QQ2AVQ9Ie3a9VlKKGi7fpAgh1EQg8AsZ2p/ZTPfvlP0qOtXqvjt1UKPX7yeAZfSPpnZB8rrI0/r' +
  '7dFZGoYf/BUIADCKNyTdsiHAB4BcUPeE2uBnxQlr+v8x';
const BATCH = {
  batch_id: 'zstd',
  objects: [
    {
      object_id: 'zstd-1',
      data: [
        { key: 'type', value: 'shoe' },
        { key: 'size', value: '12345678901234567890' },
      ],
    },
    { object_id: 'zstd-2', data: [{ key: 'type', value: 'boot' }] },
  ],
};

const ZSTD_HEAD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x68]);

/** A Zstandard frame with one raw block: the content, not compressed. */
function zstdPlain(content: Buffer): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE(content.length * 8 + 1, 0, 3);
  return Buffer.concat([ZSTD_HEAD, header, content]);
}

/** A Zstandard frame of `blocks` run-length blocks, each four bytes for 128 KiB of line feeds. */
function zstdBomb(blocks: number): Buffer {
  return Buffer.concat([
    ZSTD_HEAD,
    ...Array.from({ length: blocks }, () => Buffer.from([2, 0, 16, 10])),
    Buffer.from([1, 0, 0]),
  ]);
}

/** The gzip of one repeated byte, `0` by default. */
function gzipBomb(bytes: number, byte = '0'): Promise<Buffer> {
  const piece = Buffer.alloc(MIB, byte);
  return collect(Readable.from(Array.from({ length: bytes / MIB }, () => piece)).pipe(createGzip()));
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

let bodies: Awaited<ReturnType<typeof startBodyApp>>;

beforeAll(async () => {
  bodies = await startBodyApp({ BODY_LIMIT_BYTES: String(LIMIT), INFLATED_LIMIT_BYTES: String(INFLATED_LIMIT) });
});
afterAll(() => bodies.app.close());

interface Sent extends Omit<Reply, 'json'> {
  /** The status of a valid request sent immediately after it, on the same connection. */
  nextStatus: number;
}

const NEXT =
  'POST /bodies HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}';

/** Sends a body and a second request, and only then reads the responses. An array is sent with chunked transfer encoding. */
async function send(
  method: 'POST' | 'PUT',
  type: string,
  encoding: string,
  body: Buffer | readonly Buffer[],
): Promise<Sent> {
  const length = Buffer.isBuffer(body) ? `Content-Length: ${String(body.length)}` : 'Transfer-Encoding: chunked';
  const head = [
    `${method} /bodies HTTP/1.1`,
    'Host: test',
    `Content-Type: ${type}`,
    `Content-Encoding: ${encoding}`,
    length,
  ];
  const socket = connect(Number(new URL(bodies.origin).port), '127.0.0.1');
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  if (Buffer.isBuffer(body)) socket.write(body);
  else
    for (const piece of body)
      socket.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
  socket.write(Buffer.isBuffer(body) ? NEXT : `0\r\n\r\n${NEXT}`);
  const [, first = '', next = ''] = (await text(socket)).split(/HTTP\/1\.1 (?=\d{3} )/);
  const [responseHead = '', responseText = ''] = first.split('\r\n\r\n');
  const headers = new Headers(
    responseHead
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(': ', 2) as [string, string]),
  );
  return { status: Number(first.slice(0, 3)), headers, text: responseText, nextStatus: Number(next.slice(0, 3)) };
}

const post = (encoding: string, body: Buffer | readonly Buffer[]): Promise<Sent> =>
  send('POST', 'application/json', encoding, body);
const put = (encoding: string, body: Buffer | readonly Buffer[]): Promise<Sent> =>
  send('PUT', 'application/x-ndjson', encoding, body);

/** Expects the problem, and that the connection serves the next request or is announced to end. Returns the detail. */
async function expectRejection(sent: Promise<Sent>, slug: Parameters<typeof expectProblem>[1]): Promise<string> {
  const reply = await sent;
  if (reply.headers.get('connection') !== 'close') expect(reply.nextStatus).toBe(201);
  return expectProblem(reply, slug).detail;
}

function pieces(body: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(body.length / size) }, (_, i) => body.subarray(i * size, (i + 1) * size));
}

describe('a compressed batch', () => {
  let api: TestApi;
  let project: TestProject;

  beforeAll(async () => {
    api = await TestApi.shared();
    project = await api.project();
  });
  afterAll(() => api.stop());

  const gzipped = gzipSync(JSON.stringify(BATCH));

  it.each<[string, Buffer]>([
    ['gzip', gzipped],
    ['x-gzip', gzipped],
    ['GZIP', gzipped],
    ['zstd', Buffer.from(ZSTD_BATCH, 'base64')],
    ['identity', Buffer.from(JSON.stringify(BATCH))],
  ])('is stored like an uncompressed batch: %s', async (encoding, body) => {
    const headers = { 'Content-Encoding': encoding };
    const posted = await api.call('POST', '/batches', { key: project.keys.producer, body, headers });
    expect([posted.status, posted.json()]).toEqual([201, expect.objectContaining({ object_count: 2 })]);
    expect((await api.call('GET', '/batches/zstd', { key: project.keys.analyst })).json()).toEqual(BATCH);
    expect((await api.call('DELETE', '/batches/zstd?cascade=true', { key: project.keys.admin })).status).toBe(204);
  });

  it('is accepted by every route that accepts a body', async () => {
    const headers = { 'Content-Encoding': 'gzip' };
    const { admin: key } = project.keys;
    const data = gzipSync('{"data":{"type":"hat"}}');
    await api.call('POST', '/batches', { key, body: gzipped, headers });
    expect((await api.call('PUT', '/objects/zstd-1', { key, body: data, headers })).status).toBe(200);
    const patch = { ...headers, 'Content-Type': 'application/merge-patch+json' };
    expect((await api.call('PATCH', '/objects/zstd-2', { key, body: data, headers: patch })).status).toBe(200);
    const object = gzipSync('{"batch_id":"zstd","object_id":"o","data":{}}');
    expect((await api.call('POST', '/objects', { key, body: object, headers })).status).toBe(201);
    const name = gzipSync('{"name":"zipped"}');
    expect((await api.call('POST', '/projects', { key: api.operatorKey, body: name, headers })).status).toBe(201);
  });

  it('is rejected with an unsupported or a second content coding, and Accept-Encoding lists the supported ones', async () => {
    for (const encoding of ['deflate', 'br', 'gzip, zstd', 'gzip,gzip', 'compress', 'nonsense']) {
      const body = deflateSync('{}');
      const headers = { 'Content-Encoding': encoding };
      const reply = await api.call('POST', '/batches', { key: project.keys.producer, body, headers });
      expectProblem(reply, 'unsupported-media-type');
      expect(reply.headers.get('accept-encoding')).toBe('gzip, zstd, identity');
    }
  });
});

describe('a compressed body', () => {
  const plain = Buffer.from(`${JSON.stringify(BATCH)}\n`.repeat(1000));

  it.each<[string, Buffer, Buffer]>([
    ['gzip', gzipSync(plain), plain],
    ['gzip', gzipSync(plain, { level: constants.Z_NO_COMPRESSION }), plain],
    ['gzip', Buffer.concat([gzipSync('{"a":'), gzipSync(''), gzipSync('1}')]), Buffer.from('{"a":1}')],
    ['zstd', Buffer.concat([zstdPlain(Buffer.from('{"a":')), zstdPlain(Buffer.from('1}'))]), Buffer.from('{"a":1}')],
    ['zstd', Buffer.from(ZSTD_BATCH, 'base64'), Buffer.from(JSON.stringify(BATCH))],
  ])('arrives complete, however it is split into chunks: %s', async (encoding, body, expected) => {
    const arrived = { bytes: expected.length, sha256: sha256(expected) };
    for (const sent of [body, pieces(body, 1000), [...pieces(body.subarray(0, 9), 1), body.subarray(9)]]) {
      expect(JSON.parse((await post(encoding, sent)).text)).toEqual(arrived);
      expect(JSON.parse((await put(encoding, sent)).text)).toEqual(arrived);
    }
  });

  const gzip = gzipSync(plain);
  const zstd = Buffer.from(ZSTD_BATCH, 'base64');
  const flipped = (data: Buffer, at: number): Buffer => {
    const copy = Buffer.from(data);
    copy[at] = (copy[at] ?? 0) ^ 0xff;
    return copy;
  };

  it.each<[string, string, Buffer]>([
    ['not compressed', 'gzip', plain],
    ['truncated', 'gzip', gzip.subarray(0, -12)],
    ['without its checksum', 'gzip', gzip.subarray(0, -8)],
    ['with a wrong checksum', 'gzip', flipped(gzip, gzip.length - 8)],
    ['damaged in the middle', 'gzip', flipped(gzip, gzip.length >> 1)],
    ['followed by text', 'gzip', Buffer.concat([gzip, Buffer.from('{"a":1}')])],
    ['followed by zeros', 'gzip', Buffer.concat([gzip, Buffer.alloc(10), Buffer.from('x')])],
    ['in zlib format', 'gzip', deflateSync(plain)],
    ['not compressed', 'zstd', plain],
    ['truncated', 'zstd', zstd.subarray(0, -12)],
    ['without its checksum', 'zstd', zstd.subarray(0, -4)],
    ['with a wrong checksum', 'zstd', flipped(zstd, zstd.length - 2)],
    ['damaged in the middle', 'zstd', flipped(zstd, zstd.length >> 1)],
    ['followed by text', 'zstd', Buffer.concat([zstd, Buffer.from('{"a":1}')])],
    ['a frame with a window over 8 MiB', 'zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x70, 1, 0, 0])],
    ['compressed with gzip', 'zstd', gzip],
  ])('is rejected when it is %s (%s), also as a stream', async (_, encoding, body) => {
    for (const sent of [body, pieces(body, 50)]) {
      const detail = `The body is not valid ${encoding}.`;
      expect(await expectRejection(post(encoding, sent), 'malformed-request')).toBe(detail);
      expect(await expectRejection(put(encoding, sent), 'malformed-request')).toBe(detail);
    }
  });
});

describe('a body that is large only after decompression', () => {
  /** The peak growth of the process's memory during the work, in bytes. */
  async function peakMemoryBytes(work: () => Promise<unknown>): Promise<number> {
    const before = process.memoryUsage().rss;
    let peak = before;
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 2);
    try {
      await work();
    } finally {
      clearInterval(timer);
    }
    return Math.max(peak, process.memoryUsage().rss) - before;
  }

  it('is accepted as JSON up to BODY_LIMIT_BYTES', async () => {
    const digits = Buffer.from(Array.from({ length: LIMIT / 8 }, (_, i) => String(i).padStart(8, '0')).join(''));
    // Half of it is one repeated byte, because raw blocks alone would exceed the limit before decompression.
    const blocks = Buffer.concat([
      zstdBomb(LIMIT / 2 / (128 * 1024)),
      ...pieces(digits.subarray(MIB), 128 * 1024).map(zstdPlain),
    ]);
    for (const [encoding, full, over] of [
      ['gzip', gzipSync(digits), gzipSync(Buffer.concat([digits, Buffer.from('1')]))],
      ['zstd', blocks, Buffer.concat([blocks, zstdPlain(Buffer.from('1'))])],
    ] as const) {
      expect(JSON.parse((await post(encoding, full)).text)).toMatchObject({ bytes: LIMIT });
      expect(expectProblem(await post(encoding, over), 'too-large').detail).toContain('BODY_LIMIT_BYTES');
    }
  });

  it('is accepted as JSON with any compression ratio up to 1 MiB, and with at most 200 above', async () => {
    for (const [encoding, full, over] of [
      ['gzip', gzipSync(Buffer.alloc(MIB, '1')), gzipSync(Buffer.alloc(MIB + 1, '1'))],
      ['zstd', zstdBomb(8), zstdBomb(9)],
    ] as const) {
      expect(JSON.parse((await post(encoding, full)).text)).toMatchObject({ bytes: MIB });
      expect(await expectRejection(post(encoding, over), 'too-large')).toContain('more than 200 times its size');
    }
  });

  it('is rejected with less than 150 MiB of memory: 1 MB of gzip for 1 GiB', async () => {
    const bomb = await gzipBomb(1024 * MIB);
    expect(await peakMemoryBytes(async () => expectProblem(await post('gzip', bomb), 'too-large'))).toBeLessThan(
      150 * MIB,
    );
    expect(await peakMemoryBytes(async () => expectProblem(await put('gzip', bomb), 'too-large'))).toBeLessThan(
      150 * MIB,
    );
  });

  it('is rejected if its compressed size exceeds the limit, even if it decompresses to nothing', async () => {
    const empty = gzipSync('');
    const body = Buffer.alloc(LIMIT + empty.length - (LIMIT % empty.length), empty);
    expect(expectProblem(await post('gzip', pieces(body, 64 * 1024)), 'too-large').detail).toContain(
      'BODY_LIMIT_BYTES',
    );
  });

  it('is rejected with less than 150 MiB of memory: 80 KB of zstd for 2.6 GB', async () => {
    const bomb = zstdBomb(20_000);
    expect(await peakMemoryBytes(() => expectRejection(post('zstd', bomb), 'too-large'))).toBeLessThan(150 * MIB);
    expect(await peakMemoryBytes(() => expectRejection(put('zstd', bomb), 'too-large'))).toBeLessThan(150 * MIB);
  });

  it('needs less than 150 MiB of memory for many frames with a large window each', async () => {
    const frame = Buffer.concat([ZSTD_HEAD, Buffer.from([1, 0, 0])]);
    const bomb = Buffer.alloc(200_000 - (200_000 % frame.length), frame);
    // The frames have no content, so only an empty body could be rejected.
    expect(await peakMemoryBytes(() => put('zstd', bomb))).toBeLessThan(150 * MIB);
  });

  it('is decompressed only once, and rejected if it was compressed twice', async () => {
    const twice = gzipSync(await gzipBomb(256 * MIB));
    expect(expectProblem(await post('gzip', twice), 'malformed-request').detail).toContain('compressed with gzip');
  });

  it('may decompress to any multiple of its size below 64 MiB, and to at most 200 times its size above', async () => {
    const small = await gzipBomb(60 * MIB, '\n');
    expect(JSON.parse((await put('gzip', small)).text)).toMatchObject({ bytes: 60 * MIB });
    const large = await gzipBomb(80 * MIB, '\n');
    expect(await expectRejection(put('gzip', large), 'too-large')).toContain('more than 200 times its size');
  });

  it('is rejected as NDJSON over INFLATED_LIMIT_BYTES', async () => {
    const even = zstdBomb(1000);
    // Every hundredth byte is not compressed, so the ratio stays below 200.
    const filler = zstdPlain(Buffer.alloc(8192, '\n'));
    const blocks = Buffer.concat([even.subarray(0, 6 + 40), Buffer.from([1, 0, 0]), filler]);
    const count = Math.ceil((INFLATED_LIMIT + MIB) / (10 * 128 * 1024));
    const detail = await expectRejection(
      put(
        'zstd',
        Array.from({ length: count }, () => blocks),
      ),
      'too-large',
    );
    expect(detail).toContain('INFLATED_LIMIT_BYTES');
  });

  it('has no size limit as an uncompressed stream', async () => {
    const piece = Buffer.alloc(MIB, '\n');
    const sent = await put(
      'identity',
      Array.from({ length: 20 }, () => piece),
    );
    expect(JSON.parse(sent.text)).toMatchObject({ bytes: 20 * MIB });
  });
});

describe('a stream that is rejected before its end', () => {
  const START = Buffer.from('{"STOP":1}\n');
  const encode = (encoding: string, data: Buffer): Buffer => {
    if (encoding === 'identity') return data;
    return encoding === 'gzip' ? gzipSync(data) : zstdPlain(data);
  };

  it.each(['identity', 'gzip', 'zstd'])('leaves the connection reusable: %s', async (encoding) => {
    const rest = Buffer.alloc(100_000, 'x');
    const reply = await put(encoding, Buffer.concat([START, rest, rest].map((part) => encode(encoding, part))));
    expectProblem(reply, 'invalid-body');
    expect([reply.headers.get('connection'), reply.nextStatus]).toEqual(['keep-alive', 201]);
  });

  // The rest may be long, so the server may end the connection. A client that does not know it would lose its next request.
  it.each(['identity', 'gzip', 'zstd'])(
    'announces the end of the connection without a length: %s',
    async (encoding) => {
      const socket = connect(Number(new URL(bodies.origin).port), '127.0.0.1');
      const head = [
        'PUT /bodies HTTP/1.1',
        'Host: test',
        'Content-Type: application/x-ndjson',
        `Content-Encoding: ${encoding}`,
      ];
      const start = encode(encoding, START);
      socket.write(`${[...head, 'Transfer-Encoding: chunked'].join('\r\n')}\r\n\r\n${start.length.toString(16)}\r\n`);
      socket.write(Buffer.concat([start, Buffer.from('\r\n')]));
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 [^]*\r\nconnection: close\r\n/i);
    },
  );
});
