import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN_KEY, Stowage, type Ended } from './stowage.js';

const FIXTURES = join(process.cwd(), 'fixtures');
const DELIVERY = '2024-05-03-delivery-lisbon.json';
const RETURNS = '2024-06-14-returns-with-reasons.json';
const BODY_LIMIT_BYTES = 150_000;

let stowage: Stowage;
let origin: string;
/** Serves the returns' file; anything else it never answers. */
let files: Server;
let filesUrl: string;

beforeAll(async () => {
  stowage = await Stowage.make({ STOWAGE_ADMIN_KEY: ADMIN_KEY, BODY_LIMIT_BYTES: String(BODY_LIMIT_BYTES) });
  origin = await stowage.serve();
  const returns = await readFile(join(FIXTURES, RETURNS));
  files = createServer((request, response) => {
    if (request.url === '/returns.json') response.end(returns);
  });
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve));
  filesUrl = `http://127.0.0.1:${String((files.address() as AddressInfo).port)}`;
});
afterAll(async () => {
  files.closeAllConnections();
  await new Promise((resolve) => files.close(resolve));
  await stowage.remove();
});

function load(places: string[], settings: Record<string, string> = {}): Promise<Ended> {
  return stowage.run(['load', ...places], { STOWAGE_URL: origin, ...settings });
}

/** Writes files into a folder of their own, below the one that the command runs in. */
async function folderOf(name: string, contents: Record<string, string>): Promise<string> {
  await mkdir(join(stowage.folder, name));
  for (const [file, text] of Object.entries(contents)) await writeFile(join(stowage.folder, name, file), text);
  return name;
}

/** A batch file; each test has ids of its own. */
function batch(batchId: string, ...objectIds: string[]): string {
  return JSON.stringify({
    batch_id: batchId,
    objects: objectIds.map((id) => ({ object_id: id, data: { type: 'shoe' } })),
  });
}

async function get(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': ADMIN_KEY } });
  return { status: response.status, text: await response.text() };
}

/** Stores a batch without a process, where how it came there does not matter. */
async function put(batchId: string, content: string): Promise<void> {
  const headers = { 'X-Api-Key': ADMIN_KEY, 'Content-Type': 'application/json' };
  const response = await fetch(`${origin}/api/v1/batches/${batchId}`, { method: 'PUT', headers, body: content });
  expect(response.status).toBe(201);
}

async function countObjects(batchId: string): Promise<number> {
  const { text } = await get(`objects?batch_id=${batchId}&count=exact&page_size=1`);
  return (JSON.parse(text) as { count: number }).count;
}

describe('stowage load', () => {
  it('loads files and folders, and loads them again without doubling anything', async () => {
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

  it('loads a URL, stores every digit of a file, and takes a byte order mark for none of it', async () => {
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

  it('names the file and the place of every mistake, goes on with the other files, and ends with 1', async () => {
    const folder = await folderOf('mistakes', {
      'bad.json':
        '{"batch_id":"bad","objects":[{"object_id":"bad-1","data":[{"key":"","value":1}]},{"data":{"a":[1]}}]}',
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
      'mistakes/bad.json: /objects/0/data/0/key: must be text of 1 to 255 characters',
      'mistakes/bad.json: /objects/1/data/a: must be text, a number, true, false or null',
      'mistakes/bad.json: /objects/1/object_id: is missing',
      'mistakes/broken.json: The request could not be read: The body is not valid JSON at line 2, column 1.',
      'mistakes/cut.json: is not JSON: it ends too early',
      'mistakes/empty.json: is empty',
      expect.stringMatching(/^mistakes\/huge\.json: Over a limit: .* BODY_LIMIT_BYTES is 150,000; as NDJSON it may/),
      'mistakes/nameless.json: /batch_id: is missing',
      'mistakes/numbered.json: /batch_id: must be text of 1 to 255 characters without control characters',
      'mistakes/page.json: is not JSON: it begins with <',
      'mistakes/twice.json: /objects/1/object_id: "twice-1" stands in this batch already',
      'mistakes/unnamed.json: /objects: is missing',
      'nowhere.json: is not there',
    ]);
    expect(stdout).toMatch(/^mistakes\/zz-good\.json: stored 2 objects$/m);
    expect(stdout).toMatch(/^stored 2 objects in 1 batch \(.*\); 11 rejected; 1 file skipped, not a batch\n$/m);
    expect(stdout).toMatch(/^mistakes\/schema\.json: skipped, it is not a batch$/m);
    expect(named.stderr).toContain('schema.json: is not a batch');
    expect(await countObjects('bad')).toBe(0);
  });

  it('takes ids that exist in another batch for a mistake, not for a batch that was loaded before', async () => {
    const folder = await folderOf('conflicts', {
      'other.json': batch('conflict-other', 'conflict-1'),
      'grown.json': batch('conflict-old', 'conflict-1', 'conflict-2'),
    });
    await put('conflict-old', batch('conflict-old', 'conflict-1'));
    const { code, stdout, stderr } = await load([`${folder}/other.json`, `${folder}/grown.json`]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      'conflicts/grown.json: /batch_id: "conflict-old" exists already, with other content',
      'conflicts/other.json: /objects/0/object_id: "conflict-1" exists already',
    ]);
    expect(stdout).not.toContain('already stored');
    expect(await countObjects('conflict-other')).toBe(0);
  });

  it('tells how many mistakes there are beyond those that the server lists', async () => {
    const objects = Array.from({ length: 130 }, () => ({ data: {} }));
    const folder = await folderOf('many', { 'many.json': JSON.stringify({ batch_id: 'many', objects }) });
    const { code, stderr } = await load([folder]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(101);
    expect(stderr).toContain('many/many.json: /objects/99/object_id: is missing\n');
    expect(stderr).toContain('many/many.json: and 30 more, which the server does not list\n');
  });

  it('says on Ctrl-C what was stored, and ends with 130', async () => {
    const folder = await folderOf('interrupt', { 'a.json': batch('interrupt', 'interrupt-1') });
    const never = `${filesUrl}/never`;
    const running = stowage.start(['load', folder, never, never, 'left.json'], { STOWAGE_URL: origin });
    await running.prints(/a\.json: stored/);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(130);
    expect(stdout).toMatch(/^stored 1 object in 1 batch \(.*\)/m);
    expect(stdout).toMatch(/; 3 not finished\n$/);
    expect(stderr).toContain(`${never}: not finished`);
  });

  it('ends with 2 and one line when there is no server, no address of one, no key or a wrong one', async () => {
    const wrong: [Record<string, string>, RegExp][] = [
      [{ STOWAGE_URL: 'http://127.0.0.1:4' }, /^stowage: cannot reach http:\/\/127\.0\.0\.1:4: .+\n$/],
      [{ STOWAGE_URL: '' }, /^stowage: PORT is 0, any free one: set STOWAGE_URL .*\n$/],
      [{ STOWAGE_API_KEY: 'wrong' }, /^stowage: .* answers 401: A valid key is needed: .*\n$/],
      [{ STOWAGE_ADMIN_KEY: '' }, /^stowage: no key: set STOWAGE_API_KEY, or give --key\n$/],
    ];
    const ended = await Promise.all(wrong.map(([settings]) => load(['nowhere.json'], settings)));
    expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      wrong.map(([, line]) => ({ code: 2, stderr: expect.stringMatching(line) })),
    );
  });
});
