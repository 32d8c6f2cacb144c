import { describe, expect, it } from '@jest/globals';
import { FileError, firstRows, rowsAt } from './rows.js';

const CSV = '\ufeffa,b\r\n"1\r\n2",x\r\r\n\n"3\n",y\rz,"""\n"';

/** A file that arrives in parts of one byte. */
function slowly(text: string): Blob {
  const bytes = new TextEncoder().encode(text);
  const stream = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start: (controller) => {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
  return { stream } as unknown as Blob;
}

describe('the rows of a file', () => {
  it('end at one that is too long, because of a quotation mark that is not closed', async () => {
    const file = new Blob(['a,b\n1,5" pipe\n', '2,x\n'.repeat(1_000_000)]);
    await expect(firstRows(file, true, 9)).rejects.toThrow(FileError);
  });

  it('of NDJSON are its lines that are not empty, with their numbers', async () => {
    for (const file of [new Blob(['{"ä":1}\r\n\n"\n2']), slowly('{"ä":1}\r\n\n"\n2')]) {
      const rows = await firstRows(file, false, 9);
      expect(rows.map(({ line, text }) => [line, text.trimEnd()])).toEqual([
        [1, '{"ä":1}'],
        [3, '"'],
        [4, '2'],
      ]);
    }
  });

  it('of CSV go on after a line break in quotation marks, and have the number of their first line', async () => {
    for (const file of [new Blob([CSV]), slowly(CSV)]) {
      expect(await firstRows(file, true, 9)).toEqual([
        { line: 1, text: 'a,b' },
        { line: 2, text: '"1\r\n2",x' },
        { line: 6, text: '"3\n",y' },
        { line: 8, text: 'z,"""\n"' },
      ]);
    }
  });

  it('are found by their numbers', async () => {
    expect((await rowsAt(new Blob([CSV]), true, new Set([2, 6]))).map(({ line }) => line)).toEqual([2, 6]);
    expect(await firstRows(new Blob([CSV]), true, 1)).toHaveLength(1);
  });
});
