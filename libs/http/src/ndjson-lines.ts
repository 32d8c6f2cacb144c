import { Problem } from './problems.js';

const LINE_FEED = 10;
/** A chunk ends after this many bytes or lines: a few milliseconds of work, so that other requests are served in between. */
const CHUNK_BYTES = 64 * 1024;
const CHUNK_LINES = 250;

/** Whether a line has only white space of JSON. */
export function isBlankLine(line: Buffer): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

/** Whole lines without their line ends. */
export interface NdjsonLines {
  lines: Buffer[];
  /** Whether the stream ends after them. */
  isLast: boolean;
}

/** The lines of a stream of NDJSON, a chunk at a time, at least one chunk. @throws Problem too-large for a line that exceeds the limit */
export async function* ndjsonLines(bytes: AsyncIterable<Buffer>, limitBytes: number): AsyncGenerator<NdjsonLines> {
  let lines: Buffer[] = [];
  let size = 0;
  let before = 0;
  const open = new LineStart();
  const rejectTooLong = (length: number): void => {
    if (length <= limitBytes) return;
    const line = String(before + lines.length + 1);
    const detail = `Line ${line} exceeds object_limit_bytes, ${String(limitBytes)} bytes; see /api/v1/limits.`;
    throw new Problem('too-large', { detail });
  };
  for await (const piece of bytes) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      rejectTooLong(open.length + end - start);
      const rest = piece.subarray(start, end);
      const line = open.length === 0 ? rest : open.take(rest);
      lines.push(line);
      size += line.length + 1;
      start = end + 1;
      if (size >= CHUNK_BYTES || lines.length >= CHUNK_LINES) {
        yield { lines, isLast: false };
        before += lines.length;
        lines = [];
        size = 0;
      }
    }
    if (start < piece.length) {
      open.add(piece.subarray(start));
      rejectTooLong(open.length);
    }
  }
  if (open.length > 0) lines.push(open.take(Buffer.alloc(0)));
  yield { lines, isLast: true };
}

/** The beginning of a line whose end has not arrived. It is copied, because a client may send it byte by byte. */
class LineStart {
  length = 0;
  private bytes = Buffer.alloc(0);

  add(piece: Buffer): void {
    const length = this.length + piece.length;
    if (length > this.bytes.length) {
      // Doubled, so that a long line is copied only a few times.
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.bytes.length));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    piece.copy(this.bytes, this.length);
    this.length = length;
  }

  /** Returns the whole line, and is empty afterwards. */
  take(rest: Buffer): Buffer {
    this.add(rest);
    const line = this.bytes.subarray(0, this.length);
    this.bytes = Buffer.alloc(0);
    this.length = 0;
    return line;
  }
}
