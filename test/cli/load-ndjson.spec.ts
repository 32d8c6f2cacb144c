import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request as send, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { Stowage, type Ended } from './stowage.js';

const MAIN = join(process.cwd(), 'dist/apps/cli/main.js');

/** Makes the command print its peak memory after garbage collection, because Node.js keeps some 25 MB of unused objects. */
const REPORT_MEMORY = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`import v8 from 'node:v8'; import vm from 'node:vm';
    v8.setFlagsFromString('--expose-gc');
    const collect = vm.runInNewContext('gc');
    let max = 0;
    const measure = () => {
      collect();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      max = Math.max(max, heapUsed + arrayBuffers);
    };
    setInterval(measure, 250).unref();
    process.on('exit', () => {
      // A short run may end before the first interval.
      measure();
      console.error(max);
    });`)}`,
};

let api: TestApi;
let stowage: Stowage;
let origin: string;
let adminKey: string;
/** A proxy between the command and the server, which can inject faults and serves files. */
let network: Server;
let networkUrl: string;
/** Handlers of the next PUT requests, and of downloads by path. */
let onPut: ((request: IncomingMessage, response: ServerResponse) => void)[] = [];
let onGet: Record<string, (response: ServerResponse) => void> = {};

beforeAll(async () => {
  api = await TestApi.shared();
  ({ origin } = api);
  adminKey = (await api.project()).keys.admin;
  stowage = await Stowage.create({ STOWAGE_API_KEY: adminKey });
  network = createServer((request, response) => {
    const download = onGet[request.url ?? ''];
    const fault = request.method === 'PUT' ? onPut.shift() : undefined;
    if (download !== undefined) download(response);
    else if (fault !== undefined) fault(request, response);
    else forward(request, response);
  });
  await new Promise<void>((resolve) => network.listen(0, '127.0.0.1', resolve));
  networkUrl = `http://127.0.0.1:${String((network.address() as AddressInfo).port)}`;
});
beforeEach(async () => {
  onPut = [];
  onGet = {};
  await rm(join(stowage.folder, 'rejects.ndjson'), { force: true });
});
afterAll(async () => {
  network.closeAllConnections();
  await new Promise((resolve) => network.close(resolve));
  await stowage.remove();
  await api.stop();
});

function forward(request: IncomingMessage, response: ServerResponse): void {
  const { method, headers } = request;
  const onward = send(origin + (request.url ?? ''), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 0, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  // Also where the command breaks off its request.
  response.once('close', () => onward.destroy());
  request.pipe(onward);
}

function* endlessBytes(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(1024 ** 2, ' ');
}

function load(args: string[], settings: Record<string, string> = {}): Promise<Ended> {
  return stowage.run(['load', ...args], { STOWAGE_URL: origin, ...settings });
}

/** Runs the command in its own process, which reports its peak memory. */
function measure(files: string[]): Promise<Ended> {
  return stowage.start(['load', ...files], { STOWAGE_URL: origin, ...REPORT_MEMORY }).ended;
}

/** Runs the command with this standard input. */
async function loadFrom(input: string | Buffer, args: string[], url = origin): Promise<Ended> {
  const env = { PATH: process.env.PATH, STOWAGE_URL: url, STOWAGE_API_KEY: adminKey };
  const child = spawn(process.execPath, [MAIN, 'load', ...args], { cwd: stowage.folder, env });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // The command can end before it has read all of its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Writes files into the working directory of the command. */
async function write(files: Record<string, string | Buffer>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(stowage.folder, name)), { recursive: true });
    await writeFile(join(stowage.folder, name), content);
  }
}

function lines(prefix: string, count: number, from = 1): string {
  return Array.from(
    { length: count },
    (_, i) => `{"object_id":"${prefix}-${String(from + i)}","data":{"type":"shoe"}}\n`,
  ).join('');
}

/** A zstd frame with one uncompressed block (RFC 8878); Node.js has no zstd before 22.15. */
function zstdFrame(text: string): Buffer {
  const content = Buffer.from(text);
  const header = Buffer.alloc(9);
  header.writeUInt32LE(0xfd2fb528, 0);
  // A single segment and its size in one byte; then the last block and its size.
  header.writeUInt8(0x20, 4);
  header.writeUInt8(content.length, 5);
  header.writeUIntLE(content.length * 8 + 1, 6, 3);
  return Buffer.concat([header, content]);
}

async function get(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': adminKey } });
  return { status: response.status, text: await response.text() };
}

/** Stores a batch without the command. */
async function put(batchId: string, content: string): Promise<void> {
  const headers = { 'X-Api-Key': adminKey, 'Content-Type': 'application/x-ndjson' };
  const response = await fetch(`${origin}/api/v1/batches/${batchId}`, { method: 'PUT', headers, body: content });
  expect(response.status).toBe(201);
}

async function countObjects(batchId: string): Promise<number> {
  const { text } = await get(`objects?batch_id=${batchId}&count=exact&page_size=1`);
  return (JSON.parse(text) as { count: number }).count;
}

async function rejects(name = 'rejects.ndjson'): Promise<unknown[]> {
  const text = await readFile(join(stowage.folder, name), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

describe('stowage load of NDJSON', () => {
  it('loads the files of a folder and of an unexpanded pattern, each as the batch of its file name', async () => {
    await write({
      'found/plain.ndjson': lines('plain', 3),
      'found/packed.v2.jsonl.gz': gzipSync(lines('packed', 2)),
      'found/framed.ndjson.zst': zstdFrame(lines('framed', 2)),
      'found/notes.txt': 'not data',
      'deep/er/deepest.ndjson.gz': gzipSync(lines('deepest', 4)),
    });
    const sources = ['found', 'deep/**/*.ndjson.gz', 'deep/**/*.csv'];
    const { code, stdout, stderr } = await load(sources);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'deep/**/*.csv: matches no files\n' });
    expect(stdout).toMatch(/^found\/plain\.ndjson: stored 3 objects$/m);
    expect(stdout).toMatch(/^stored 11 objects in 4 batches \(.* objects\/s\); 1 file rejected\n$/m);
    expect(await countObjects('packed.v2')).toBe(2);

    const again = await load(sources.slice(0, 2));
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toMatch(/^deep\/er\/deepest\.ndjson\.gz: already stored \(4 objects\)$/m);
    expect(again.stdout).toMatch(/; 4 batches already stored\n$/);
    expect(await countObjects('deepest')).toBe(4);
  });

  it('detects the content of a file that its name does not determine', async () => {
    const batch = `{"objects": [{"object_id": "late-1", "data": {"n": 0.10}}], "batch_id": "l\\u0061te"}`;
    await write({
      'content/batch.json.gz': gzipSync(batch),
      'content/lines.json': lines('content-lines', 2),
      'content/lines-packed.json.gz': gzipSync(lines('content-packed', 2)),
      'content/inflated.ndjson.gz': `\uFEFF${lines('content-inflated', 2)}`,
      'content/cut.json.gz': gzipSync(batch).subarray(0, 30),
      // This file is ignored in a folder, and rejected if it is named.
      'content/framed.json.zst': zstdFrame(batch),
    });
    const { code, stdout, stderr } = await load(['content', 'content/framed.json.zst']);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      'content/cut.json.gz: is not a valid gzip file: unexpected end of file',
      'content/framed.json.zst: a zstd file must contain NDJSON and be named .ndjson.zst or .jsonl.zst',
    ]);
    expect(stdout).toMatch(/^stored 7 objects in 4 batches/m);
    expect((await get('batches/late')).text).toContain('0.10');
    for (const id of ['lines', 'lines-packed', 'inflated']) expect(await countObjects(id)).toBe(2);
  });

  it('loads standard input, plain or gzip, as the batch of --batch-id', async () => {
    expect(await loadFrom(lines('input', 3), ['-', '--batch-id', 'in/put'])).toMatchObject({ code: 0, stderr: '' });
    const [again, nothing, nameless] = await Promise.all([
      loadFrom(gzipSync(lines('input', 3)), ['-', '--batch-id', 'in/put']),
      loadFrom('', ['-', '--batch-id', 'nothing']),
      loadFrom(lines('input', 1), ['-']),
    ]);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toMatch(/^-: already stored \(3 objects\)$/m);
    expect(nothing).toMatchObject({ code: 1, stderr: '-: is empty\n' });
    expect((await get('batches/nothing')).status).toBe(404);
    expect(nameless).toEqual({ code: 2, stdout: '', stderr: 'stowage: standard input has no name: use --batch-id\n' });
  });

  it('rejects, replaces or extends an existing batch with other content', async () => {
    await put('other', lines('other', 2));
    await write({ 'other.ndjson': lines('other', 2, 2), 'taken.ndjson': lines('other', 2, 3) });
    const [refused, adding, tried] = await Promise.all([
      load(['other.ndjson']),
      load(['other.ndjson', 'taken.ndjson', '--on-conflict', 'skip', '--dry-run', '--concurrency', '1']),
      load(['other.ndjson', '--on-conflict', 'replace', '--dry-run']),
    ]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: 'other.ndjson: /batch_id: "other" exists already, with other content\n',
    });
    expect(refused.stdout).toMatch(/^rejects are in rejects\.ndjson$/m);
    expect(tried.stdout).toMatch(/^other\.ndjson: would be replaced \(2 objects\)$/m);
    // Each file alone: in a dry run, the objects of the first are not stored.
    expect(adding.stdout).toMatch(/^other\.ndjson: would be extended by 1 object, skipped 1 object whose id exists$/m);
    expect(adding.stdout).toMatch(/^taken\.ndjson: would store 2 objects$/m);
    expect((await get('batches/other')).text).toContain('other-1');

    // Objects that exist in another batch are skipped in a new batch, too.
    const added = await load(['other.ndjson', 'taken.ndjson', '--on-conflict', 'skip', '--concurrency', '1']);
    expect(added).toMatchObject({ code: 0, stderr: '' });
    expect(added.stdout).toMatch(/^other\.ndjson: extended by 1 object, skipped 1 object whose id exists$/m);
    expect(added.stdout).toMatch(/^taken\.ndjson: stored 1 object, skipped 1 object whose id exists$/m);
    expect(added.stdout).toMatch(
      /^stored 2 objects in 2 batches \(.*\); 1 batch extended; 2 objects skipped, whose ids exist\n$/m,
    );
    const nothing = await load(['other.ndjson', '--on-conflict', 'skip']);
    expect(nothing.stdout).toMatch(/^other\.ndjson: no new objects, skipped 2 objects whose id exists$/m);
    const replaced = await load(['other.ndjson', '--on-conflict', 'replace']);
    expect(replaced.stdout).toMatch(/^other\.ndjson: replaced \(2 objects\)$/m);
    expect(replaced.stdout).toMatch(/; 1 batch changed\n$/);
    const again = await load(['other.ndjson', '--on-conflict', 'replace']);
    expect(again.stdout).toMatch(/^other\.ndjson: already stored \(2 objects\)$/m);
    expect((await get('batches/other')).text).not.toContain('other-1');
  });

  it('rejects a second file for a batch if it would replace the first', async () => {
    await write({ 'one/same.ndjson': lines('one', 1), 'two/same.ndjson': lines('two', 1) });
    const { code, stderr } = await load(['one', 'two', '--on-conflict', 'replace', '--concurrency', '1']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        'two/same.ndjson: /batch_id: "same" is also the batch of one/same.ndjson; load it alone, with --batch-id\n',
    });
    expect((await get('batches/same')).text).toContain('one-1');
  });

  it('stores nothing in a dry run, and reports what would be stored', async () => {
    await write({ 'dry.ndjson': lines('dry', 2), 'dry-bad.ndjson': '{"object_id":"dry-3"}\n' });
    const { code, stdout, stderr } = await load(['dry.ndjson', 'dry-bad.ndjson', '--dry-run']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'dry-bad.ndjson: /lines/1/data: is missing\n' });
    expect(stdout).toMatch(/^dry\.ndjson: would store 2 objects$/m);
    expect(stdout).toMatch(/^would store 2 objects in 1 batch/m);
    expect((await get('batches/dry')).status).toBe(404);
  });

  it('writes rejected lines to a file, which it does not load as data', async () => {
    const bad = ['{"object_id":"part-2","data":{"":1},"x":1}', 'nonsense', '{"object_id":"part-1","data":{}}'];
    const content = Buffer.from(`${lines('part', 1)}\n${bad.join('\r\n')}`);
    await write({
      'part/part.ndjson': content,
      'part/packed-part.ndjson.gz': gzipSync(`${bad[1] ?? ''}\n${lines('q', 1)}`),
    });
    const args = ['part', '--partial', '--concurrency', '1', '--rejects', 'part/rejects.ndjson'];
    const { code, stdout, stderr } = await load(args);
    expect(code).toBe(1);
    expect(stderr).toContain('part/part.ndjson: /lines/4: is not valid JSON at column 1\n');
    expect(stdout).toMatch(/^part\/part\.ndjson: stored 1 object, 3 objects rejected$/m);
    expect(stdout).toMatch(/^stored 2 objects in 2 batches \(.*\); 4 objects left out\n$/m);
    const file = 'part/part.ndjson';
    const entries = await rejects('part/rejects.ndjson');
    expect(entries).toEqual([
      {
        file: 'part/packed-part.ndjson.gz',
        batch_id: 'packed-part',
        pointer: '/lines/1',
        detail: expect.any(String),
        line: 'nonsense',
      },
      // Two errors in one line produce one entry.
      {
        file,
        batch_id: 'part',
        pointer: '/lines/3',
        detail: expect.stringMatching(/\/data.*; .*\/x|\/x.*; .*\/data/),
        line: bad[0],
      },
      {
        file,
        batch_id: 'part',
        pointer: '/lines/4',
        detail: expect.stringContaining('is not valid JSON at column 1'),
        line: 'nonsense',
      },
      {
        file,
        batch_id: 'part',
        pointer: '/lines/5/object_id',
        detail: expect.stringContaining('appears twice in this request'),
        line: bad[2],
      },
    ]);
    const again = await load(args);
    expect(again.stdout).toMatch(/^part\/packed-part\.ndjson\.gz: already stored \(1 object\), 1 object rejected$/m);
    expect(again.stdout + again.stderr).not.toContain('part/rejects.ndjson:');
    expect(await countObjects('part')).toBe(1);
    expect((await load([...args, '--on-conflict', 'skip'])).stdout).toMatch(
      /^part\/packed-part\.ndjson\.gz: no new objects, skipped 1 object whose id exists, 1 object rejected$/m,
    );
  });

  it('writes an entry for a missing file, and no file of rejected lines if there are none', async () => {
    await write({ 'fine.ndjson': lines('fine', 1) });
    await Promise.all([load(['fine.ndjson', '--rejects', 'no-rejects.ndjson']), load(['nowhere.ndjson'])]);
    await expect(rejects('no-rejects.ndjson')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await rejects()).toEqual([
      { file: 'nowhere.ndjson', batch_id: null, pointer: '', detail: 'does not exist' },
    ]);
  });

  it('waits for the jobs of an asynchronous load, and reports their results', async () => {
    await put('before-later', lines('before-later', 2));
    await write({
      'before-later.ndjson': lines('before-later', 2),
      'later.ndjson': lines('later', 2),
      'later-bad.ndjson': '{"object_id":"later-3"}\n',
    });
    const args = ['before-later.ndjson', 'later.ndjson', 'later-bad.ndjson', '--async', '--concurrency', '3'];
    const { code, stdout, stderr } = await load(args);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'later-bad.ndjson: /lines/1/data: is missing\n' });
    expect(stdout).toMatch(/^later\.ndjson: stored 2 objects$/m);
    expect(await countObjects('later')).toBe(2);
    expect(stdout).toMatch(/^before-later\.ndjson: already stored \(2 objects\)$/m);
  });

  it('sends up to --concurrency files at a time', async () => {
    const waiting: (() => void)[] = [];
    for (const name of ['a', 'b', 'c']) {
      onGet[`/at-once-${name}.ndjson`] = (response) => {
        waiting.push(() => response.end(lines(`at-once-${name}`, 1)));
        // The proxy responds to no request before all three have arrived.
        if (waiting.length === 3) for (const answer of waiting) answer();
      };
    }
    const urls = ['a', 'b', 'c'].map((name) => `${networkUrl}/at-once-${name}.ndjson`);
    expect(await load([...urls, '--concurrency', '3'])).toMatchObject({ code: 0, stderr: '' });
    expect(await countObjects('at-once-c')).toBe(1);
  });

  it('continues in a second run after Ctrl-C, and stores nothing twice', async () => {
    const whole = lines('stalls', 4_000);
    let endSlow: () => void = () => undefined;
    onGet['/slow.ndjson'] = (response) => {
      response.write(lines('slow', 1));
      endSlow = () => response.end(lines('slow', 1, 2));
    };
    onGet['/stalls.ndjson'] = (response) => response.write(whole.slice(0, whole.length / 2));
    const isOpening = new Promise<void>((resolve) => {
      onGet['/opening.ndjson'] = (response) => {
        // The signal ends the opening of a file: the command has handled it.
        response.once('close', () => {
          endSlow();
        });
        resolve();
      };
    });
    const isSent = new Promise<void>((resolve) => {
      network.on('request', ({ method, url }: IncomingMessage) => {
        if (method === 'PUT' && url?.startsWith('/api/v1/batches/slow') === true) resolve();
      });
    });
    await write({ 'before.ndjson': lines('before', 3), 'after.ndjson': lines('after', 3) });
    const files = ['slow', 'stalls', 'opening'].map((name) => `${networkUrl}/${name}.ndjson`);
    const sources = ['--concurrency', '3', 'before.ndjson', ...files, 'after.ndjson'];
    const running = stowage.start(['load', ...sources], { STOWAGE_URL: networkUrl });
    await running.prints(/before\.ndjson: stored/);
    await Promise.all([isOpening, isSent]);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(130);
    // The file that was being sent was completed.
    expect(stdout).toMatch(/slow\.ndjson: stored 2 objects$/m);
    expect(stdout).toMatch(/; 3 files not finished\n$/);
    expect(stderr).toBe(
      ['opening', 'stalls']
        .map((name) => `${networkUrl}/${name}.ndjson: not finished; it is safe to load it again\n`)
        .join(''),
    );
    expect((await get('batches/stalls')).status).toBe(404);

    onGet['/opening.ndjson'] = (response) => response.end(lines('opening', 1));
    onGet['/stalls.ndjson'] = (response) => response.end(whole);
    onGet['/slow.ndjson'] = (response) => response.end(lines('slow', 2));
    const again = await load(sources);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toMatch(/^stored 4,004 objects in 3 batches \(.*\); 2 batches already stored\n$/m);
    expect(await countObjects('stalls')).toBe(4_000);
  });

  it('retries a file after a lost connection and after Retry-After, and stores it once', async () => {
    await write({ 'lost.ndjson': lines('lost', 4_000) });
    let busyAt = 0;
    let waitedMs = 0;
    onPut = [
      (request) => request.once('data', () => request.socket.destroy()),
      (_, response) => {
        busyAt = Date.now();
        response.writeHead(503, { 'Retry-After': '1' }).end();
      },
      (request, response) => {
        waitedMs = Date.now() - busyAt;
        forward(request, response);
      },
    ];
    const { code, stdout, stderr } = await load(['lost.ndjson'], { STOWAGE_URL: networkUrl });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^retrying in 1 s: .+\nretrying in 1 s: 503 Service Unavailable\n$/);
    expect(stdout).toMatch(/^lost\.ndjson: stored 4,000 objects$/m);
    // Without Retry-After it would have waited for 2 s.
    expect(waitedMs).toBeGreaterThan(900);
    expect(await countObjects('lost')).toBe(4_000);
  });

  it('waits for Retry-After over a rate limit as often as needed, more often than after other errors', async () => {
    await write({ 'limited.ndjson': lines('limited', 2) });
    const limit = (_: IncomingMessage, response: ServerResponse): void => {
      const body = {
        type: `${networkUrl}/problems#rate-limited`,
        title: 'Rate limit exceeded',
        detail: 'Too many items.',
      };
      const headers = { 'Retry-After': '1', 'Content-Type': 'application/problem+json' };
      response.writeHead(429, headers).end(JSON.stringify(body));
    };
    onPut = [...Array<typeof limit>(6).fill(limit), forward];
    const { code, stdout, stderr } = await load(['limited.ndjson'], { STOWAGE_URL: networkUrl });
    expect([code, stderr]).toEqual([0, 'retrying in 1 s: Too many items.\n'.repeat(6)]);
    expect(stdout).toMatch(/^limited\.ndjson: stored 2 objects$/m);
  });

  it('rejects a file without a retry when the project is over a quota', async () => {
    await write({ 'over.ndjson': lines('over', 2), 'next.ndjson': lines('next', 2) });
    let requests = 0;
    const reject = (_: IncomingMessage, response: ServerResponse): void => {
      requests++;
      const type = `${networkUrl}/problems#quota-exceeded`;
      const body = { type, title: 'Quota exceeded', detail: 'The project has 5 objects and may have 5.' };
      const headers = { 'Retry-After': '3600', 'Content-Type': 'application/problem+json' };
      response.writeHead(429, headers).end(JSON.stringify(body));
    };
    onPut = [reject, forward];
    const options = ['--concurrency', '1', '--rejects', 'over.rejects.ndjson'];
    const { code, stdout, stderr } = await load(['over.ndjson', 'next.ndjson', ...options], {
      STOWAGE_URL: networkUrl,
    });
    const detail = 'Quota exceeded: The project has 5 objects and may have 5.';
    expect([code, requests, stderr]).toEqual([1, 1, `over.ndjson: ${detail}\n`]);
    expect(stdout).toMatch(/^next\.ndjson: stored 2 objects$/m);
    const rejects = await readFile(join(stowage.folder, 'over.rejects.ndjson'), 'utf8');
    expect(JSON.parse(rejects)).toEqual({ file: 'over.ndjson', batch_id: 'over', pointer: '', detail });
  });

  it.each<[string, RegExp, (response: ServerResponse) => void]>([
    ['is not an object', /responded 200 OK with invalid JSON; it is not a Stowage server$/m, (one) => one.end('null')],
    [
      'is not valid JSON',
      /responded 200 OK with invalid JSON; it is not a Stowage server$/m,
      (one) => one.end('{"a":'),
    ],
    [
      'does not end',
      /responded 200 OK with more than 8388608 bytes; it is not a Stowage server$/m,
      (one) => {
        Readable.from(endlessBytes()).pipe(one);
      },
    ],
  ])('ends without a retry when a response %s', async (_, line, respond) => {
    await write({ 'strange.ndjson': lines('strange', 1) });
    onPut = [
      (request, response) => {
        request.resume();
        respond(response.writeHead(200, { 'Content-Type': 'application/json' }));
      },
    ];
    const { code, stderr } = await load(['strange.ndjson'], { STOWAGE_URL: networkUrl });
    expect([code, stderr]).toEqual([2, expect.stringMatching(line)]);
    expect(stderr).not.toContain('retrying');
  });

  it('retries a file after the 502 of a proxy that promises JSON and sends none', async () => {
    await write({ 'proxy.ndjson': lines('proxy', 1) });
    onPut = [(_, response) => response.writeHead(502, { 'Content-Type': 'application/json' }).end('<html>'), forward];
    const { code, stderr } = await load(['proxy.ndjson'], { STOWAGE_URL: networkUrl });
    expect([code, stderr]).toEqual([0, expect.stringContaining('retrying in 1 s: 502 Bad Gateway')]);
  });

  it('does not retry standard input, and exits with 2', async () => {
    onPut = [(request) => request.once('data', () => request.socket.destroy())];
    const { code, stdout, stderr } = await loadFrom(lines('gone', 4_000), ['-', '--batch-id', 'gone'], networkUrl);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^stowage: lost the connection to http.*; standard input cannot be sent again: run the command again$/m,
    );
    expect(stdout).toMatch(/; 1 file not finished\n$/);
    expect((await get('batches/gone')).status).toBe(404);
  });

  it('sends 30 MB of gzip in constant memory', async () => {
    // gzip members of random bytes, which do not compress. A few members are repeated, because creating them takes time.
    const texts = Array.from({ length: 50 }, () => randomBytes(6_000).toString('base64'));
    const packed = (id: string, count: number): Buffer => {
      const ofTexts = texts.map((text, n) => {
        const rows = Array.from({ length: count / 50 }, (_, i) => `${id}-${String(n)}-${String(i)}`);
        return rows.map((objectId) =>
          gzipSync(`{"object_id":"${objectId}","data":{"text":"${text}"}}\n`, { level: 1 }),
        );
      });
      return Buffer.concat(ofTexts.flat());
    };
    await write({ 'small.ndjson.gz': packed('small', 800), 'large.ndjson.gz': packed('large', 5_000) });
    const [small, large] = await Promise.all([measure(['small.ndjson.gz']), measure(['large.ndjson.gz'])]);
    expect(large).toMatchObject({ code: 0 });
    expect(large.stdout).toMatch(/^large\.ndjson\.gz: stored 5,000 objects$/m);
    expect(Number(large.stderr) - Number(small.stderr)).toBeLessThan(25_000_000);
  });

  it('sends a batch file of 50 MB as NDJSON in constant memory', async () => {
    const text = 'x'.repeat(5_000);
    const batch = (id: string, count: number): string => {
      const objects = Array.from({ length: count }, (_, n) => ({ object_id: `${id}-${String(n)}`, data: { text } }));
      return JSON.stringify({ objects, batch_id: id });
    };
    // Both files exceed the size above which a batch file can have more than BATCH_OBJECTS_MAX objects.
    await write({ 'small-batch.json': batch('small-batch', 600), 'large-batch.json': batch('large-batch', 10_000) });
    const [small, large] = await Promise.all([measure(['small-batch.json']), measure(['large-batch.json'])]);
    expect(large).toMatchObject({ code: 0 });
    expect(large.stdout).toMatch(/^large-batch\.json: stored 10,000 objects$/m);
    // Less than the difference of the file sizes; a file in memory would take twice its size.
    expect(Number(large.stderr) - Number(small.stderr)).toBeLessThan(40_000_000);
  });

  it('prints the bytes read and the objects sent while a file is being sent', async () => {
    const content = lines('progress', 3);
    await write({ 'progress.ndjson': content });
    let release: () => void = () => undefined;
    onPut = [
      (request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        release = () => {
          const { method, headers } = request;
          const onward = send(origin + (request.url ?? ''), { method, headers }, (answer) => {
            response.writeHead(answer.statusCode ?? 0, answer.headers);
            answer.pipe(response);
          });
          onward.end(Buffer.concat(chunks));
        };
      },
    ];
    const running = stowage.start(['load', 'progress.ndjson'], { STOWAGE_URL: networkUrl });
    const size = (content.length / 1_000).toFixed(1);
    const [line] = await running.prints(/^0 of 1 files, .*$/m);
    expect(line).toMatch(`0 of 1 files, ${size} of ${size} kB, 0 objects stored, 3 sent, `);
    expect(line).toMatch(/, waiting for the server$/);
    release();
    expect((await running.ended).stdout).toMatch(/^progress\.ndjson: stored 3 objects$/m);
  });

  it('rejects an invalid option with one line, and exits with 2', async () => {
    const wrong: [string, string, string][] = [
      ['--concurrency', '17', '--concurrency must be a whole number from 1 to 16, not "17"'],
      ['--on-conflict', 'merge', '--on-conflict must be replace or skip, not "merge"'],
      ['--batch-id', 'two', '--batch-id is for one file; got 2'],
    ];
    const ended = await Promise.all(wrong.map(([option, value]) => load(['a.ndjson', 'b.ndjson', option, value])));
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      wrong.map(([, , message]) => ({ code: 2, stderr: `stowage: ${message}\n` })),
    );
  });
});
