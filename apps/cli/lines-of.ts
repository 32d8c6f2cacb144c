import type { BatchFile } from './batch-file.js';
import { inflated } from './opened-source.js';

const LINE_FEED = 10;
/** A longer line is not copied: what is looked for has to fit into memory, and a person has to read it. */
const LINE_BYTES_MAX = 1024 ** 2;

/**
 * Reads a file again, for the lines of these numbers; they count from 1, empty ones too. Of what cannot be read again
 * (standard input) or not here (zstd) there are none.
 */
export async function linesOf(file: BatchFile, numbers: ReadonlySet<number>): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  if (!file.isRepeatable || file.encoding === 'zstd') return found;
  try {
    const content = inflated(await file.bytes(), file.encoding);
    let number = 1;
    // The part of a wanted line that came before this chunk; undefined for a line that is too long.
    let before: Buffer | undefined = Buffer.alloc(0);
    for await (const piece of content) {
      const chunk = piece as Buffer;
      let start = 0;
      for (let end; (end = chunk.indexOf(LINE_FEED, start)) !== -1; start = end + 1) {
        if (numbers.has(number)) keep(found, number, before, chunk.subarray(start, end));
        if (found.size === numbers.size) return found;
        before = Buffer.alloc(0);
        number++;
      }
      if (numbers.has(number)) before = joined(before, chunk.subarray(start));
    }
    if (numbers.has(number)) keep(found, number, before, Buffer.alloc(0));
  } catch {
    // It is gone or has changed: its mistakes are told without their lines.
  }
  return found;
}

function keep(found: Map<number, string>, number: number, before: Buffer | undefined, rest: Buffer): void {
  const line = joined(before, rest);
  if (line !== undefined) found.set(number, line.toString().replace(/\r$/, ''));
}

function joined(before: Buffer | undefined, more: Buffer): Buffer | undefined {
  return before === undefined || before.length + more.length > LINE_BYTES_MAX
    ? undefined
    : Buffer.concat([before, more]);
}
