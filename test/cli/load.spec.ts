import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { Stowage, type Ended } from './stowage.js';

const FIXTURES = join(process.cwd(), 'fixtures');
const DELIVERY = '2024-05-03-delivery-lisbon.json';
const RETURNS = '2024-06-14-returns-with-reasons.json';
const BODY_LIMIT_BYTES = 150_000;
const BATCH_OBJECTS_MAX = 1_000;

let api: TestApi;
let stowage: Stowage;
let origin: string;
let adminKey: string;
/** Serves the file of returns, and redirects below /redirect. It does not respond to any other request. */
let files: Server;
let filesUrl: string;

beforeAll(async () => {
  api = await TestApi.start({
    BODY_LIMIT_BYTES: String(BODY_LIMIT_BYTES),
    BATCH_OBJECTS_MAX: String(BATCH_OBJECTS_MAX),
  });
  ({ origin } = api);
  adminKey = (await api.project()).keys.admin;
  stowage = await Stowage.create({ STOWAGE_API_KEY: adminKey });
  const returns = await readFile(join(FIXTURES, RETURNS));
  files = createServer((request, response) => {
    if (request.url === '/returns.json') response.end(returns);
    if (request.url?.startsWith('/redirect/')) response.writeHead(301, { Location: 'https://stowage.example/' }).end();
  });
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve));
  filesUrl = `http://127.0.0.1:${String((files.address() as AddressInfo).port)}`;
});
afterAll(async () => {
  files.closeAllConnections();
  await new Promise((resolve) => files.close(resolve));
  await stowage.remove();
  await api.stop();
});

function load(args: string[], settings: Record<string, string> = {}): Promise<Ended> {
  return stowage.run(['load', ...args], { STOWAGE_URL: origin, ...settings });
}

/** Writes files into a new folder in the working directory of the command. */
async function folderOf(name: string, contents: Record<string, string | Buffer>): Promise<string> {
  await mkdir(join(stowage.folder, name));
  for (const [file, content] of Object.entries(contents)) {
    await writeFile(join(stowage.folder, name, file), content);
  }
  return name;
}

/** A batch file. Each test uses different ids. */
function batch(batchId: string, ...objectIds: string[]): string {
  return JSON.stringify({
    batch_id: batchId,
    objects: objectIds.map((id) => ({ object_id: id, data: { type: 'shoe' } })),
  });
}

async function get(path: string, key = adminKey): Promise<{ status: number; text: string }> {
  const response = await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': key } });
  return { status: response.status, text: await response.text() };
}

/** Stores a batch without the command. */
async function put(batchId: string, content: string, mediaType = 'application/json'): Promise<void> {
  const headers = { 'X-Api-Key': adminKey, 'Content-Type': mediaType };
  const response = await fetch(`${origin}/api/v1/batches/${batchId}`, { method: 'PUT', headers, body: content });
  expect(response.status).toBe(201);
}

async function countObjects(batchId: string): Promise<number> {
  const { text } = await get(`objects?batch_id=${batchId}&count=exact&page_size=1`);
  return (JSON.parse(text) as { count: number }).count;
}

describe('stowage load', () => {
  it('loads files and folders, and stores nothing in a second run', async () => {
    const folder = await folderOf('again', { 'b.json': batch('again-b', 'again-3'), 'notes.txt': 'not a batch' });
    await copyFile(join(FIXTURES, DELIVERY), join(stowage.folder, folder, 'a.json'));

    const first = await load([folder]);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^again\/a\.json: stored 283 objects$/m);
    expect(first.stdout).toMatch(/^again\/b\.json: stored 1 object$/m);
    expect(first.stdout).toMatch(/^stored 284 objects in 2 batches \(.* s, .* objects\/s\)\n$/m);

    const second = await load([`${folder}/a.json`, folder]);
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(second.stdout.match(/already stored \(283 objects\)/g)).toHaveLength(2);
    expect(second.stdout).toMatch(/^stored 0 objects in 0 batches \(.*\); 3 batches already stored\n$/m);
    expect(await countObjects('2024-05-03-delivery-lisbon')).toBe(283);
  });

  it('loads a URL, stores every digit of a file, and ignores a byte order mark', async () => {
    const data = '[{"key":"n","value":12345678901234567890},{"key":"n","value":0.1000},{"key":"t","value":"ß\\n"}]';
    const text = `\uFEFF{ "batch_id": "digits", "objects": [ {"object_id": "digits-1", "data": ${data}} ] }`;
    const folder = await folderOf('digits', { 'digits.json': text });
    const { code, stdout } = await load([`${folder}/digits.json`, `${filesUrl}/returns.json`]);
    expect(code).toBe(0);
    expect(stdout).toContain(`${filesUrl}/returns.json: stored 220 objects\n`);
    expect(await countObjects('2024-06-14-returns-with-reasons')).toBe(220);
    expect((await get('batches/digits')).text).toContain('12345678901234567890');
    expect((await get('batches/digits')).text).toContain('0.1000');
  });

  it('loads the response of GET for a batch into another project, even above the limits of a JSON batch', async () => {
    const lines = Array.from(
      { length: BATCH_OBJECTS_MAX + 500 },
      (_, n) => `{"object_id":"copy-${String(n)}","data":{"n":${String(n)}.10,"big":12345678901234567890}}\n`,
    );
    await put('copy', lines.join(''), 'application/x-ndjson');
    const { text } = await get('batches/copy');
    const [, objects = ''] = /^\{"batch_id":"copy","objects":(\[.*\])\}\s*$/s.exec(text) ?? [];
    const folder = await folderOf('copies', {
      'copy.json': text,
      // The size of the content is unknown before it is sent.
      'compressed.json.gz': gzipSync(text),
      'id-last.json': `{"objects": ${objects.replaceAll('},{', '}\n,\n{\n')}, "batch_id": "copy"}`,
    });
    const key = (await api.project()).keys.admin;
    const first = await load([`${folder}/copy.json`], { STOWAGE_API_KEY: key });
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^copies\/copy\.json: stored 1,500 objects$/m);
    expect(await get('batches/copy', key)).toEqual({ status: 200, text });

    const again = await load([folder], { STOWAGE_API_KEY: key });
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout.match(/: already stored \(1,500 objects\)$/gm)).toHaveLength(3);
  });

  it('reports errors in a batch file above the limits with pointers into the file, and stores nothing', async () => {
    const objects = Array.from({ length: BATCH_OBJECTS_MAX + 1 }, (_, n) => ({
      object_id: `over-${String(n)}`,
      data: {},
    }));
    objects[700] = { object_id: '', data: {} };
    const text = JSON.stringify({ batch_id: 'over', objects });
    const folder = await folderOf('over', {
      'invalid.json': text,
      'cut.json': text.slice(0, -5),
      'other-id.json': JSON.stringify({ batch_id: 'other', objects: [] }),
    });
    const [{ code, stderr }, renamed] = await Promise.all([
      load([`${folder}/invalid.json`, `${folder}/cut.json`]),
      load([`${folder}/other-id.json`, '--batch-id', 'over', '--rejects', 'renamed.ndjson']),
    ]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      'over/cut.json: is not valid JSON: unexpected end of file',
      expect.stringMatching(/^over\/invalid\.json: \/objects\/700\/object_id: must be 1 to 255 characters/),
    ]);
    expect(renamed).toMatchObject({
      code: 1,
      stderr: 'over/other-id.json: /batch_id: is "other", but --batch-id is "over"; a batch file keeps its id\n',
    });
    expect((await get('batches/over')).status).toBe(404);
  });

  it('names the file and the location of every error, continues with the other files, and exits with 1', async () => {
    const folder = await folderOf('errors', {
      'bad.json':
        '{"batch_id":"bad","objects":[{"object_id":"bad-1","data":[{"key":"","value":1}]},{"subject":7,"data":{"a":' +
        '['.repeat(17) +
        ']'.repeat(17) +
        '}}]}',
      'broken.json': '{"batch_id": "broken", \n',
      'cut.json': '{"objects": [{"object_id": "cut-1", "data": {}',
      'empty.json': '',
      'huge.json': JSON.stringify({ batch_id: 'huge', objects: [], remark: 'x'.repeat(BODY_LIMIT_BYTES) }),
      'nameless.json': '{"objects": []}',
      'numbered.json': '{"batch_id": 7, "objects": []}',
      'page.json': '<html>',
      'schema.json': '{"type": "object", "properties": {"batch_id": {"type": "string"}}}',
      'unnamed.json': '{"batch_id": "unnamed"}',
      'twice.json': batch('twice', 'twice-1', 'twice-1'),
      'zz-good.json': batch('good', 'good-1', 'good-2'),
    });
    const [{ code, stdout, stderr }, named] = await Promise.all([
      load([folder, 'nowhere.json']),
      load([`${folder}/schema.json`, '--rejects', 'schema.rejects.ndjson']),
    ]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      'errors/bad.json: /objects/0/data/0/key: must be 1 to 255 characters; got 0',
      'errors/bad.json: /objects/1/data/a: must nest at most 16 levels deep',
      'errors/bad.json: /objects/1/subject: must be text of 1 to 255 characters',
      'errors/broken.json: Malformed request: The body is not valid JSON at line 2, column 1.',
      'errors/cut.json: is not valid JSON: unexpected end of file',
      'errors/empty.json: is empty',
      'errors/huge.json: /remark: is not a member of a batch',
      'errors/nameless.json: /batch_id: is missing',
      'errors/numbered.json: /batch_id: must be text of 1 to 255 characters without control characters, and not "." or ".."',
      'errors/page.json: is not JSON: it begins with <; to load CSV, use --format csv',
      'errors/twice.json: /objects/1/object_id: "twice-1" appears twice in this request',
      'errors/unnamed.json: /objects: is missing',
      'nowhere.json: does not exist',
    ]);
    expect(stdout).toMatch(/^errors\/zz-good\.json: stored 2 objects$/m);
    expect(stdout).toMatch(/^stored 2 objects in 1 batch \(.*\); 11 files rejected; 1 file skipped, not a batch\n$/m);
    expect(stdout).toMatch(/^errors\/schema\.json: skipped, not a batch$/m);
    expect(named.stderr).toContain('schema.json: is not a batch');
    expect(await countObjects('bad')).toBe(0);
  });

  it('rejects ids that exist in another batch, and an existing batch with other content', async () => {
    const folder = await folderOf('conflicts', {
      'other.json': batch('conflict-other', 'conflict-1'),
      'grown.json': batch('conflict-old', 'conflict-1', 'conflict-2'),
    });
    await put('conflict-old', batch('conflict-old', 'conflict-1'));
    const { code, stdout, stderr } = await load([`${folder}/other.json`, `${folder}/grown.json`]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      'conflicts/grown.json: /batch_id: "conflict-old" exists already, with other content',
      'conflicts/other.json: /objects/0/object_id: "conflict-1" exists already in another batch',
    ]);
    expect(stdout).not.toContain('already stored');
    expect(await countObjects('conflict-other')).toBe(0);
  });

  it('prints the number of errors that the server does not list', async () => {
    const objects = Array.from({ length: 130 }, () => ({ object_id: 'x' }));
    const folder = await folderOf('many', { 'many.json': JSON.stringify({ batch_id: 'many', objects }) });
    const { code, stderr } = await load([folder]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(101);
    expect(stderr).toContain('many/many.json: /objects/99/data: is missing\n');
    expect(stderr).toContain('many/many.json: and 30 more errors, which the server does not list\n');
  });

  it('prints a summary of the stored objects after Ctrl-C, and exits with 130', async () => {
    const folder = await folderOf('interrupt', { 'a.json': batch('interrupt', 'interrupt-1') });
    const never = `${filesUrl}/never`;
    const running = stowage.start(['load', folder, never, never, 'left.json'], { STOWAGE_URL: origin });
    await running.prints(/a\.json: stored/);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(130);
    expect(stdout).toMatch(/^stored 1 object in 1 batch \(.*\)/m);
    expect(stdout).toMatch(/; 3 files not finished\n$/);
    expect(stderr).toContain(`${never}: not finished`);
  });

  it('says why it does not reach a server that speaks HTTP with https:// in STOWAGE_URL', async () => {
    const url = origin.replace(/^http:/, 'https:');
    // Versions of OpenSSL take the response for different mistakes.
    const reason = '(?:wrong version number|packet length too long)';
    expect(await load(['nowhere.json'], { STOWAGE_URL: url })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        `^stowage: cannot reach ${url}: the TLS handshake failed \\(${reason}\\); if the server speaks HTTP, STOWAGE_URL or --url must begin with http://\n$`,
      ),
    });
  });

  it('names the address that a proxy redirects to', async () => {
    const { code, stderr } = await load(['nowhere.json'], { STOWAGE_URL: `${filesUrl}/redirect` });
    expect([code, stderr]).toEqual([
      2,
      `stowage: ${filesUrl}/redirect redirects to https://stowage.example/; set STOWAGE_URL or --url to the address of the server\n`,
    ]);
  });

  it('exits with 2 and one line if the server is not reachable, or the URL or a valid key is missing', async () => {
    const wrong: [Record<string, string>, RegExp][] = [
      [{ STOWAGE_URL: 'http://127.0.0.1:4' }, /^stowage: cannot reach http:\/\/127\.0\.0\.1:4: .+\n$/],
      [{ STOWAGE_URL: '' }, /^stowage: PORT is 0 \(any free port\): set STOWAGE_URL .*\n$/],
      [{ STOWAGE_API_KEY: 'wrong' }, /^stowage: .* responded 401: Unauthorized: .*\n$/],
      [{ STOWAGE_API_KEY: '' }, /^stowage: no key: set STOWAGE_API_KEY or use --key\n$/],
    ];
    const ended = await Promise.all(wrong.map(([settings]) => load(['nowhere.json'], settings)));
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      wrong.map(([, line]) => ({ code: 2, stderr: expect.stringMatching(line) })),
    );
  });
});
