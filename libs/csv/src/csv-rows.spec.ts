import { describe, expect, it } from '@jest/globals';
import { CsvError } from './csv-error.js';
import { csvRows, type CsvRow } from './csv-rows.js';

const LIMIT = 1_000;

async function* bytesOf(pieces: Iterable<string | Buffer>): AsyncGenerator<Buffer> {
  for (const piece of pieces) yield await Promise.resolve(Buffer.from(piece));
}

async function read(pieces: Iterable<string | Buffer>, delimiter?: string): Promise<CsvRow[]> {
  const found: CsvRow[] = [];
  for await (const { rows } of csvRows(bytesOf(pieces), { delimiter, rowBytesMax: LIMIT })) found.push(...rows);
  return found;
}

const cells = async (text: string | Buffer, delimiter?: string): Promise<CsvRow['cells'][]> =>
  (await read([text], delimiter)).map((row) => row.cells);

async function errorOf(pieces: Iterable<string | Buffer>, delimiter?: string): Promise<CsvError> {
  const error: unknown = await read(pieces, delimiter).catch((reason: unknown) => reason);
  if (error instanceof CsvError) return error;
  throw new Error('the file was read', { cause: error });
}

describe('rows', () => {
  it.each([
    ['LF', 'a,b\n1,2\n'],
    ['CR LF', 'a,b\r\n1,2\r\n'],
    ['CR', 'a,b\r1,2\r'],
    ['no line end', 'a,b\n1,2'],
    ['mixed line ends and empty lines', '\r\n\na,b\r\n\r\n\n1,2\r'],
  ])('end with %s', async (_, text) => {
    expect(await cells(text)).toEqual([
      ['a', 'b'],
      ['1', '2'],
    ]);
  });

  it('have cells with delimiters, quotation marks and line breaks in quotation marks', async () => {
    expect(await cells('a,b\n"x,""y""\r\nz",""\n')).toEqual([
      ['a', 'b'],
      ['x,"y"\r\nz', ''],
    ]);
  });

  it('tell an empty cell without quotation marks from empty text', async () => {
    expect(await cells('a,b,c,d\n,"",,"x"\n"a,""",,"",\n""\n', ',')).toEqual([
      ['a', 'b', 'c', 'd'],
      [null, '', null, 'x'],
      ['a,"', null, '', null],
      [''],
    ]);
  });

  it('may have any number of cells', async () => {
    expect(await cells('a,b\n1\n1,2,3\n')).toEqual([['a', 'b'], ['1'], ['1', '2', '3']]);
  });

  it('have the line on which they begin', async () => {
    const text = '\na,b\n"1\n2\r\n3",x\r\n\r\n"\r",y\nz,z';
    expect((await read([text])).map(({ line }) => line)).toEqual([2, 3, 7, 9]);
  });

  it('are the same for any parts of the file', async () => {
    const text = Buffer.from('\n\r\nä;"b ""ö"""\r\n"1\r\n2";\n;""\n\r\n€;7');
    const whole = await read([text]);
    expect(whole).toHaveLength(4);
    expect(await read([...text].map((byte) => Buffer.from([byte])))).toEqual(whole);
    expect(
      await read(
        [...text].map((byte) => Buffer.from([byte])),
        ';',
      ),
    ).toEqual(whole);
  });

  it('are decoded from UTF-8, and a cell that is not UTF-8 is reported with its byte', async () => {
    const [header, first, second] = await read([
      Buffer.concat([Buffer.from('ä,b\nx\ufffd,'), Buffer.from([0x41, 0xe9, 10]), Buffer.from('€,\n')]),
    ]);
    expect([header?.cells, header?.invalid]).toEqual([['ä', 'b'], undefined]);
    expect([first?.cells[0], first?.invalid]).toEqual(['x\ufffd', { cell: 1, byte: 0xe9 }]);
    expect([second?.cells, second?.invalid]).toEqual([['€', null], undefined]);
  });
});

describe('the delimiter', () => {
  it.each([
    [',', 'a,b;c,d'],
    [';', 'a;"b,c,d";e'],
    ['\t', 'a\tb\tc,d'],
    ['|', 'a|b'],
  ])('is the one that the header has most often outside of quotation marks: %j', async (delimiter, header) => {
    const [columns] = await cells(`${header}\n`);
    expect(columns).toEqual((await cells(`${header}\n`, delimiter))[0]);
    expect(columns?.length).toBeGreaterThan(1);
  });

  it('is a comma in a header without any', async () => {
    expect(await cells('a\n1,2\n')).toEqual([['a'], ['1', '2']]);
  });

  it('cannot be found where two are equally frequent, but can be given', async () => {
    expect((await errorOf(['a,b;c\n'])).message).toBe('line 1 has as many "," as ";"; name the delimiter');
    expect(await cells('a,b;c\n', ';')).toEqual([['a,b', 'c']]);
  });
});

describe('a file that cannot be read', () => {
  it.each([
    ['a,b\n"x\ny",z\n1,2"3\n', 'line 4, column 2 has a quotation mark inside; '],
    ['a,b\n1,"2"3\n', 'line 2, column 2 has a quotation mark inside; '],
    ['a,b\n1,"2\n3\n', 'line 2, column 2 has no quotation mark at its end'],
  ])('is rejected with the line and the column of the quotation mark: %j', async (text, message) => {
    for (const pieces of [[text], [...text]]) expect((await errorOf(pieces)).message).toContain(message);
  });

  it.each([
    ['a long cell', 'x'.repeat(LIMIT + 1)],
    ['many empty cells', ','.repeat(LIMIT + 1)],
  ])('is rejected with the line of a row over the limit: %s', async (_, row) => {
    for (const pieces of [[`a,b\n\n1,2\n${row}\n`], ['a,b\n\n1,2\n', ...row, '\n']]) {
      const { line, isTooLong } = await errorOf(pieces);
      expect([line, isTooLong]).toEqual([4, true]);
    }
    expect(await read([`a,b\n${row.slice(1)}\r\n`])).toHaveLength(2);
  });

  it.each([
    ['a row', 'a,b\n1,2\n', ','],
    ['a header', '', 'x'],
    ['a cell with a quotation mark', 'a,b\n', '"'],
    ['empty lines', 'a,b\n', '\n'],
  ])('is read no further than its limit allows: %s', async (_, start, byte) => {
    let readBytes = 0;
    const endless = function* (): Generator<string> {
      yield start;
      for (; ; readBytes += 100) yield byte.repeat(99) + (byte === '"' ? 'x' : byte);
    };
    expect((await errorOf(endless())).line).toBe(start === 'a,b\n1,2\n' ? 3 : start === '' ? 1 : 2);
    expect(readBytes).toBeLessThan(40_000);
  });
});
