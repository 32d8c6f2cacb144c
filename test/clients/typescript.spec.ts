import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LosslessNumber, parse, stringify } from 'lossless-json';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { StowageClient, StowageError, UploadProgress } from '../../clients/typescript/src/index.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { BrowserRequest } from './browser-request.js';
import { packClient, type PackedClient } from './pack-client.js';

let api: TestApi;
let packed: PackedClient;
let project: TestProject;
let client: StowageClient;

beforeAll(async () => {
  api = await TestApi.shared();
  packed = await packClient();
});
afterAll(async () => {
  await packed.remove();
  await api.stop();
});
beforeEach(async () => {
  project = await api.project();
  client = clientWith(project.keys.admin);
});

function clientWith(key: string | undefined, options: object = {}): StowageClient {
  return new packed.client.StowageClient({
    baseUrl: api.origin,
    ...(key === undefined ? {} : { key }),
    ...options,
  });
}

/** The error that a promise rejects with. */
async function errorOf(promise: Promise<unknown>): Promise<StowageError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof packed.client.StowageError)) throw new Error('no StowageError was thrown', { cause: error });
  return error;
}

/** Objects whose ids are in the order of the batch. */
function* numbered(count: number): Generator<{ object_id: string; data: { n: number } }> {
  for (let n = 0; n < count; n++) yield { object_id: `o${String(n).padStart(6, '0')}`, data: { n } };
}

async function* delayed<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item);
}

async function countOf(batchId: string): Promise<number> {
  const { data } = await client.GET('/api/v1/objects', { params: { query: { batch_id: batchId, page_size: 1 } } });
  return data.count ?? NaN;
}

describe('the package', () => {
  it('contains the compiled files with their types, and nothing else', () => {
    const modules = ['client', 'errors', 'index', 'json', 'pages', 'retry', 'schema', 'upload', 'xhr'];
    const compiled = modules.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]);
    expect(packed.files.sort()).toEqual(['LICENSE', 'README.md', ...compiled, 'package.json'].sort());
  });
});

describe('the README', () => {
  it('shows a program that works, and what it prints', async () => {
    const page = await readFile('clients/typescript/README.md', 'utf8');
    const blocksOf = (language: string): string =>
      Array.from(page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')), ([, block]) => block).join('');
    const program = join(packed.folder, 'program.mjs');
    await writeFile(program, blocksOf('js'));
    const env = { PATH: process.env.PATH, URL: api.origin, KEY: project.keys.admin };
    const { stdout } = await promisify(execFile)(process.execPath, [program], { env });
    expect(stdout).toBe(blocksOf('text'));
  });
});

describe('a request', () => {
  it('returns the data of a successful response', async () => {
    const { data: batch, response } = await client.POST('/api/v1/batches', {
      body: { batch_id: 'shoes', objects: [{ object_id: 'shoe 1/2', data: { type: 'shoe', box: { width: 30 } } }] },
    });
    expect([response.status, batch]).toMatchObject([201, { batch_id: 'shoes', object_count: 1 }]);
    const { data: object } = await client.GET('/api/v1/objects/{object_id}', {
      params: { path: { object_id: 'shoe 1/2' } },
    });
    expect(object.data[0]).toEqual({ key: 'type', value: 'shoe' });
    const { data: nothing } = await client.DELETE('/api/v1/objects/{object_id}', {
      params: { path: { object_id: 'shoe 1/2' } },
    });
    expect(nothing).toBeUndefined();
  });

  it('throws the problem of an error response, with the places of its errors', async () => {
    const body = { batch_id: 'shoes', objects: [{ data: { a: 1 } }, {} as never] };
    const invalid = await errorOf(client.POST('/api/v1/batches', { body }));
    expect([invalid.slug, invalid.status, invalid.errors]).toEqual([
      'invalid-body',
      400,
      [{ pointer: '/objects/1/data', detail: 'is missing' }],
    ]);
    expect(invalid.message).toBe(`${invalid.problem.title}: ${invalid.problem.detail}`);
    expect(invalid.problem.request_id).toBe(invalid.response?.headers.get('X-Request-Id'));
    const missing = await errorOf(
      client.GET('/api/v1/objects/{object_id}', { params: { path: { object_id: 'none' } } }),
    );
    expect([missing.slug, missing.status, missing.errors]).toEqual(['not-found', 404, []]);
  });

  it('does not compile with another path or without its parameters', () => {
    // Not called: only its types are checked, by `npm run types`.
    const _ = async (): Promise<void> => {
      // @ts-expect-error -- no such path
      await client.GET('/api/v1/none', {});
      // @ts-expect-error -- no object_id
      await client.GET('/api/v1/objects/{object_id}');
      // @ts-expect-error -- no list
      client.list('/api/v1/limits', {});
    };
  });

  it('without a key reads only what is open', async () => {
    const open = clientWith(undefined);
    expect((await open.GET('/api/v1/limits')).data.page_size).toBeGreaterThan(0);
    expect((await errorOf(open.GET('/api/v1/objects'))).slug).toBe('unauthenticated');
  });

  it('returns the headers of what a GET request would return', async () => {
    await client.uploadBatch('b', numbered(3));
    const params = { path: { batch_id: 'b' } };
    const { data, response } = await client.HEAD('/api/v1/batches/{batch_id}', { params });
    const { response: whole } = await client.GET('/api/v1/batches/{batch_id}', { params });
    expect([data, response.headers.get('ETag')]).toEqual([undefined, whole.headers.get('ETag')]);
    const missing = { path: { batch_id: 'none' } };
    expect((await errorOf(client.HEAD('/api/v1/batches/{batch_id}', { params: missing }))).status).toBe(404);
  });

  it('keeps all digits of numbers with another parser', async () => {
    const digits = '12345678901234567890.10';
    const exact = clientWith(project.keys.admin, { json: { parse, stringify } });
    const n = new LosslessNumber(digits) as unknown as number;
    await exact.POST('/api/v1/batches', { body: { batch_id: 'b', objects: [{ object_id: 'a', data: { n } }] } });
    await exact.uploadBatch('c', [{ object_id: 'd', data: { n } }]);
    for (const id of ['a', 'd']) {
      const params = { path: { object_id: id } };
      const { data } = await exact.GET('/api/v1/objects/{object_id}', { params });
      expect(stringify(data)).toContain(`"value":${digits}`);
    }
  });

  it('throws an error of the same class where there is no response, or only a part of one', async () => {
    const away = await errorOf(clientWith('key', { baseUrl: 'http://127.0.0.1:1' }).GET('/api/v1/objects'));
    expect([away.status, away.slug, away.response]).toEqual([0, '', undefined]);
    expect([away.message, String(away.cause)]).toEqual([
      expect.stringContaining('127.0.0.1:1'),
      'TypeError: fetch failed',
    ]);
    const cut = new ReadableStream({
      pull(controller) {
        controller.error(new TypeError('terminated'));
      },
    });
    const partial = clientWith('key', { fetch: () => Promise.resolve(new Response(cut)) });
    expect((await errorOf(partial.GET('/api/v1/objects'))).status).toBe(0);
  });

  it('throws the reason of its signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(client.GET('/api/v1/objects', { signal })).rejects.toThrow('enough');
  });

  it('throws the status of a response that is not from the server, such as that of a proxy', async () => {
    const html = { status: 502, statusText: 'Bad Gateway', headers: { 'Content-Type': 'text/html' } };
    const proxied = clientWith('key', { fetch: () => Promise.resolve(new Response('<p>Bad</p>', html)) });
    const error = await errorOf(proxied.GET('/api/v1/objects'));
    expect([error.status, error.slug, error.message]).toEqual([502, '', 'Bad Gateway']);
  });
});

describe('a request that the server rejects with 429 or 503', () => {
  /** A client for which the server is busy at the first `count` requests. */
  function busyClient(
    count: number,
    retryAfter: string,
    options: object = {},
  ): { client: StowageClient; sent: string[] } {
    const sent: string[] = [];
    const fetch = async (request: Request): Promise<Response> => {
      sent.push(await request.clone().text());
      if (sent.length > count) return globalThis.fetch(request);
      return new Response('', { status: sent.length % 2 === 0 ? 429 : 503, headers: { 'Retry-After': retryAfter } });
    };
    return { client: clientWith(project.keys.admin, { fetch, ...options }), sent };
  }

  it('is repeated with its body where it is idempotent', async () => {
    const { client: put, sent } = busyClient(3, '0');
    const { data } = await put.PUT('/api/v1/batches/{batch_id}', {
      params: { path: { batch_id: 'b' } },
      body: { objects: [{ data: { a: 1 } }] },
    });
    expect([data, sent]).toMatchObject([{ batch_id: 'b' }, Array(4).fill('{"objects":[{"data":{"a":1}}]}')]);
    const { client: post, sent: posted } = busyClient(1, '0');
    const header = { 'Idempotency-Key': 'k' };
    await post.POST('/api/v1/batches', { params: { header }, body: { batch_id: 'c', objects: [] } });
    expect(posted).toHaveLength(2);
  });

  it.each<[string, number, string, object]>([
    ['after the number of retries', 2, '0', { retries: 1 }],
    ['where the wait is longer than two minutes', 1, '3600', {}],
    ['without Retry-After', 1, '', {}],
  ])('is not repeated %s', async (_, count, retryAfter, options) => {
    const { client: busy, sent } = busyClient(count, retryAfter, options);
    const error = await errorOf(busy.GET('/api/v1/objects'));
    expect([error.status, sent.length]).toEqual([count === 1 ? 503 : 429, count]);
  });

  it('is not repeated where it could be executed twice', async () => {
    const { client: busy, sent } = busyClient(1, '0');
    expect((await errorOf(busy.POST('/api/v1/batches', { body: { batch_id: 'b', objects: [] } }))).status).toBe(503);
    expect(sent).toHaveLength(1);
  });

  it('waits no longer than its signal', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const fetch = (): Promise<Response> => {
      setImmediate(() => {
        controller.abort(reason);
      });
      return Promise.resolve(new Response('', { status: 503, headers: { 'Retry-After': '100' } }));
    };
    const request = clientWith('key', { fetch }).GET('/api/v1/objects', { signal: controller.signal });
    await expect(request).rejects.toBe(reason);
  });
});

describe('a list', () => {
  beforeEach(async () => {
    await client.POST('/api/v1/batches', { body: { batch_id: 'b', objects: [...numbered(25)] } });
  });

  it('is followed to its last page', async () => {
    const init = { params: { query: { page_size: 10, sort: 'object_id', data: '{"n":{"$gte":2}}' } } };
    const ids: string[] = [];
    for await (const object of client.list('/api/v1/objects', init)) ids.push(object.object_id);
    expect(ids).toEqual(Array.from(numbered(25), (one) => one.object_id).slice(2));
    const sizes: number[] = [];
    for await (const page of client.pages('/api/v1/objects', init)) sizes.push(page.results.length);
    expect(sizes).toEqual([10, 10, 3]);
  });

  it('goes on after an error with the page that failed', async () => {
    let isAway = false;
    const flaky = clientWith(project.keys.admin, {
      fetch: (request: Request) => (isAway ? Promise.reject(new TypeError('away')) : globalThis.fetch(request)),
    });
    const pages = flaky.pages('/api/v1/objects', { params: { query: { page_size: 10, sort: 'object_id' } } });
    const ids: string[] = [];
    const read = async (): Promise<void> => {
      const { value } = await pages.next();
      ids.push(...(value?.results ?? []).map((object) => object.object_id));
    };
    await read();
    isAway = true;
    for (let attempt = 0; attempt < 2; attempt++) expect((await errorOf(read())).status).toBe(0);
    isAway = false;
    for (let page = 0; page < 2; page++) await read();
    expect(ids).toEqual(Array.from(numbered(25), (one) => one.object_id));
    expect((await pages.next()).done).toBe(true);
  });

  it('requests no page that is not read', async () => {
    let requests = 0;
    const counting = clientWith(project.keys.admin, {
      fetch: (request: Request) => {
        requests++;
        return globalThis.fetch(request);
      },
    });
    for await (const _ of counting.list('/api/v1/objects', { params: { query: { page_size: 10 } } })) break;
    expect(requests).toBe(1);
  });

  it('sends the key to the server of the client only, whatever host the pages name', async () => {
    const hosts = new Set<string>();
    const behindProxy = clientWith(project.keys.admin, {
      baseUrl: 'http://proxy.example',
      fetch: (request: Request) => {
        const { host, pathname, search } = new URL(request.url);
        hosts.add(host);
        return globalThis.fetch(api.origin + pathname + search, { headers: request.headers });
      },
    });
    let count = 0;
    for await (const _ of behindProxy.list('/api/v1/objects')) count++;
    expect([count, [...hosts]]).toEqual([25, ['proxy.example']]);
  });
});

describe('an upload', () => {
  it.each([false, true])('streams objects and reports its progress (gzip: %s)', async (gzip) => {
    const progress: UploadProgress[] = [];
    const objects = delayed(numbered(5_000));
    const data = await client.uploadBatch('b', objects, { gzip, onProgress: (one) => progress.push(one) });
    expect(data).toMatchObject({ batch_id: 'b', object_count: 5_000 });
    const bytes = Array.from(numbered(5_000), (one) => JSON.stringify(one).length + 1).reduce((sum, one) => sum + one);
    expect(progress.length).toBeGreaterThan(2);
    expect(progress.at(-1)).toEqual({ sentBytes: bytes, totalBytes: undefined, sentObjects: 5_000 });
    const sent = progress.map(({ sentBytes }) => sentBytes);
    expect(sent).toEqual([...sent].sort((a, b) => a - b));
  });

  it('takes NDJSON as a Blob, a stream or an iterable of bytes', async () => {
    const text = Array.from(numbered(1_000), (one) => `${JSON.stringify(one)}\n`).join('');
    const blob = new Blob([text]);
    const progress: UploadProgress[] = [];
    await client.uploadBatch('b', blob, { onProgress: (one) => progress.push(one) });
    expect(progress.at(-1)).toEqual({ sentBytes: text.length, totalBytes: text.length, sentObjects: undefined });
    for (const source of [blob.stream(), delayed([new TextEncoder().encode(text)])]) {
      // The same content again.
      expect(await client.uploadBatch('b', source, { gzip: true })).toMatchObject({ object_count: 1_000 });
    }
  });

  it('takes CSV, with its parameters', async () => {
    const params = { query: { id: 'sku' } };
    const options = { params, mediaType: 'text/csv', gzip: true } as const;
    await client.uploadBatch('b', new Blob(['sku,size\na,42\nb,43\n']), options);
    const ids: string[] = [];
    for await (const { object_id: id } of client.list('/api/v1/objects')) ids.push(id);
    expect(ids).toEqual(['b', 'a']);
  });

  it('takes the parameters of the request', async () => {
    await client.uploadBatch('b', numbered(2));
    expect((await errorOf(client.uploadBatch('b', numbered(3)))).slug).toBe('conflict');
    const params = { query: { on_conflict: 'skip' } } as const;
    expect(await client.uploadBatch('b', numbered(3), { params })).toMatchObject({ object_count: 3 });
  });

  it('throws the place of an invalid object, also long before the end', async () => {
    function* objects(): Generator<object> {
      yield* numbered(2);
      yield { object_id: 'no-data' };
      yield* numbered(50_000);
    }
    const error = await errorOf(client.uploadBatch('b', objects() as Generator<never>));
    expect([error.slug, error.errors[0]]).toEqual(['invalid-body', { pointer: '/lines/3/data', detail: 'is missing' }]);
    expect(await countOf('b')).toBe(0);
  });

  it('throws the error of its source, and stores nothing', async () => {
    const failure = new Error('the disk failed');
    function* objects(): Generator<{ data: { n: number } }> {
      yield* numbered(10_000);
      throw failure;
    }
    for (const gzip of [false, true]) {
      await expect(client.uploadBatch('b', objects(), { gzip })).rejects.toBe(failure);
    }
    expect(await countOf('b')).toBe(0);
  });

  it('ends with its signal, closes its source, and stores nothing', async () => {
    const controller = new AbortController();
    let close = (): void => undefined;
    const closed = new Promise<void>((resolve) => (close = resolve));
    async function* objects(): AsyncGenerator<{ data: { n: number } }> {
      try {
        yield* delayed(numbered(5_000));
        controller.abort();
        yield* delayed(numbered(5_000));
      } finally {
        close();
      }
    }
    await expect(client.uploadBatch('b', objects(), { signal: controller.signal })).rejects.toThrow(/aborted/);
    await closed;
    expect(await countOf('b')).toBe(0);
  });
});

describe('an upload in a browser', () => {
  beforeAll(() => {
    Object.assign(globalThis, { XMLHttpRequest: BrowserRequest });
  });
  afterAll(() => {
    Reflect.deleteProperty(globalThis, 'XMLHttpRequest');
  });

  it.each([false, true])('reports the progress of the transfer (gzip: %s)', async (gzip) => {
    const text = Array.from(numbered(1_000), (one) => `${JSON.stringify(one)}\n`).join('');
    for (const [source, objects] of [
      [new Blob([text]), undefined],
      [numbered(1_000), 1_000],
    ] as const) {
      const progress: UploadProgress[] = [];
      const data = await client.uploadBatch('b', source, { gzip, onProgress: (one) => progress.push(one) });
      expect(data).toMatchObject({ batch_id: 'b', object_count: 1_000 });
      const totalBytes = text.length;
      expect(progress).toEqual([
        { sentBytes: Math.round(totalBytes / 4), totalBytes, sentObjects: objects && objects / 4 },
        { sentBytes: totalBytes, totalBytes, sentObjects: objects },
      ]);
    }
  });

  it('throws the problem of an error response, and the errors of the source and of the connection', async () => {
    const error = await errorOf(client.uploadBatch('b', new Blob(['{}'])));
    expect([error.slug, error.errors[0]?.pointer]).toEqual(['invalid-body', '/lines/1/data']);
    const failure = new Error('the disk failed');
    function* objects(): Generator<{ data: { n: number } }> {
      yield* numbered(1);
      throw failure;
    }
    await expect(client.uploadBatch('b', objects())).rejects.toBe(failure);
    const away = clientWith('key', { baseUrl: 'http://127.0.0.1:1' });
    const lost = await errorOf(away.uploadBatch('b', numbered(1)));
    expect([lost.status, String(lost.cause)]).toEqual([0, expect.stringContaining('cannot be reached')]);
  });

  it('ends with its signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    for (const source of [new Blob(['{}']), numbered(1)]) {
      await expect(client.uploadBatch('b', source, { signal })).rejects.toThrow('enough');
    }
  });
});

describe('a job', () => {
  it('is waited for, and has the result of the request', async () => {
    const params = { header: { Prefer: 'respond-async' } };
    const accepted = await client.uploadBatch('b', numbered(10), { params });
    if (!('id' in accepted)) throw new Error('the response is no job');
    const job = await client.waitForJob(accepted.id);
    expect(job).toMatchObject({ status: 'succeeded', result_status: 201, result: { object_count: 10 } });
    const refused = await client.uploadBatch('b', numbered(9), { params });
    if (!('id' in refused)) throw new Error('the response is no job');
    expect((await errorOf(client.waitForJob(refused.id))).slug).toBe('conflict');
  });

  it('is waited for no longer than the signal allows', async () => {
    const fetch = (): Promise<Response> => Promise.resolve(Response.json({ id: '1', status: 'queued' }));
    const signal = AbortSignal.timeout(300);
    await expect(clientWith('key', { fetch }).waitForJob('1', { signal })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});
