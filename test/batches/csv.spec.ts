import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { expectProblem } from '../errors/expect-problem.js';
import { readExport } from '../export/export-client.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitForJob, type Job } from '../jobs/jobs.js';
import { postBatch, type BatchBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

const put = (
  batchId: string,
  body: string | Buffer,
  { query = '', type = 'text/csv', headers = {}, of = project } = {},
): Promise<Reply> =>
  api.call('PUT', `/batches/${encodeURIComponent(batchId)}${query}`, {
    key: of.keys.producer,
    body,
    headers: { 'Content-Type': type, ...headers },
  });
const read = (batchId: string, of = project): Promise<Reply> =>
  api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: of.keys.analyst });
const dataOf = async (batchId: string, of = project): Promise<unknown[]> =>
  (await read(batchId, of))
    .json<WholeBatchBody>()
    .objects.map(({ data }) => data.map(({ key, value }) => [key, value]));

describe('PUT /batches/{batch_id} as text/csv', () => {
  it('stores one object per row, with typed values that keep every digit', async () => {
    const reply = await put('typed', '\ufeffname,n,ok\r\n"Ann, A.",0.1000,true\r\n\r\nBob,,007\r\n');
    expect([reply.status, reply.headers.get('location')]).toEqual([201, reply.json<BatchBody>().url]);
    expect(reply.json<BatchBody>()).toMatchObject({ batch_id: 'typed', object_count: 2 });
    expect((await read('typed')).text).toMatch(
      /"typed\.0".*"Ann, A\.".*"value": ?0\.1000\}.*true.*"typed\.1".*"Bob".*null.*"007"/s,
    );
  });

  it('is the batch that NDJSON with the same objects is', async () => {
    const rows = Array.from({ length: 2_000 }, (_, i) => `s-${String(i)},${String(i)},2026-01-01T00:00:00Z,"r\n1",x`);
    const csv = `sku,n,at,room,text\n${rows.join('\n')}\n`;
    const query = '?id=sku&observed_at=at&subject=text';
    expect((await put('same', csv, { query })).status).toBe(201);
    const lines = rows.map((_, i) =>
      JSON.stringify({
        object_id: `s-${String(i)}`,
        subject: 'x',
        observed_at: '2026-01-01T00:00:00Z',
        data: { n: i, room: 'r\n1' },
      }),
    );
    expect((await put('same', lines.join('\n'), { type: 'application/x-ndjson' })).status).toBe(200);
    expect((await put('same', csv, { query })).status).toBe(200);
    expectProblem(await put('same', csv.replace(',7,', ',8,'), { query }), 'conflict');
    expect((await put('same', 'sku,n\ns-0,1\n', { query: '?id=sku&on_conflict=replace' })).json()).toMatchObject({
      object_count: 1,
    });
  });

  it('takes another delimiter, no types, compression and a job', async () => {
    const query = '?delimiter=tab&types=text';
    const csv = gzipSync('a,b\tc\n1,2\t\n');
    expect((await put('options', csv, { query, headers: { 'Content-Encoding': 'gzip' } })).status).toBe(201);
    expect(await dataOf('options')).toEqual([
      [
        ['a,b', '1,2'],
        ['c', ''],
      ],
    ]);
    const accepted = await put('later', 'a;b\n1;2\n', { query: '?types=text', headers: { Prefer: 'respond-async' } });
    expect(accepted.status).toBe(202);
    await waitForJob(api, project.keys.producer, accepted.json<Job>());
    expect(await dataOf('later')).toEqual([
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ]);
  });

  it('stores nothing where a row is not valid, and the other rows with mode=partial', async () => {
    await postBatch(api, project.keys.producer, 'other', [{ object_id: 'taken', data: [] }]);
    const csv = 'sku,n\nfine,1\ntaken,2\nshort\n"a\nb",3\nfine,4\n';
    expect(expectProblem(await put('part', csv, { query: '?id=sku' }), 'invalid-body').errors).toEqual([
      { pointer: '/lines/4', detail: 'has 1 cell, but the header has 2 columns' },
      { pointer: '/lines/5/object_id', detail: expect.stringMatching(/^must not contain control .*\(column "sku"\)$/) },
    ]);
    const dry = await put('part', csv, { query: '?id=sku&mode=partial&dry_run=true' });
    expect(dry.json()).toMatchObject({ dry_run: true, status: 207, stored: 1, rejected: 4 });
    expectProblem(await read('part'), 'not-found');
    const reply = await put('part', csv, { query: '?id=sku&mode=partial' });
    expect([reply.status, reply.json()]).toMatchObject([207, { stored: 1, rejected: 4 }]);
    expect(reply.json<{ errors: unknown[] }>().errors).toContainEqual({
      pointer: '/lines/7/object_id',
      detail: '"fine" appears twice in this request',
    });
  });

  it('reports every id that appears twice, and nothing else, around a long row', async () => {
    const csv = `sku,text\nx,1\ny,${'z'.repeat(500_000)}\nx,2\n`;
    expect(expectProblem(await put('twice', csv, { query: '?id=sku' }), 'conflict').errors).toEqual([
      { pointer: '/lines/4/object_id', detail: '"x" appears twice in this request' },
    ]);
  });

  it.each(['text/csv; charset=latin1', 'text/csv; header=absent; charset=utf-8', 'text/csv;CHARSET="UTF-16"'])(
    'is not accepted as %s',
    async (type) => {
      const reply = await put('types', 'a\n1\n', { type });
      expectProblem(reply, 'unsupported-media-type');
      expect(reply.headers.get('accept')).toBe('text/csv; charset=utf-8');
    },
  );

  it('is accepted as UTF-8 and US-ASCII with a header', async () => {
    for (const parameters of ['; charset=UTF-8; header=present', ';charset="us-ascii"']) {
      expect((await put(`types ${parameters}`, 'a\n1\n', { type: `text/csv${parameters}` })).status).toBe(201);
    }
  });

  it('is required for the parameters of CSV', async () => {
    const query = '?id=a&subject=b&observed_at=c&types=text&delimiter=tab';
    for (const [type, body] of [
      ['application/json', '{"objects":[]}'],
      ['application/x-ndjson', ''],
    ] as const) {
      const problem = expectProblem(await put('parameters', body, { query, type }), 'invalid-query');
      expect(problem.errors?.map(({ parameter }) => parameter)).toEqual([
        'id',
        'subject',
        'observed_at',
        'types',
        'delimiter',
      ]);
    }
    expectProblem(await put('parameters', 'a\n', { query: '?delimiter=%23' }), 'invalid-query');
  });

  it('stores every table that another program writes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-csv-'));
    const duck = await (await DuckDBInstance.create()).connect();
    const text = fc.array(
      fc.constantFrom('a', 'é', '👢', ',', ';', '"', '""', '\n', '\r\n', ' ', '\t', '|', '1', "'"),
      {
        maxLength: 6,
      },
    );
    const row = fc.record({
      text: fc.option(text.map((parts) => `x${parts.join('')}`)),
      empty: fc.constantFrom('', null),
      whole: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      is: fc.option(fc.boolean()),
    });
    let tables = 0;
    type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;
    const check = async (rows: Row[], delimiter: string, isQuoted: boolean): Promise<void> => {
      const path = join(folder, `${String(++tables)}.csv`);
      await duck.run('CREATE OR REPLACE TABLE t (text text, empty text, whole bigint, "is, ""ok""?" boolean)');
      for (const { text, empty, whole, is } of rows) {
        await duck.run('INSERT INTO t VALUES ($1, $2, $3, $4)', [text, empty, whole, is]);
      }
      const quoted = isQuoted ? ', FORCE_QUOTE (text)' : '';
      await duck.run(`COPY t TO '${path}' (HEADER, DELIMITER '${delimiter}'${quoted})`);
      const batchId = `duck-${String(tables)}`;
      const reply = await put(batchId, await readFile(path));
      expect([reply.status, reply.text]).toEqual([201, reply.text]);
      const found = await read(batchId);
      // JavaScript would round the numbers.
      const values = found.text.replace(/"value": ?(-?\d+)\}/g, '"value":"$1n"}');
      const expected = rows.map(({ text, empty, whole, is }) => [
        ['text', text],
        ['empty', empty],
        ['whole', whole === null ? null : `${String(whole)}n`],
        ['is, "ok"?', is],
      ]);
      const objects = (JSON.parse(values) as WholeBatchBody).objects;
      expect(objects.map(({ data }) => data.map(({ key, value }) => [key, value]))).toEqual(expected);
    };
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(row, { maxLength: 8 }), fc.constantFrom(',', ';', '\t', '|'), fc.boolean(), check),
        { numRuns: 25 },
      );
    } finally {
      duck.closeSync();
      await rm(folder, { recursive: true });
    }
  });

  it('stores an export as CSV again', async () => {
    const [from, to] = [await api.project(), await api.project()];
    const objects = [
      { object_id: 'o1', subject: 'r,1', observed_at: '2026-11-26T09:00:00Z', data: { a: '"x"', n: 1.5, t: '' } },
      { object_id: 'o2', data: { a: true, n: -3, t: 'line\r\nbreak' }, observed_at: '2026-11-26T09:00:00.000001Z' },
    ];
    await postBatch(api, from.keys.producer, 'b', objects);
    const { body } = await readExport(api, from.keys.analyst, '?format=csv&fields=object_id,subject,observed_at,data');
    const query = '?id=object_id&subject=subject&observed_at=observed_at';
    expect((await put('b', body, { query, of: to })).status).toBe(201);
    const whole = async (of: TestProject): Promise<string> => (await read('b', of)).text;
    expect(await whole(to)).toBe(await whole(from));
  });
});
