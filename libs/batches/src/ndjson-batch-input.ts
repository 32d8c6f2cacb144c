import { JsonBody, Problem, ValidationErrors, type RequestStream, type StreamSource } from '#http';
import type { BatchChunk, BatchInput } from './batch-input.js';
import { parseBatchObject } from './batch-object.js';
import { exportedCount, isExportLine } from './export-line.js';

const LINE_FEED = 10;
/** A chunk ends after this many bytes or lines: a few milliseconds of work, so that other requests are served in between. */
const CHUNK_BYTES = 64 * 1024;
const CHUNK_LINES = 250;

/**
 * The objects of a stream of lines, in memory for one chunk. Lines count from 1, empty ones included. The last line of an export is no
 * object; its count must be the number of objects before it.
 */
export class NdjsonBatchInput implements BatchInput {
  readonly source: StreamSource;
  readonly pointerTo = (position: number): string => `/lines/${String(position)}`;
  /** Whether the last line of an export was read. */
  private isExportEnded = false;

  /** @param batchId the id of the batch, for objects without an id; a line may repeat it */
  constructor(
    private readonly body: RequestStream,
    private readonly batchId: string,
    private readonly lineLimitBytes: number,
  ) {
    this.source = body.source;
  }

  async *chunks(): AsyncGenerator<BatchChunk> {
    let lineNumber = 0;
    let objectCount = 0;
    for await (const { lines, isLast } of lineGroups(this.body.bytes, this.lineLimitBytes)) {
      const chunk = this.parse(lines, lineNumber + 1, objectCount, isLast);
      lineNumber += lines.length;
      objectCount += chunk.objects.length + chunk.invalidObjects;
      yield chunk;
    }
  }

  private parse(lines: readonly Buffer[], firstLine: number, firstIndex: number, isLast: boolean): BatchChunk {
    const chunk: BatchChunk = { objects: [], errors: new ValidationErrors(), invalidObjects: 0, isLast };
    const { batchId } = this;
    for (const [lineIndex, line] of lines.entries()) {
      if (isBlank(line)) continue;
      const body = new JsonBody(line, { bytes: this.lineLimitBytes, name: 'object_limit_bytes' });
      const index = firstIndex + chunk.objects.length + chunk.invalidObjects;
      const position = firstLine + lineIndex;
      let object = parseBatchObject(body, { position, batchId, index }, this.pointerTo);
      if (this.isExportEnded) {
        const detail = 'must not follow the last line of an export';
        object = new ValidationErrors({ pointer: this.pointerTo(position), detail });
      } else if (object instanceof ValidationErrors && isExportLine(line)) {
        this.isExportEnded = true;
        if (exportedCount(line) === index) continue;
        const detail = `must be ${String(index)}, the number of objects before this line: the export is not whole`;
        object = new ValidationErrors({ pointer: `${this.pointerTo(position)}/export/count`, detail });
      }
      if (object instanceof ValidationErrors) {
        chunk.errors.addAll(object);
        chunk.invalidObjects++;
      } else {
        chunk.objects.push(object);
      }
    }
    return chunk;
  }
}

/** Whether a line has only white space of JSON. */
function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

/** Whole lines without their line ends. */
interface LineGroup {
  lines: Buffer[];
  /** Whether the stream ends after them. */
  isLast: boolean;
}

/** The lines of a stream, a chunk at a time, at least one chunk. @throws Problem too-large for a line that exceeds the limit */
async function* lineGroups(bytes: AsyncIterable<Buffer>, limitBytes: number): AsyncGenerator<LineGroup> {
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
