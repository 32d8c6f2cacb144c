import { validationSummary, JsonBody, Problem, type NdjsonBody } from '#http';
import { BadInput, errorsOf, Rejected, type BatchSource, type CheckedObject } from './batch-source.js';

const LINE_FEED = 10;
/** Input that is checked at a time: a millisecond or two of work, so that other requests are served in between. */
const CHUNK_BYTES = 64 * 1024;

interface Options {
  /** The longest line, in bytes. */
  lineLimitBytes: number;
  /** Leave out bad lines instead of refusing the whole stream. */
  partial: boolean;
  /** @throws Problem for a line that is no object */
  read(line: JsonBody): Omit<CheckedObject, 'place'>;
}

/** One object a line, of any number of lines, in memory for some of them. Lines count from 1; empty ones count too. */
export class NdjsonSource implements BatchSource {
  readonly reading: 'once' | 'slow';
  readonly count = undefined;
  readonly rejected = new Rejected();
  private lineNumber = 0;

  constructor(
    private readonly body: NdjsonBody,
    private readonly options: Options,
  ) {
    this.reading = body.isKept ? 'once' : 'slow';
  }

  pointerOf(place: number): string {
    return `/lines/${String(place)}`;
  }

  async *chunks(): AsyncGenerator<CheckedObject[]> {
    const groups = lineGroups(this.body.bytes, this.options.lineLimitBytes);
    // Not `for await`, which would close what `readOn` has still to read.
    for (let next = await groups.next(); next.done !== true; next = await groups.next()) {
      const chunk = this.check(next.value);
      if (!this.options.partial && this.rejected.errorCount > 0) throw new BadInput(() => this.readOn(groups));
      if (chunk.length > 0) yield chunk;
    }
  }

  /** For the mistakes of the lines that are left. */
  private async readOn(groups: AsyncIterator<Buffer[]>): Promise<never> {
    for (let next = await groups.next(); next.done !== true; next = await groups.next()) this.check(next.value);
    const { errors, errorCount } = this.rejected;
    throw new Problem('invalid-body', { detail: validationSummary(errors, errorCount), errors, errorCount });
  }

  private check(lines: readonly Buffer[]): CheckedObject[] {
    const objects: CheckedObject[] = [];
    for (const line of lines) {
      this.lineNumber++;
      if (isBlank(line)) continue;
      try {
        const object = this.options.read(new JsonBody(line, this.options.lineLimitBytes));
        objects.push({ ...object, place: this.lineNumber });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.rejected.add(errorsOf(error, this.pointerOf(this.lineNumber)), Math.max(1, error.errorCount));
      }
    }
    return objects;
  }
}

/** Of JSON's white space and nothing else. */
function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

/** Whole lines without their ends, a chunk's worth at a time. @throws Problem too-large for a line over the limit */
async function* lineGroups(bytes: AsyncIterable<Buffer>, limitBytes: number): AsyncGenerator<Buffer[]> {
  let lines: Buffer[] = [];
  let size = 0;
  let before = 0;
  // The beginning of a line whose end has not come yet; in pieces, so that a long one is put together once.
  let open: Buffer[] = [];
  let openBytes = 0;
  const refuseTooLong = (length: number): void => {
    if (length <= limitBytes) return;
    const line = String(before + lines.length + 1);
    const detail = `Line ${line} is over BODY_LIMIT_BYTES, ${String(limitBytes)} bytes; see /api/v1/limits.`;
    throw new Problem('too-large', { detail });
  };
  for await (const piece of bytes) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      refuseTooLong(openBytes + end - start);
      const rest = piece.subarray(start, end);
      lines.push(open.length === 0 ? rest : Buffer.concat([...open, rest]));
      size += openBytes + rest.length + 1;
      open = [];
      openBytes = 0;
      start = end + 1;
      if (size >= CHUNK_BYTES) {
        yield lines;
        before += lines.length;
        lines = [];
        size = 0;
      }
    }
    if (start < piece.length) {
      open.push(piece.subarray(start));
      openBytes += piece.length - start;
      refuseTooLong(openBytes);
    }
  }
  if (openBytes > 0) lines.push(Buffer.concat(open));
  if (lines.length > 0) yield lines;
}
