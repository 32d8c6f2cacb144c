import type { BatchFile } from './batch-file.js';

const LINE_FEED = 10;
/** A longer line is left out, because the lines are kept in memory. */
const LINE_BYTES_MAX = 1024 ** 2;

/**
 * Reads a file again and returns the lines with these numbers, which count from 1 and include empty lines. Standard input,
 * which cannot be read again, and zstd give no lines.
 */
export async function readLines(file: BatchFile, numbers: ReadonlySet<number>): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  if (!file.isRepeatable || file.encoding === 'zstd') return found;
  try {
    let number = 1;
    // The part of a requested line in earlier chunks; undefined for a line that is too long.
    let before: Buffer | undefined = Buffer.alloc(0);
    for await (const chunk of file.contentAgain()) {
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
    // The file was removed or changed: its errors are reported without their lines.
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
