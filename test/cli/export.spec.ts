import { execFile } from 'node:child_process';
import { access, lstat, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readExport, trailersOf } from '../export/export-client.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { postBatch } from '../objects/wire.js';
import { Stowage, type Ended } from './stowage.js';

let api: TestApi;
let stowage: Stowage;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  stowage = await Stowage.create();
  project = await api.project();
  const { producer } = project.keys;
  await postBatch(api, producer, 'shoes', [
    {
      object_id: 's1',
      data: [
        { key: 'tag', value: 'a\n"b' },
        { key: 'tag', value: 1.5 },
      ],
      subject: 'é👢',
    },
    { object_id: 's2', data: { type: 'shoe' }, observed_at: '2024-05-01T12:00:00.000001Z' },
  ]);
  await postBatch(api, producer, 'batch "2"', [{ object_id: 'x/1', data: {} }]);
  const late = { batch_id: 'shoes', object_id: 's3', data: { type: 'late' } };
  expect((await api.call('POST', '/objects', { key: producer, body: late })).status).toBe(201);
});
afterAll(async () => {
  await stowage.remove();
  await api.stop();
});

const run = (args: string[], key: string, url = api.origin): Promise<Ended> =>
  stowage.run(args, { STOWAGE_URL: url, STOWAGE_API_KEY: key });
const exportTo = (output: string, ...args: string[]): Promise<Ended> =>
  run(['export', '--output', output, ...args], project.keys.analyst);
const pathOf = (name: string): string => join(stowage.folder, name);
const exists = (name: string): Promise<boolean> =>
  access(pathOf(name)).then(
    () => true,
    () => false,
  );
const whole = async ({ keys }: TestProject, query = ''): Promise<string> =>
  (await readExport(api, keys.analyst, query)).body.toString();

/** Runs the command against a server that responds to the export in this way. */
async function exportFrom(respond: RequestListener, output: string, ...args: string[]): Promise<Ended> {
  const server: Server = createServer((request, response) => {
    if (request.url?.startsWith('/api/v1/objects/export') === true) respond(request, response);
    else response.setHeader('Content-Type', 'application/json').end('{"count":2}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    return await run(['export', '--output', output, ...args], 'a-key', url);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('stowage export', () => {
  it('writes everything to a file, and says how much', async () => {
    const { code, stdout, stderr } = await exportTo('all.ndjson');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^exported 4 objects \(\d\.\d kB\) to all\.ndjson \(.* objects\/s\)$/m);
    expect(await readFile(pathOf('all.ndjson'), 'utf8')).toBe(await whole(project));
  });

  it('removes the parts that killed exports to the same file have left, after a day', async () => {
    const id = '01234567-89ab-cdef-0123-456789abcdef';
    const names = [`left.csv.${id}.part`, `left.csv.${id.replace('0', 'f')}.part`, `left.${id}.part`];
    const [, young = '', other = ''] = names;
    const now = Date.now() / 1000;
    for (const name of names) {
      await writeFile(pathOf(name), '');
      await utimes(pathOf(name), now, now - (name === young ? 80_000 : 90_000));
    }
    expect(await exportTo('left.csv', '--format', 'csv')).toMatchObject({ code: 0 });
    const left = (await readdir(stowage.folder)).filter((name) => name.startsWith('left'));
    expect(left.sort()).toEqual([young, other, 'left.csv'].sort());
    for (const name of [young, other]) await rm(pathOf(name));
  });

  it.each([
    ['csv', ['safe=true']],
    ['parquet', []],
  ])('writes %s with the same bytes as the server returns', async (format, filters) => {
    const { code, stdout } = await exportTo(`all.${format}`, '--format', format, ...filters);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^exported 4 objects/m)]);
    const { body } = await readExport(
      api,
      project.keys.analyst,
      `?format=${format}${filters.map((one) => `&${one}`).join('')}`,
    );
    expect(await readFile(pathOf(`all.${format}`))).toEqual(body);
  });

  it('takes the filters, fields and order of the server', async () => {
    expect((await exportTo('some.ndjson', 'data={"type":"shoe"}', 'batch_id=shoes')).code).toBe(0);
    expect(await readFile(pathOf('some.ndjson'), 'utf8')).toBe(await whole(project, '?key=type&value=shoe'));
    expect((await exportTo('sorted.ndjson', 'fields=object_id,data.tag', 'sort=-object_id')).code).toBe(0);
    const sorted = await readFile(pathOf('sorted.ndjson'), 'utf8');
    expect(sorted).toBe(await whole(project, '?fields=object_id,data.tag&sort=-object_id'));
    expect(sorted.match(/"object_id":"[^"]*"/g)?.map((member) => member.slice(13, -1))).toEqual([
      'x/1',
      's3',
      's2',
      's1',
    ]);
  });

  it.each<[string, string[], RegExp]>([
    ['an unknown filter', ['nonsense=1'], /responded 400: Invalid query parameter: nonsense is not a parameter/],
    ['an unknown order', ['sort=colour'], /responded 400: .*sort must be one of object_id/],
    ['a parameter without a value', ['shoes'], /a parameter must be name=value, not "shoes"/],
    ['an unknown format', ['--format', 'xml'], /--format must be ndjson, csv, parquet/],
    ['standard output', ['--output', '-'], /--output must be a file/],
  ])('rejects %s with exit code 2', async (_, args, message) => {
    const { code, stderr } = await exportTo('rejected.ndjson', ...args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(await exists('rejected.ndjson')).toBe(false);
  });

  const LINES = '{"object_id":"a"}\n{"object_id":"b"}\n';
  const SHA256 = String(trailersOf(LINES, 2)['export-sha256']);
  const lastLine = (count: number, sha256 = SHA256): string => `${JSON.stringify({ export: { count, sha256 } })}\n`;

  /** The content codings of this Node.js; zstd since 22.15. */
  const { zstdCompressSync } = zlib as typeof zlib & { zstdCompressSync?: (text: string) => Buffer };
  const zstd: [string, (text: string) => Buffer][] = zstdCompressSync === undefined ? [] : [['zstd', zstdCompressSync]];

  it.each<[string, (text: string) => Buffer]>([
    ['identity', (text) => Buffer.from(text)],
    ['gzip', (text) => zlib.gzipSync(text)],
    ...zstd,
  ])('accepts a whole response without trailers: %s', async (coding, encode) => {
    let accepted: string | undefined;
    const ended = await exportFrom((request, response) => {
      accepted = String(request.headers['accept-encoding']);
      response.writeHead(200, { 'Content-Encoding': coding }).end(encode(LINES + lastLine(2)));
    }, `${coding}.ndjson`);
    expect([ended.code, ended.stderr]).toEqual([0, '']);
    expect(await readFile(pathOf(`${coding}.ndjson`), 'utf8')).toBe(LINES + lastLine(2));
    expect(accepted).toBe(zstd.length === 0 ? 'gzip' : 'zstd, gzip');
  });

  it.each<[string, string, RegExp]>([
    ['has no last line', LINES, /the last line, with the count, is missing/],
    ['ends within the last line', LINES + lastLine(2).slice(0, 40), /the last line, with the count, is missing/],
    ['lacks an object', LINES.slice(18) + lastLine(2), /the last line states 2 objects, and 1 objects were received/],
    ['was changed', LINES.replace('b', 'c') + lastLine(2), /the SHA-256 is not that of the last line/],
    ['is empty', '', /the last line, with the count, is missing/],
  ])('exits with 1 and leaves no file where the response %s', async (_, text, message) => {
    await writeFile(pathOf('kept.ndjson'), 'from before');
    const { code, stderr } = await exportFrom((_request, response) => response.end(text), 'kept.ndjson');
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
    expect(stderr).toMatch(/^kept\.ndjson: the export is not whole: /);
    expect(await readFile(pathOf('kept.ndjson'), 'utf8')).toBe('from before');
    expect((await readdir(stowage.folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('refuses a path that is not one of a file before it asks the server', async () => {
    await promisify(execFile)('mkfifo', [pathOf('fifo')]);
    for (const [name, message] of [
      ['fifo', /^stowage: fifo is a FIFO, which a whole file would replace: give the path of a file\n$/],
      ['.', /^stowage: \. is a folder: give the path of a file in it\n$/],
      ['no/such.csv', /^stowage: no\/such\.csv cannot be written: the folder no does not exist\n$/],
    ] as const) {
      const { code, stderr } = await run(['export', '--output', name], 'a-key', 'http://127.0.0.1:1');
      expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
    }
    expect((await lstat(pathOf('fifo'))).isFIFO()).toBe(true);
    await rm(pathOf('fifo'));
  });

  it('replaces the file behind a link, and nothing that became another kind of file meanwhile', async () => {
    await writeFile(pathOf('behind.ndjson'), 'from before');
    await symlink('behind.ndjson', pathOf('link.ndjson'));
    expect(await exportTo('link.ndjson')).toMatchObject({ code: 0 });
    expect((await lstat(pathOf('link.ndjson'))).isSymbolicLink()).toBe(true);
    expect(await readFile(pathOf('behind.ndjson'), 'utf8')).toBe(await whole(project));
    const { code, stderr } = await exportFrom((_request, response) => {
      void promisify(execFile)('mkfifo', [pathOf('late.ndjson')]).then(() => response.end(LINES + lastLine(2)));
    }, 'late.ndjson');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/late\.ndjson is a FIFO, which a whole file would replace/),
    ]);
    expect((await lstat(pathOf('late.ndjson'))).isFIFO()).toBe(true);
    expect((await readdir(stowage.folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('exits with 1 where the connection breaks, and for a table without trailers', async () => {
    const broken = await exportFrom((_, response) => {
      response.write(LINES, () => response.destroy());
    }, 'broken.ndjson');
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('the export is not whole: after')]);
    const table = await exportFrom((_, response) => response.end('a,b\r\n'), 'table.csv', '--format', 'csv');
    expect([table.code, table.stderr]).toEqual([
      1,
      expect.stringContaining('the trailers Export-Count and Export-SHA256 are missing'),
    ]);
    expect([await exists('broken.ndjson'), await exists('table.csv')]).toEqual([false, false]);
  });
});

describe('stowage load of an export', () => {
  const load = (name: string, key: string, ...args: string[]): Promise<Ended> => run(['load', name, ...args], key);

  it.each(['plain', 'gzip'])('restores the objects in their batches, and can be repeated: %s', async (compression) => {
    await exportTo('back.ndjson');
    const name = compression === 'gzip' ? 'back.ndjson.gz' : 'back.ndjson';
    if (compression === 'gzip') await writeFile(pathOf(name), zlib.gzipSync(await readFile(pathOf('back.ndjson'))));
    const into = await api.project();
    const first = await load(name, into.keys.admin);
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining(`${name}: stored 4 objects`)]);
    const again = await load(name, into.keys.admin);
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('already stored')]);
    // The objects of a batch are sent together, so an object that was added later comes before those of the next batch.
    const sorted = (text: string): string[] =>
      text
        .split('\n')
        .filter((line) => line.startsWith('{"object_id"'))
        .sort();
    expect(sorted(await whole(into))).toEqual(sorted(await whole(project)));
    for (const batch of ['shoes', encodeURIComponent('batch "2"')]) {
      const [mine, theirs] = await Promise.all(
        [project, into].map(({ keys }) => readExport(api, keys.analyst, `?batch_id=${batch}`)),
      );
      expect(theirs?.body.toString()).toBe(mine?.body.toString());
    }
  });

  it('keeps objects that exist', async () => {
    await exportTo('keep.ndjson');
    const into = await api.project();
    await postBatch(api, into.keys.producer, 'shoes', [{ object_id: 's2', data: { type: 'mine' } }]);
    expect((await load('keep.ndjson', into.keys.admin)).code).toBe(0);
    expect((await api.call('GET', '/objects/s2', { key: into.keys.analyst })).text).toContain('mine');
    expect((await api.call('GET', '/objects?count=exact', { key: into.keys.analyst })).json()).toMatchObject({
      count: 4,
    });
  });

  it('exits with 1 where another batch has the id of an object', async () => {
    await exportTo('elsewhere.ndjson');
    const into = await api.project();
    await postBatch(api, into.keys.producer, 'other', [{ object_id: 's2', data: { type: 'mine' } }]);
    const { code, stdout, stderr } = await load('elsewhere.ndjson', into.keys.admin);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('1 object of the batch "shoes" not stored: other batches have their ids'),
    ]);
    expect(stdout).toContain('stored 3 objects, 1 object rejected');
    const again = await load('elsewhere.ndjson', into.keys.admin);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining('1 object of the batch "shoes" not stored'),
    ]);
  });

  it.each<[string, (lines: string[]) => string[], string]>([
    [
      'without its last line',
      (lines) => lines.slice(0, -1),
      'is not whole: the last line is missing; 4 objects of it were sent',
    ],
    [
      'that lacks an object',
      (lines) => lines.slice(1),
      'is not whole: the last line states 4 objects; 3 objects of it were sent',
    ],
    ['that was changed', (lines) => lines.map((line) => line.replace('late', 'soon')), 'was changed: its SHA-256'],
    ['that is two files', (lines) => [...lines, ...lines], '/lines/6: must not follow the last line of an export'],
  ])('exits with 1 for a file %s', async (what, change, message) => {
    await exportTo('whole.ndjson');
    const lines = (await readFile(pathOf('whole.ndjson'), 'utf8')).trimEnd().split('\n');
    const name = `${what.replaceAll(' ', '-')}.ndjson`;
    await writeFile(pathOf(name), `${change(lines).join('\n')}\n`);
    const { code, stderr } = await load(name, (await api.project()).keys.admin);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${name}: ${message}`)]);
  });

  it('names the line of an object that the server rejects', async () => {
    await exportTo('reject.ndjson', 'batch_id=shoes');
    const text = (await readFile(pathOf('reject.ndjson'), 'utf8')).replace('"object_id":"s3"', '"object_id":"export"');
    await writeFile(pathOf('reject.ndjson'), text);
    const { code, stderr } = await load('reject.ndjson', (await api.project()).keys.admin);
    expect([code, stderr]).toEqual([1, expect.stringContaining('reject.ndjson: /lines/3/object_id: must not be')]);
    expect(stderr).toContain('was changed');
  });

  it('rejects options that would change the batches', async () => {
    await exportTo('options.ndjson');
    const { admin } = (await api.project()).keys;
    const replaced = await load('options.ndjson', admin, '--on-conflict', 'replace');
    expect([replaced.code, replaced.stderr]).toEqual([
      1,
      expect.stringContaining('cannot be used with --on-conflict replace'),
    ]);
    const renamed = await load('options.ndjson', admin, '--batch-id', 'other');
    expect([renamed.code, renamed.stderr]).toEqual([1, expect.stringContaining('cannot be used with --batch-id')]);
  });
});
