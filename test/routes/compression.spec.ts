import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { kindOf } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

/** A response whose body is not decompressed, which `fetch` would do. */
interface RawReply {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
}

async function send(method: string, path: string, headers: Record<string, string> = {}): Promise<RawReply> {
  const url = path.startsWith('http') ? path : `${api.origin}/api/v1${path}`;
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      url,
      { method, headers: { 'X-Api-Key': project.keys.admin, ...headers } },
      (response) => {
        const { statusCode = 0 } = response;
        buffer(response).then((bytes) => {
          resolve({ status: statusCode, headers: response.headers, bytes });
        }, reject);
      },
    );
    request.on('error', reject);
    request.end();
  });
}

const GZIP = { 'Accept-Encoding': 'gzip' };

/** The content codings that this Node.js can compress, and how a client reads them; zstd since 22.15. */
const CODINGS: [coding: string, decompress: (bytes: Buffer) => Buffer][] = [['gzip', zlib.gunzipSync]];
const { zstdDecompressSync } = zlib as typeof zlib & { zstdDecompressSync?: (bytes: Buffer) => Buffer };
if (zstdDecompressSync !== undefined) CODINGS.push(['zstd', zstdDecompressSync]);
const BEST = CODINGS.at(-1)?.[0];
const plain = (path: string, headers = {}): Promise<RawReply> => send('GET', path, headers);
const gzipped = (path: string, headers = {}): Promise<RawReply> => send('GET', path, { ...GZIP, ...headers });
const change = (method: string, path: string, headers: object, body?: unknown): Promise<Reply> =>
  api.call(method, path, { key: project.keys.admin, body, headers: { ...headers } });

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const { producer: key } = project.keys;
  const post = async (batch_id: string, objects: object[]): Promise<void> => {
    const reply = await api.call('POST', '/batches', { key, body: { batch_id, objects } });
    if (reply.status !== 201) throw new Error(reply.text);
  };
  const objects = Array.from({ length: 1_500 }, (_, n) => ({
    object_id: `o${String(n)}`,
    data: { n, text: `text ${String(n * 7919)}`.repeat(20) },
  }));
  await post('many', objects);
  await post('single', [
    { object_id: 'long', data: { text: 'x'.repeat(1_200) } },
    { object_id: 'short', data: { text: 'x' } },
  ]);
});
afterAll(() => api.stop());

/** Responses of each kind: text, text whose memory is counted, and streams. */
const LONG = [
  '/objects?batch_id=many',
  '/objects?batch_id=many&page_size=1000',
  '/objects/long',
  '/batches/single',
  '/batches/many',
  '/batches?batch_id=many&include=objects',
  '/objects/export',
];

describe.each(LONG)('GET %s', (path) => {
  it.each(CODINGS)('is compressed for a client that accepts %s', async (coding, decompress) => {
    const [expected, reply] = [await plain(path), await plain(path, { 'Accept-Encoding': coding })];
    expect([expected.status, expected.headers['content-encoding']]).toEqual([200, undefined]);
    expect([reply.status, reply.headers['content-encoding']]).toEqual([200, coding]);
    expect(decompress(reply.bytes).equals(expected.bytes)).toBe(true);
    expect(reply.bytes.length).toBeLessThan(expected.bytes.length);
    expect(reply.headers['content-type']).toBe(expected.headers['content-type']);
    const { 'content-length': length = String(reply.bytes.length) } = reply.headers;
    expect(length).toBe(String(reply.bytes.length));
  });

  it.each([
    ['zstd', BEST === 'zstd' ? 'zstd' : undefined],
    ['gzip, deflate, br, zstd', BEST],
    ['zstd;q=0.5, gzip', 'gzip'],
  ])('has for Accept-Encoding: %s the coding %s, which is zstd only where Node.js has it', async (accepted, coding) => {
    const { status, headers } = await plain(path, { 'Accept-Encoding': accepted });
    expect([status, headers['content-encoding']]).toEqual([200, coding]);
  });

  it('has Vary: Accept-Encoding, compressed or not', async () => {
    for (const { headers } of [await plain(path), await gzipped(path)]) {
      expect(headers.vary?.split(', ').filter((name) => name !== 'Accept')).toEqual(['Accept-Encoding']);
    }
  });

  it.each(['identity', 'gzip;q=0', 'br', 'deflate', 'identity, gzip;q=0.5', ''])(
    'is not compressed for Accept-Encoding: %s',
    async (accepted) => {
      const { status, headers } = await plain(path, { 'Accept-Encoding': accepted });
      expect([status, headers['content-encoding']]).toEqual([200, undefined]);
    },
  );
});

describe('a response', () => {
  it.each(['/objects/short', '/objects?batch_id=none', '/batches?batch_id=many', '/me'])(
    'of at most 1 KB is not compressed: %s',
    async (path) => {
      const { status, headers } = await gzipped(path);
      expect([status, headers['content-encoding'], headers.vary]).toEqual([200, undefined, undefined]);
    },
  );

  it('of a search is compressed, because it only reads', async () => {
    const reply = await change('POST', '/objects/search', GZIP, { batch_id: 'single' });
    expect([reply.status, reply.headers.get('content-encoding')]).toEqual([200, 'gzip']);
    expect(reply.json()).toMatchObject({ count: 2 });
  });

  it('that contains a key is not compressed', async () => {
    const path = `/projects/${String(project.projectId)}/keys`;
    const reply = await change('POST', path, GZIP, { name: '👢'.repeat(255), role: 'analyst' });
    expect([reply.status, reply.headers.get('content-encoding')]).toEqual([201, null]);
    expect(Buffer.byteLength(reply.text)).toBeGreaterThan(1_024);
  });

  it('that is an error is not compressed', async () => {
    const reply = await gzipped(`/objects?${Array.from({ length: 50 }, (_, n) => `unknown${String(n)}=1`).join('&')}`);
    expect([reply.status, reply.headers['content-encoding'], reply.bytes.length > 1_024]).toEqual([
      400,
      undefined,
      true,
    ]);
  });

  it('that is compressed already is not compressed again', async () => {
    const reply = await gzipped(`${api.origin}/openapi.json`);
    expect(reply.headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(zlib.gunzipSync(reply.bytes).toString('utf8'))).toMatchObject({ openapi: '3.1.0' });
  });
});

describe('HEAD', () => {
  it.each(LONG)('has the headers of GET, compressed or not, and no content: %s', async (path) => {
    for (const headers of [{}, GZIP]) {
      const [get, head] = [await send('GET', path, headers), await send('HEAD', path, headers)];
      expect([head.status, head.bytes.length]).toEqual([200, 0]);
      for (const name of ['content-encoding', 'etag', 'vary', 'content-type'] as const) {
        expect([name, head.headers[name]]).toEqual([name, get.headers[name]]);
      }
      const length = head.headers['content-length'];
      if (length !== undefined) expect(length).toBe(String(get.bytes.length));
    }
  });
});

describe('the ETag of a compressed response', () => {
  it.each(LONG.filter((path) => !path.includes('export')))('differs from that of the other form: %s', async (path) => {
    const { etag } = (await plain(path)).headers;
    expect(etag).toMatch(/^"[\w-]+"$/);
    for (const [coding] of [...CODINGS, ...CODINGS]) {
      const { headers } = await plain(path, { 'Accept-Encoding': coding });
      expect(headers.etag).toBe(etag?.replace(/"$/, `.${coding}"`));
    }
  });

  it.each(LONG.filter((path) => !path.includes('export')))('is 304 for its own form only: %s', async (path) => {
    const forms = [{}, ...CODINGS.map(([coding]) => ({ 'Accept-Encoding': coding }))];
    const etags: string[] = [];
    for (const headers of forms) etags.push((await plain(path, headers)).headers.etag ?? '');
    for (const [index, headers] of forms.entries()) {
      const own = etags[index];
      for (const etag of etags) {
        for (const known of [etag, `W/${etag}`]) {
          const reply = await send('GET', path, { ...headers, 'If-None-Match': known });
          expect(reply.status).toBe(etag === own ? 304 : 200);
          expect(reply.headers.etag).toBe(own);
          expect(reply.headers.vary).toContain('Accept-Encoding');
          if (reply.status === 304)
            expect([reply.headers['content-encoding'], reply.bytes.length]).toEqual([undefined, 0]);
        }
      }
    }
  });

  it.each([
    ['PUT', '/objects/long', {}, { data: { text: 'y'.repeat(1_200) } }],
    ['PATCH', '/objects/long', { 'Content-Type': 'application/merge-patch+json' }, { data: { n: 1 } }],
    [
      'PUT',
      '/batches/many?on_conflict=replace',
      {},
      { objects: Array.from({ length: 100 }, (_, n) => ({ data: { n } })) },
    ],
    ['DELETE', '/objects/long', {}, undefined],
    ['DELETE', '/batches/many?cascade=true', {}, undefined],
  ])('works in If-Match and If-None-Match of %s %s', async (method, path, headers, body) => {
    const [resource = ''] = path.split('?');
    const { etag = '' } = (await gzipped(resource)).headers;
    expect(etag).toMatch(/\.gzip"$/);
    // Another server of the same version may have sent the form that this Node.js cannot write.
    const zstdTag = etag.replace('.gzip', '.zstd');
    const refused = [
      await change(method, path, { ...headers, 'If-None-Match': etag }, body),
      await change(method, path, { ...headers, 'If-None-Match': zstdTag }, body),
      await change(method, path, { ...headers, 'If-Match': `W/${etag}` }, body),
      await change(method, path, { ...headers, 'If-Match': '"other.gzip"' }, body),
    ];
    expect(refused.map(kindOf)).toEqual(refused.map(() => '412 precondition-failed'));
    const changed = await change(method, path, { ...headers, 'If-Match': `"other", ${zstdTag}` }, body);
    expect(changed.status).toBeLessThan(300);
    const again = await change(method, path, { ...headers, 'If-Match': etag }, body);
    expect(again.status).toBe(method === 'DELETE' ? 404 : 412);
  });
});
