import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { Stowage, type Ended } from './stowage.js';

let api: TestApi;
let project: TestProject;
let stowage: Stowage;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  stowage = await Stowage.create({ STOWAGE_URL: api.origin, STOWAGE_API_KEY: project.keys.admin });
});
afterAll(async () => {
  await stowage.remove();
  await api.stop();
});

const load = (...args: string[]): Promise<Ended> => stowage.run(['load', ...args]);

async function write(contents: Record<string, string | Buffer>): Promise<void> {
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(join(stowage.folder, path, '..'), { recursive: true });
    await writeFile(join(stowage.folder, path), content);
  }
}

/** The objects of a batch, without their batch, as lines. */
async function linesOf(batchId: string): Promise<string[]> {
  const headers = { Accept: 'application/x-ndjson' };
  const path = `/batches/${encodeURIComponent(batchId)}?data_as=object&fields=object_id,subject,observed_at,data`;
  const { status, text } = await api.call('GET', path, { key: project.keys.analyst, headers });
  return status === 404 ? [] : text.trimEnd().split('\n');
}

const lines = (...texts: string[]): string => texts.map((text) => `${text}\n`).join('');

describe('stowage load of CSV', () => {
  it('stores a row as an object, with the columns and times that options name', async () => {
    const csv = lines(
      '\ufeffwhen;room;t;"no\nte"',
      '2024-10-27 01:30;r1;0.10;',
      '2024-10-27 02:30;;x;""',
      ';r2;007;true',
    );
    await write({ 'sensor.csv.gz': gzipSync(csv) });
    const args = ['sensor.csv.gz', '--observed-at', 'when', '--subject', 'room', '--time-zone', 'Europe/Berlin'];
    const unknown = await load(...args);
    expect([
      unknown.code,
      unknown.stderr.match(/^.*: \/lines\/\d\/observed_at: .*--time-format iso/gm)?.length,
    ]).toEqual([1, 2]);
    expect(await load(...args, '--time-format', 'iso')).toMatchObject({ code: 0, stderr: '' });
    expect(await linesOf('sensor')).toEqual([
      '{"object_id":"sensor.0","data":{"t":0.10,"no\\nte":null},"subject":"r1","observed_at":"2024-10-26T23:30:00Z"}',
      '{"object_id":"sensor.1","data":{"t":"x","no\\nte":""},"observed_at":"2024-10-27T00:30:00Z"}',
      '{"object_id":"sensor.2","data":{"t":"007","no\\nte":true},"subject":"r2"}',
    ]);
  });

  it('is the batch that PUT of text/csv makes', async () => {
    const csv = 'id,n,"a ""b"""\nx,1.50,\ny,,"1\n2"\n';
    await write({ 'twin.csv': csv });
    const headers = { 'Content-Type': 'text/csv' };
    const { admin: key } = project.keys;
    expect((await api.call('PUT', '/batches/twin?id=id', { key, body: csv, headers })).status).toBe(201);
    expect((await load('twin.csv', '--id', 'id')).stdout).toMatch(/^twin\.csv: already stored \(2 objects\)$/m);
  });

  it('takes a delimiter, cells as text, and lines that are neither header nor rows', async () => {
    await write({
      'log/logger.dat': lines('"TOA5","x"', 't|n', 'unit|V', 'avg|', '1|2', '3|4'),
      'log/b.tsv': 'a,b\tc\n1\t2\n',
    });
    const args = ['--format', 'csv', '--skip-lines', '1,3-4', '--delimiter', '|', '--types', 'text'];
    expect((await load('log/logger.dat')).stderr).toMatch(/^log\/logger\.dat: is not a batch: .* use --format csv\n$/);
    expect(await load('log/logger.dat', ...args)).toMatchObject({ code: 0, stderr: '' });
    await write({ 'preamble.csv': lines('Station 7', 't,n', '1,2') });
    expect((await load('preamble.csv')).stderr.split('\n')).toEqual([
      expect.stringMatching(/^preamble\.csv: \/lines\/2: has 2 cells, .* 1 column; .* such as --skip-lines 1$/),
      'preamble.csv: /lines/3: has 2 cells, but the header has 1 column',
      '',
    ]);
    expect(await linesOf('logger')).toEqual([
      '{"object_id":"logger.0","data":{"t":"1","n":"2"}}',
      '{"object_id":"logger.1","data":{"t":"3","n":"4"}}',
    ]);
    expect((await load('log')).stdout).toMatch(/^log\/b\.tsv: stored 1 object$/m);
    expect(await linesOf('b')).toEqual(['{"object_id":"b.0","data":{"a,b":1,"c":2}}']);
  });

  it('names the line of each error, and stores the other rows with --partial', async () => {
    const latin1 = Buffer.from('caf\xe9,3\n', 'latin1');
    const csv = Buffer.concat([Buffer.from('sku,n\n"o\nk",1\nshort\n'), latin1, Buffer.from('.,4\nlast,5\n')]);
    await write({ 'bad.csv': csv, 'quote.csv': 'a\nx"y\n', 'nameless.csv': 'a,,b\n' });
    const whole = await load('bad.csv', '--id', 'sku');
    expect([whole.code, whole.stderr.trimEnd().split('\n')]).toEqual([
      1,
      [
        'bad.csv: /lines/4: has 1 cell, but the header has 2 columns',
        'bad.csv: /lines/5: is not valid UTF-8 at the byte 0xE9; send the file as UTF-8 (sku)',
      ],
    ]);
    const part = await load('bad.csv', '--id', 'sku', '--partial');
    expect(part.stderr).toContain('bad.csv: /lines/6/object_id: must not be "."');
    expect(part.stderr).toContain('bad.csv: /lines/2/object_id: must not contain control characters');
    expect(part.stdout).toMatch(/^bad\.csv: stored 1 object, 4 objects rejected$/m);
    expect(await linesOf('bad')).toEqual(['{"object_id":"last","data":{"n":5}}']);
    const others = await load('quote.csv', 'nameless.csv', 'twin.csv', '--id', 'sku', '--concurrency', '1');
    expect(others.stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^quote\.csv: \/lines\/2: column 1 has a quotation mark inside;/),
      'nameless.csv: /lines/1: column 2 of the header has no name',
      'twin.csv: /lines/1: has no column "sku" (--id); its columns are id, n, a "b"',
    ]);
  });
});

describe('stowage load of JSON documents', () => {
  it('stores the features of GeoJSON with their ids, properties and geometry', async () => {
    const feature = (id: unknown, properties: string): string =>
      `{"type":"Feature","properties":${properties},\n "geometry":{"type":"Point","coordinates":[1,2.50]},"id":${JSON.stringify(id)}}`;
    const features = [
      feature('q1', '{"mag":4.50,"time":1699999999999}'),
      feature(7, '{"time":0}'),
      feature('bad', '{"time":"x"}'),
    ];
    await write({
      'geo/quakes.geojson': `{"type":"FeatureCollection","metadata":{"n":1},"features":[${features.join(',\n')}]}`,
    });
    const { code, stderr } = await load('geo', '--observed-at', 'time', '--time-format', 'ms', '--partial');
    expect([code, stderr]).toEqual([
      1,
      'geo/quakes.geojson: /features/2/observed_at: "x" is no time of the format ms (--time-format) (time)\n',
    ]);
    const geometry = '"geometry":{"type": "Point", "coordinates": [1, 2.50]}';
    expect(await linesOf('quakes')).toEqual([
      `{"object_id":"q1","data":{${geometry},"mag":4.50},"observed_at":"2023-11-14T22:13:19.999Z"}`,
      `{"object_id":"quakes.7","data":{${geometry}},"observed_at":"1970-01-01T00:00:00Z"}`,
    ]);
  });

  it('stores lines of mongoexport with plain values', async () => {
    await write({
      'books.json': lines(
        '{"_id":{"$oid":"53c2ae85"},"pages":{"$numberLong":"12345678901234567890"},"at":{"$date":"2009-04-01T00:00:00.000-0700"}}',
        '{"_id":2,"tags":["a",{"n":{"$numberInt":"7"}}],"at":{"$date":{"$numberLong":"1243994400000"}},"x":{"$numberDouble":"NaN"}}',
      ),
    });
    expect(await load('books.json', '--observed-at', 'at')).toMatchObject({ code: 0, stderr: '' });
    expect(await linesOf('books')).toEqual([
      '{"object_id":"53c2ae85","data":{"pages":12345678901234567890},"observed_at":"2009-04-01T07:00:00Z"}',
      '{"object_id":"books.2","data":{"tags":["a", {"n": 7}],"x":"NaN"},"observed_at":"2009-06-03T02:00:00Z"}',
    ]);
  });

  it('stores a list of mongoexport the same way, also over several lines', async () => {
    const documents = ['{"_id":{"$oid":"53c2ae99"},"n":{"$numberInt":"1"}}', '{"_id":{"$oid":"53c2aea0"},"n":2}'];
    const pretty = JSON.stringify(JSON.parse(`[${documents.join()}]`), null, '\t').replaceAll('53c2', '54d3');
    await write({ 'mongo.json': `[${documents.join(',\n')}]\n`, 'pretty.json.gz': gzipSync(pretty) });
    expect(await load('mongo.json', 'pretty.json.gz')).toMatchObject({ code: 0, stderr: '' });
    expect(await linesOf('mongo')).toEqual([
      '{"object_id":"53c2ae99","data":{"n":1}}',
      '{"object_id":"53c2aea0","data":{"n":2}}',
    ]);
    expect(await linesOf('pretty')).toEqual([
      '{"object_id":"54d3ae99","data":{"n":1}}',
      '{"object_id":"54d3aea0","data":{"n":2}}',
    ]);
  });

  it('stores the elements of a list, and other documents where an option says so', async () => {
    const documents = ['{"sku":{"id":70},\n"n":1.0,"o":{"a":{"b":null},"e":{}}}', '{"sku":{"id":"8"},"n":"x"}'];
    await write({
      'list.json': `[${documents.join()}]`,
      'lines.ndjson': lines(...documents.map((text) => text.replace('\n', ''))),
      'one.json': '{"a":1} {"a":2}\n\n{"a":3}',
    });
    expect(await load('list.json', '--id', 'sku.id', '--flatten')).toMatchObject({ code: 0, stderr: '' });
    expect(await linesOf('list')).toEqual([
      '{"object_id":"70","data":{"sku.id":70,"n":1.0,"o.a.b":null,"o.e":{}}}',
      '{"object_id":"8","data":{"sku.id":"8","n":"x"}}',
    ]);
    const asked = await load('lines.ndjson', 'one.json', '--concurrency', '1');
    expect(asked.stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(
        /^lines\.ndjson: \/lines\/1: has no objects with "data"; .* --id name, or use --format documents$/,
      ),
      expect.stringMatching(/^one\.json: is not a batch: .* --id name, or use --format documents$/),
    ]);
    expect(await load('lines.ndjson', 'one.json', '--format', 'documents')).toMatchObject({ code: 0, stderr: '' });
    expect(await linesOf('one')).toEqual(
      [0, 1, 2].map((n) => `{"object_id":"one.${String(n)}","data":{"a":${String(n + 1)}}}`),
    );
    expect(await linesOf('lines')).toHaveLength(2);
    const mixed = await load('list.json', '--id', 'none', '--batch-id', 'mixed');
    expect(mixed.stderr.trimEnd().split('\n')).toEqual(
      [0, 1].map((index) => `list.json: /${String(index)}/object_id: has no "none", which is the id (--id)`),
    );
  });

  it('rejects the options of documents for files that have objects already', async () => {
    await write({
      'batch.json': '{"batch_id":"b","objects":[]}',
      'sprockets.json': '{"sprockets":[]}',
      'export.ndjson': '{"object_id":"x","batch_id":"b","data":[]}\n',
    });
    const files = ['batch.json', 'sprockets.json', 'export.ndjson'];
    const { stderr } = await load(...files, '--id', 'a', '--batch-size', '5', '--concurrency', '1');
    expect(stderr.trimEnd().split('\n')).toEqual([
      'batch.json: is a batch file, which cannot be used with --id, --batch-size',
      'sprockets.json: contains sprockets, which cannot be used with --id, --batch-size',
      'export.ndjson: contains batches with ids of their own, which cannot be used with --id, --batch-size',
    ]);
  });

  it.each([
    ['--time-format', 'HH:mm'],
    ['--time-zone', 'Nowhere'],
    ['--types', 'number'],
    ['--delimiter', 'ab'],
    ['--skip-lines', '3-'],
    ['--batch-size', '0'],
    ['--format', 'xml'],
  ])('rejects an invalid %s with one line, and exits with 2', async (option, value) => {
    const { code, stderr } = await load('twin.csv', option, value);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(new RegExp(`^stowage: ${option} must be .*"${value}"\\n$`)),
    ]);
  });
});

describe('stowage load of a file that has more than it should', () => {
  it.each([
    ['lists.json', '[{"k":1}]\n[{"k":2}]', 'lists.json: has more JSON after its list, in line 2'],
    [
      'collections.geojson',
      '{"type":"FeatureCollection","features":[]}\n{"type":"FeatureCollection","features":[]}',
      'collections.geojson: has more JSON after its list, in line 2',
    ],
    ['twice.csv', 'k,k,a\n1,2,3\n', 'twice.csv: /lines/1: has 2 columns "k" (--id)'],
  ])('stores nothing of %s', async (name, text, message) => {
    await write({ [name]: text });
    const { code, stderr } = await load(name, ...(name.endsWith('.csv') ? ['--id', 'k'] : []));
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
    expect(await linesOf(name.split('.')[0] ?? '')).toEqual([]);
  });
});

describe('stowage load with --batch-size', () => {
  it('stores a file in several batches, and continues where an earlier run ended', async () => {
    const rows = Array.from({ length: 7 }, (_, i) => `r${String(i)},${String(i)}`);
    await write({ 'many.csv': lines('id,n', ...rows.slice(0, 5), 'r0,again') });
    const args = ['many.csv', '--id', 'id', '--batch-size', '3'];
    const first = await load(...args);
    expect(first.stdout).toMatch(/^many\.csv \(many-000001\): stored 3 objects$/m);
    expect(first.stderr).toMatch(/^many\.csv \(many-000002\): \/lines\/7\/object_id: "r0" exists already[^\n]*\n$/);
    await write({ 'many.csv': lines('id,n', ...rows) });
    expect((await load(...args)).stdout).toMatch(
      /^many\.csv \(many-000001\): already stored \(3 objects\)\nmany\.csv \(many-000002\): stored 3 objects\nmany\.csv \(many-000003\): stored 1 object\nstored 4 objects in 2 batches/,
    );
    expect((await load(...args)).stdout).toMatch(/; 1 batch already stored; 2 batches not compared$/m);
    const { producer } = project.keys;
    const asProducer = await stowage.run(['load', ...args], { STOWAGE_API_KEY: producer });
    expect(asProducer.stdout).toMatch(/; 3 batches already stored$/m);
    // Another option changes the objects, which the first batch shows.
    expect((await load(...args, '--types', 'text')).stderr).toMatch(
      /^many\.csv \(many-000001\): .* with other content\n$/,
    );
  });

  it('rejects a second file of the same name, whose batches would look stored', async () => {
    await write({ 'd1/same.csv': lines('n', '1', '2', '3'), 'd2/same.csv': lines('n', '1', '2', '9') });
    const { code, stderr } = await load('d1/same.csv', 'd2/same.csv', '--batch-size', '2');
    expect([code, stderr]).toEqual([1, expect.stringContaining('"same" is also the batch of d')]);
  });

  it('reports the documents that are left out with --partial, also after the last batch', async () => {
    await write({ 'holes.csv': lines('id,n', 'h1,1', 'x', 'h2,2', 'y', 'z,3,4') });
    const { code, stdout, stderr } = await load('holes.csv', '--id', 'id', '--batch-size', '1', '--partial');
    expect([code, stderr.match(/\/lines\/\d+/g)]).toEqual([1, ['/lines/3', '/lines/5', '/lines/6']]);
    expect(stdout).toMatch(/^stored 2 objects in 2 batches/m);
    const rejects = (await readFile(join(stowage.folder, 'rejects.ndjson'), 'utf8')).trimEnd().split('\n');
    expect(rejects.map((text) => (JSON.parse(text) as { line: string }).line)).toEqual(['x', 'y', 'z,3,4']);
  });

  it('adds a corrected document to its batch, and finds that documents have moved', async () => {
    const rows = Array.from({ length: 6 }, (_, i) => `m${String(i)},${String(i)}`);
    const args = ['moved.csv', '--id', 'id', '--batch-size', '2', '--partial'];
    await write({ 'moved.csv': lines('id,n', ...rows.map((row, i) => (i === 2 ? 'bad' : row))) });
    expect((await load(...args)).stdout).toMatch(/^moved\.csv \(moved-000002\): stored 1 object, 1 object rejected$/m);
    await write({ 'moved.csv': lines('id,n', ...rows) });
    const corrected = await load(...args, '--on-conflict', 'skip');
    expect(corrected.stdout).toMatch(
      /^moved\.csv \(moved-000002\): extended by 1 object, skipped 1 object whose id exists$/m,
    );
    expect((await load(...args)).stdout).toMatch(/; 1 batch already stored; 2 batches not compared$/m);
    // The batches still have two objects each.
    await write({ 'moved.csv': lines('id,n', ...rows.filter((_, i) => i !== 2), 'm6,6') });
    const { code, stderr } = await load(...args);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^moved\.csv \(moved-000002\): .* with other content\n$/),
    ]);
  });

  it('stores lines of objects, which keep their ids', async () => {
    await write({
      'objects.ndjson': lines('{"object_id":"p1","data":{"n":0.10}}', '', '{"data":{}}', '{"object_id":"p3"}'),
    });
    const { stderr } = await load('objects.ndjson', '--batch-size', '2');
    expect(stderr).toBe('objects.ndjson (objects-000002): /lines/4/data: is missing\n');
    expect(await linesOf('objects-000001')).toEqual([
      '{"object_id":"p1","data":{"n":0.10}}',
      '{"object_id":"objects-000001.1","data":{}}',
    ]);
  });
});
