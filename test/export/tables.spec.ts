import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { readExport, trailersOf } from './export-client.js';

let api: TestApi;
let folder: string;
let duck: DuckDBConnection;

beforeAll(async () => {
  api = await TestApi.shared();
  folder = await mkdtemp(join(tmpdir(), 'stowage-export-'));
  duck = await (await DuckDBInstance.create()).connect();
});
afterAll(async () => {
  duck.closeSync();
  await rm(folder, { recursive: true });
  await api.stop();
});

/** A project with a batch of objects, given as JSON texts of their `data`. */
async function projectWith(...objects: string[]): Promise<TestProject> {
  const project = await api.project();
  const list = objects.map(
    (data, i) => `{"object_id":"o${String(i)}","observed_at":"2026-11-26T09:00:00.000001Z","data":${data}}`,
  );
  const body = `{"batch_id":"b","objects":[${list.join()}]}`;
  const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
  expect([reply.text, reply.status]).toEqual([reply.text, 201]);
  return project;
}

/** The lines of a CSV export after the first four columns. */
async function cellsOf({ keys }: TestProject, query = ''): Promise<string[]> {
  const { status, body, trailers } = await readExport(api, keys.analyst, `?format=csv${query}`);
  const lines = body.toString().split('\r\n');
  expect([status, lines.pop()]).toEqual([200, '']);
  expect(trailers).toEqual(trailersOf(body, lines.length - 1));
  return lines.map((line) => line.replace(/^(?:object_id,batch_id,subject,observed_at|o\d+,b,,[^,]*),?/, ''));
}

/** The columns and rows of a Parquet export, read by DuckDB; values are text. */
async function readParquet({ keys }: TestProject, query = ''): Promise<{ types: string[]; rows: (string | null)[][] }> {
  const { body, trailers } = await readExport(api, keys.analyst, `?format=parquet${query}`);
  const path = join(folder, `${keys.analyst.slice(-8)}.parquet`);
  await writeFile(path, body);
  const described = await duck.runAndReadAll(`DESCRIBE SELECT * FROM '${path}'`);
  const types = described.getRows().map(([name, type]) => `${String(name)} ${String(type)}`);
  const read = await duck.runAndReadAll(`SELECT COLUMNS(*)::text FROM '${path}'`);
  const rows = read.getRows() as (string | null)[][];
  expect(trailers).toEqual(trailersOf(body, rows.length));
  return { types, rows };
}

describe('an export as CSV', () => {
  it('has a row for each object and a column for each key, in the order in which they appear', async () => {
    const project = await projectWith('{"size":42,"type":"shoe"}', '{"color":"red","size":1.50}', '[]');
    const { headers, body } = await readExport(api, project.keys.analyst, '?format=csv');
    expect(headers).toMatchObject({
      'content-type': 'text/csv; charset=utf-8; header=present',
      'content-disposition': 'attachment; filename="objects.csv"',
    });
    const time = '2026-11-26T09:00:00.000001Z';
    expect(body.toString()).toBe(
      'object_id,batch_id,subject,observed_at,size,type,color\r\n' +
        `o0,b,,${time},42,shoe,\r\no1,b,,${time},1.50,,red\r\no2,b,,${time},,,\r\n`,
    );
  });

  it('has its rows in the order of sort, and its columns in the order of arrival', async () => {
    const project = await projectWith('{"size":42}', '{"color":"red"}', '{"size":7,"type":"shoe"}');
    expect(await cellsOf(project, '&sort=data.size')).toEqual(['size,color,type', '7,,shoe', '42,,', ',red,']);
    expect(await cellsOf(project, '&sort=-data.size&fields=data.size')).toEqual(['size', '42', '7', '']);
    const odd = JSON.stringify(`a'b"\\$1`);
    const quoted = await projectWith(`{${odd}:1,"n":1}`, `{${odd}:2,"n":2}`);
    const sort = encodeURIComponent(`-data.${odd}`);
    expect(await cellsOf(quoted, `&fields=data.n&sort=${sort}`)).toEqual(['n', '2', '1']);
  });

  it.each([
    ['a comma', '"a,b"', '"a,b"'],
    ['quotation marks', '"a \\"b\\" c"', '"a ""b"" c"'],
    ['line ends', '"a\\r\\nb"', '"a\r\nb"'],
    ['an empty text', '""', '""'],
    ['null', 'null', ''],
    ['a boolean', 'true', 'true'],
    ['a nested value', '{"a":[1.50,"b"],"c":null}', '"{""a"": [1.50, ""b""], ""c"": null}"'],
    ['a number with every digit', '12345678901234567890.10', '12345678901234567890.10'],
    ['an escape', '"\\u00e9\\t\\\\"', 'é\t\\'],
  ])('has %s as one cell', async (_, value, cell) => {
    const { keys } = await projectWith(`{"k":${value}}`);
    const { body } = await readExport(api, keys.analyst, '?format=csv');
    expect(body.toString().split('.000001Z,')[1]).toBe(`${cell}\r\n`);
  });

  it('has the values of a repeated key as a JSON list', async () => {
    const project = await projectWith('[{"key":"tag","value":"a"},{"key":"tag","value":1.0}]', '{"tag":"b"}');
    expect(await cellsOf(project)).toEqual(['tag', '"[""a"", 1.0]"', 'b']);
  });

  it('gives keys that are names of other columns a prefix, so that every column has its own name', async () => {
    const project = await projectWith('{"subject":1,"data.subject":2,"data.":3,"Subject":4}');
    expect(await cellsOf(project)).toEqual(['data.subject,data.data.subject,data.data.,Subject', '1,2,3,4']);
  });

  it('with safe=true has no text that a spreadsheet runs as a formula, and numbers as they are', async () => {
    const project = await projectWith(
      '{"=k":"=1+1","a":"+1","b":"-1","c":"@x","d":"\\tx","e":"\\rx","f":-5,"g":"a=b"}',
    );
    const [head, cells] = await cellsOf(project, '&safe=true');
    expect([head, cells]).toEqual(["'=k,a,b,c,d,e,f,g", `'=1+1,'+1,'-1,'@x,'\tx,"'\rx",-5,a=b`]);
    expect((await cellsOf(project))[1]).toBe(`=1+1,+1,-1,@x,\tx,"\rx",-5,a=b`);
    const rejected = await api.call('GET', '/objects/export?safe=true', { key: project.keys.analyst });
    expect(placesOf(expectProblem(rejected, 'invalid-query'))).toEqual(['safe']);
  });

  it('has only the header in an empty project', async () => {
    expect(await cellsOf(await api.project())).toEqual(['']);
  });

  it('is read by another program with the same values', async () => {
    const texts = ['plain', 'a,b', 'say "hi"', 'two\nlines', ' space ', 'é👢', "'", '0042', ''];
    const { keys } = await projectWith(...texts.map((text) => JSON.stringify({ t: text, n: 1 })));
    const { body } = await readExport(api, keys.analyst, '?format=csv');
    const path = join(folder, 'read.csv');
    await writeFile(path, body);
    const { getRows } = await duck
      .runAndReadAll(
        `SELECT t FROM read_csv('${path}', header = true, all_varchar = true, delim = ',', quote = '"', escape = '"', strict_mode = false) ORDER BY object_id`,
      )
      .then((read) => ({ getRows: read.getRows() }));
    expect(getRows.map(([text]) => text ?? '')).toEqual(texts);
  });
});

describe('an export as Parquet', () => {
  it('has typed columns that another program reads', async () => {
    const project = await projectWith(
      '{"t":"a","b":true,"i":42,"d":1.5}',
      '{"t":"é👢\\n","b":false,"i":-9223372036854775808,"d":42}',
      '{"t":null,"i":9223372036854775807,"d":-0.1}',
    );
    const { types, rows } = await readParquet(project);
    const own = ['object_id VARCHAR', 'batch_id VARCHAR', 'subject VARCHAR', 'observed_at TIMESTAMP WITH TIME ZONE'];
    expect(types).toEqual([...own, 't VARCHAR', 'b BOOLEAN', 'i BIGINT', 'd DOUBLE']);
    expect(rows.map((row) => row.slice(4))).toEqual([
      ['a', 'true', '42', '1.5'],
      ['é👢\n', 'false', '-9223372036854775808', '42.0'],
      [null, null, '9223372036854775807', '-0.1'],
    ]);
    expect(rows[0]?.slice(0, 3)).toEqual(['o0', 'b', null]);
    expect(rows[0]?.[3]).toMatch(/:00\.000001\+00$/);
  });

  it.each([
    ['text and numbers', ['"a"', '1'], ['"a"', '1']],
    ['whole numbers beyond 64 bits', ['9223372036854775808', '1'], ['9223372036854775808', '1']],
    ['numbers that no double has', ['0.12345678901234567', '1'], ['0.12345678901234567', '1']],
    ['whole numbers that no double has, beside fractions', ['9007199254740993', '0.5'], ['9007199254740993', '0.5']],
    ['booleans and text', ['true', '"true"'], ['true', '"true"']],
    ['nested values', ['[1,{"a":"]}\\""}]', '1'], ['[1, {"a": "]}\\""}]', '1']],
  ])('has %s as JSON text, exactly', async (_, values, texts) => {
    const { types, rows } = await readParquet(await projectWith(...values.map((value) => `{"k":${value}}`)));
    expect(types[4]).toBe('k VARCHAR');
    expect(rows.map((row) => row[4])).toEqual(texts);
  });

  it('has the values of a repeated key as a JSON list', async () => {
    const project = await projectWith('[{"key":"tag","value":"a"},{"key":"tag","value":null}]', '{"tag":"b"}', '{}');
    const { types, rows } = await readParquet(project);
    expect([types[4], rows.map((row) => row[4])]).toEqual(['tag VARCHAR', ['["a", null]', '"b"', null]]);
  });

  it('has all objects in order over several row groups, also large ones', async () => {
    const count = 4_321;
    const project = await projectWith(
      ...Array.from({ length: count }, (_, i) => `{"n":${String(i)},"x":"${'x'.repeat(i % 100 === 0 ? 100_000 : 1)}"}`),
    );
    const { rows } = await readParquet(project);
    expect(rows.map((row) => row[4])).toEqual(Array.from({ length: count }, (_, i) => String(i)));
    expect(rows.filter((row, i) => row[5]?.length !== (i % 100 === 0 ? 100_000 : 1))).toEqual([]);
  });

  it('has all columns of wide rows, whose row groups are written in parts', async () => {
    const [rowCount, columnCount] = [2_100, 60];
    const valueOf = (row: number, column: number): number => row * columnCount + column;
    const project = await projectWith(
      ...Array.from({ length: rowCount }, (_, row) => {
        const pairs = Array.from(
          { length: columnCount },
          (_, column) => `"k${String(column)}":${String(valueOf(row, column))}`,
        );
        return `{${pairs.join()}}`;
      }),
    );
    const { types, rows } = await readParquet(project);
    expect([types.length, rows.length]).toEqual([4 + columnCount, rowCount]);
    const isWrong = (cells: (string | null)[], row: number): boolean =>
      cells.slice(4).some((cell, column) => cell !== String(valueOf(row, column)));
    expect(rows.filter(isWrong)).toEqual([]);
  });

  it('has only the schema in an empty project', async () => {
    const { types, rows } = await readParquet(await api.project());
    expect([types.length, rows]).toEqual([4, []]);
  });

  it('is rejected without any column, and has the rows of objects without keys with one', async () => {
    const project = await projectWith('[]', '{}');
    const path = '/objects/export?format=parquet&fields=data';
    const rejected = await api.call('GET', path, { key: project.keys.analyst });
    expect(placesOf(expectProblem(rejected, 'invalid-query'))).toEqual(['fields']);
    expect((await readParquet(project, '&fields=data,object_id')).rows).toEqual([['o0'], ['o1']]);
  });

  it('is not compressed again', async () => {
    const { keys } = await projectWith('{}');
    const { headers } = await readExport(api, keys.analyst, '?format=parquet', { 'Accept-Encoding': 'gzip' });
    expect(headers).toMatchObject({ 'content-type': 'application/vnd.apache.parquet' });
    expect(headers).not.toHaveProperty('content-encoding');
  });
});

describe('a table', () => {
  it('has the columns that fields names, in its order, with the types of all their values', async () => {
    const project = await projectWith(
      '{"size":42,"type":"shoe","a,b":true,"subject":1}',
      '[{"key":"size","value":1.5},{"key":"type","value":null},{"key":"size","value":2}]',
    );
    const fields = '&fields=data.size,data."a,b",object_id,data.subject,data.none,object_id,data.size';
    const { body } = await readExport(api, project.keys.analyst, `?format=csv${fields}`);
    expect(body.toString()).toBe('size,"a,b",object_id,data.subject,none\r\n42,true,o0,1,\r\n"[1.5, 2]",,o1,,\r\n');
    const { types, rows } = await readParquet(project, fields);
    expect(types).toEqual(['size VARCHAR', 'a,b BOOLEAN', 'object_id VARCHAR', 'data.subject BIGINT', 'none VARCHAR']);
    expect(rows).toEqual([
      ['42', 'true', 'o0', '1', null],
      ['[1.5, 2]', null, 'o1', null, null],
    ]);
  });

  it('has the other keys in the place of data where fields names data', async () => {
    const project = await projectWith('{"size":42,"type":"shoe"}', '{"color":"red"}');
    for (const [fields, head] of [
      ['data', 'size,type,color'],
      ['data,object_id,data.type', 'size,color,object_id,type'],
    ] as const) {
      const { body } = await readExport(api, project.keys.analyst, `?format=csv&fields=${fields}`);
      expect(body.toString().split('\r\n')[0]).toBe(head);
      const { types } = await readParquet(project, `&fields=${fields}`);
      expect(types.map((column) => column.replace(/ .*/, '')).join()).toBe(head);
    }
  });

  it('has no columns of keys where fields names no data', async () => {
    const project = await projectWith('{"size":42}');
    const { body } = await readExport(api, project.keys.analyst, '?format=csv&fields=subject,object_id');
    expect(body.toString()).toBe('subject,object_id\r\n,o0\r\n');
    expect((await readParquet(project, '&fields=subject,object_id')).rows).toEqual([[null, 'o0']]);
  });

  it.each([
    ['fields', 'colour', '"colour" must be one of object_id'],
    ['fields', 'data.', 'must have keys of 1 to 255 characters'],
    ['data_as', 'object', 'requires format=ndjson'],
  ])('rejects %s=%s', async (name, value, detail) => {
    const { keys } = await api.project();
    const reply = await api.call('GET', `/objects/export?format=csv&${name}=${value}`, { key: keys.analyst });
    const problem = expectProblem(reply, 'invalid-query');
    expect([placesOf(problem), problem.errors?.[0]?.detail]).toEqual([[name], expect.stringContaining(detail)]);
  });

  it.each(['csv', 'parquet'])('of more than 500 columns is rejected: %s', async (format) => {
    const pairs = (from: number, count: number): string =>
      `{${Array.from({ length: count }, (_, i) => `"k${String(from + i)}":1`).join()}}`;
    const { keys } = await projectWith(pairs(0, 400), pairs(300, 200), pairs(500, 1));
    const path = `/objects/export?format=${format}`;
    const { detail } = expectProblem(await api.call('GET', path, { key: keys.analyst }), 'invalid-query');
    expect(detail).toContain('at most 500 columns');
    for (const narrower of ['observed_until=2000-01-01T00:00:00Z', 'fields=data.k0,data.k500']) {
      expect((await api.call('GET', `${path}&${narrower}`, { key: keys.analyst })).status).toBe(200);
    }
  });

  it('is returned in the format of the parameter only to a client that accepts it', async () => {
    const { keys } = await api.project();
    for (const [accept, status] of [
      ['text/csv', 200],
      ['text/*;q=0.1', 200],
      ['application/x-ndjson', 406],
    ] as const) {
      const headers = { Accept: accept };
      expect((await api.call('GET', '/objects/export?format=csv', { key: keys.analyst, headers })).status).toBe(status);
    }
  });
});
