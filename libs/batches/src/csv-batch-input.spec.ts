import { Config } from '#platform';
import { Problem, RequestStream } from '#http';
import { describe, expect, it } from '@jest/globals';
import type { PutBatchQuery } from './batch.dto.js';
import { RejectedObjects } from './batch-input.js';
import type { BatchObject } from './batch-object.js';
import { BatchParser } from './batch-parser.js';

const LIMIT = 2_000;

const settings = { DATABASE_URL: 'postgresql://none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
const parser = new BatchParser(new Config({ ...settings, BODY_LIMIT_BYTES: String(LIMIT) }));

interface Found {
  objects: BatchObject[];
  rejected: RejectedObjects;
  chunkSizes: number[];
}

async function readAll(pieces: Iterable<string | Buffer>, query: PutBatchQuery = {}): Promise<Found> {
  const bytes = async function* (): AsyncGenerator<Buffer> {
    for (const piece of pieces) yield await Promise.resolve(Buffer.from(piece));
  };
  const found: Found = { objects: [], rejected: new RejectedObjects(), chunkSizes: [] };
  for await (const chunk of parser.parseCsv(new RequestStream('text/csv', bytes(), 'client'), 'b', query).chunks()) {
    found.objects.push(...chunk.objects);
    found.rejected.addChunk(chunk);
    found.chunkSizes.push(chunk.objects.length);
  }
  return found;
}

const errorsOf = async (text: string | Buffer, query?: PutBatchQuery): Promise<string[]> =>
  (await readAll([text], query)).rejected.listed.map(
    (error) => `${'pointer' in error ? error.pointer : ''} ${error.detail}`,
  );

async function problemOf(pieces: Iterable<string | Buffer>, query?: PutBatchQuery): Promise<Problem> {
  const error: unknown = await readAll(pieces, query).catch((one: unknown) => one);
  if (error instanceof Problem) return error;
  throw new Error(`no problem: ${JSON.stringify(error)}`);
}

describe('a row of CSV', () => {
  it('is an object with a pair for each column, also for a repeated key', async () => {
    const { objects } = await readAll(['tag,size,tag,"x\ny"\nnew,42,,"a"\n\nred,1.50,true,007\n']);
    expect(objects).toEqual([
      {
        position: 3,
        objectId: 'b.0',
        subject: null,
        observedAt: null,
        data: '[{"key":"tag","value":"new"},{"key":"size","value":42},{"key":"tag","value":null},{"key":"x\\ny","value":"a"}]',
      },
      {
        position: 5,
        objectId: 'b.1',
        subject: null,
        observedAt: null,
        data: '[{"key":"tag","value":"red"},{"key":"size","value":1.50},{"key":"tag","value":true},{"key":"x\\ny","value":"007"}]',
      },
    ]);
  });

  it('has the id, the subject and the time of the columns that are named, which are not in its data', async () => {
    const { objects } = await readAll(['n,when,id,room\n1,2026-11-26T09:00:00,007,r1\n2,,x,""\n'], {
      id: 'id',
      subject: 'room',
      observed_at: 'when',
    });
    expect(objects).toEqual([
      {
        position: 2,
        objectId: '007',
        subject: 'r1',
        observedAt: '2026-11-26T09:00:00',
        data: '[{"key":"n","value":1}]',
      },
      { position: 3, objectId: 'x', subject: null, observedAt: null, data: '[{"key":"n","value":2}]' },
    ]);
  });

  it('is text in every cell with types=text', async () => {
    const { objects } = await readAll(['a,b,c\n42,true,\n'], { types: 'text' });
    expect(objects[0]?.data).toBe('[{"key":"a","value":"42"},{"key":"b","value":"true"},{"key":"c","value":""}]');
  });

  it('is rejected with the number of its cells, the line and the column of each error', async () => {
    const rows = ['ok,1,x', 'short,1', '.,nope,x', ',2026-01-01T00:00:00Z,x', 'nul,,"a\0b"', 'long,,x,y'];
    const query: PutBatchQuery = { id: 'sku', observed_at: 'at' };
    expect(await errorsOf(`sku,at,no/te\n${rows.join('\n')}\n`, query)).toEqual([
      expect.stringMatching(/^\/lines\/2\/observed_at must be a time such as .*\(column "at"\)$/),
      '/lines/3 has 2 cells, but the header has 3 columns',
      expect.stringMatching(/^\/lines\/4\/object_id must not be "\." .*\(column "sku"\)$/),
      expect.stringMatching(/^\/lines\/4\/observed_at must be a time/),
      '/lines/5/object_id must be 1 to 255 characters; got 0 (column "sku")',
      '/lines/6/data/no~1te contains U+0000, which cannot be stored (column "no/te")',
      '/lines/7 has 4 cells, but the header has 3 columns',
    ]);
  });

  it('is rejected where it is not UTF-8, with the byte', async () => {
    expect(await errorsOf(Buffer.from('id,name\n1,Jos\xe9\n2,Ann\n', 'latin1'), { subject: 'name' })).toEqual([
      '/lines/2/subject is not valid UTF-8 at the byte 0xE9; send the file as UTF-8 (column "name")',
    ]);
  });

  it('may contain the text \\u0000', async () => {
    expect((await readAll(['a\n\\u0000\n'])).objects[0]?.data).toBe('[{"key":"a","value":"\\\\u0000"}]');
  });

  it('is rejected where it exceeds the limit with its header and with exponents written out', async () => {
    const header = `${'k'.repeat(200)},v`;
    const row = (length: number): string => `${'x'.repeat(length - 2)},1`;
    expect((await readAll([`${header}\n${row(LIMIT - 202)}\n`])).objects).toHaveLength(1);
    expect((await problemOf([`${header}\n\n${row(LIMIT - 201)}\n`])).message).toMatch(
      /^Line 3, with the header and with exponents written out, exceeds object_limit_bytes, 2000 bytes; see/,
    );
    expect((await readAll([`${header}\nx,1e1700\n`])).objects).toHaveLength(1);
    expect((await problemOf([`${header}\nx,1e1800\n`])).slug).toBe('too-large');
  });
});

describe('a header', () => {
  it.each<[string, string, PutBatchQuery, string[]]>([
    [
      'without a name',
      'a,,""\n',
      {},
      ['column 2 must be 1 to 255 characters; got 0', 'column 3 must be 1 to 255 characters; got 0'],
    ],
    ['with a long name', `${'k'.repeat(256)}\n`, {}, ['column 1 must be 1 to 255 characters; got 256']],
    ['with U+0000', 'a,b\0\n', {}, ['column 2 contains U+0000, which cannot be stored']],
    [
      'without a column that is named',
      'a,b\n',
      { id: 'sku' },
      ['has no column "sku"; its columns are a, b (the object_id)'],
    ],
    [
      'with two columns that are named',
      'a,a\n',
      { observed_at: 'a' },
      ['has 2 columns "a"; give one of them another name (the observed_at)'],
    ],
  ])('is rejected with the column: %s', async (_, header, query, details) => {
    const { slug, errors } = await problemOf([`\n${header}1,2\n`], query);
    expect([slug, errors]).toEqual(['invalid-body', details.map((detail) => ({ pointer: '/lines/2', detail }))]);
  });

  it('that is not UTF-8 is rejected with the byte', async () => {
    const { errors } = await problemOf([Buffer.from('\ufeffid,name\n', 'utf16le')]);
    expect(errors).toMatchObject([{ detail: expect.stringMatching(/^column 1 is not valid UTF-8 at the byte 0xFF;/) }]);
  });

  it('without rows is a batch without objects', async () => {
    for (const text of ['a,b', 'a,b\n\n']) expect((await readAll([text])).chunkSizes).toEqual([0]);
  });

  it('is required', async () => {
    for (const text of ['', '\r\n\n'])
      expect((await problemOf([text])).message).toMatch(/^The body is empty; send a header/);
  });
});

describe('a file of CSV', () => {
  it('is read in small chunks, also in the middle of a long row', async () => {
    const many = await readAll([`a,b\n${'1,2\n'.repeat(10_000)}`]);
    expect(many.objects).toHaveLength(10_000);
    expect(Math.max(...many.chunkSizes)).toBe(250);
    const large = new BatchParser(new Config(settings));
    const bytes = async function* (): AsyncGenerator<Buffer> {
      yield await Promise.resolve(Buffer.from(`a\n${'x'.repeat(500_000)}\n`));
    };
    const sizes: number[] = [];
    for await (const chunk of large.parseCsv(new RequestStream('text/csv', bytes(), 'client'), 'b', {}).chunks()) {
      sizes.push(chunk.objects.length);
    }
    expect([sizes.length > 5, sizes.at(-1)]).toEqual([true, 1]);
  });

  it('is rejected with the place of a misplaced quotation mark', async () => {
    const { slug, message } = await problemOf(['a,b\n1,2\n3,4"5\n']);
    expect([slug, message]).toEqual([
      'malformed-request',
      expect.stringMatching(/^Line 3, column 2 has a quotation mark inside;.*\.$/),
    ]);
  });

  it('is rejected with the line of a row over the limit', async () => {
    const { slug, message } = await problemOf([`a,b\n1,2\n"${'x'.repeat(20_000)}`]);
    expect([slug, message]).toEqual([
      'too-large',
      'Line 3 exceeds object_limit_bytes, 2000 bytes, or a quotation mark is missing; see /api/v1/limits.',
    ]);
  });
});
