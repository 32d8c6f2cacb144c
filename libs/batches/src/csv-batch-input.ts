import { CsvError, csvRows, type CsvRow } from '#csv';
import { Problem, ValidationErrors, type RequestStream, type StreamSource } from '#http';
import type { BatchChunk, BatchInput } from './batch-input.js';
import { CsvTable, type TableOptions } from './csv-table.js';

/** A chunk ends after this many bytes of CSV, rows, or characters of data: a few milliseconds of work. */
const CHUNK_BYTES = 64 * 1024;
const CHUNK_ROWS = 250;
const CHUNK_DATA_LENGTH = 1024 * 1024;

export interface CsvOptions extends TableOptions {
  /** Undefined takes the one that the header has most often. */
  delimiter: string | undefined;
}

/** The objects of a stream of CSV, in memory for one chunk. The position of an object is the line on which its row begins. */
export class CsvBatchInput implements BatchInput {
  readonly source: StreamSource;
  readonly pointerTo = (position: number): string => `/lines/${String(position)}`;
  private table: CsvTable | undefined;
  private objectCount = 0;

  /** @param batchId the id of the batch, for objects without an id */
  constructor(
    private readonly body: RequestStream,
    private readonly batchId: string,
    private readonly options: CsvOptions,
    private readonly objectLimitBytes: number,
  ) {
    this.source = body.source;
  }

  async *chunks(): AsyncGenerator<BatchChunk> {
    try {
      yield* this.parse();
    } catch (error) {
      throw error instanceof CsvError ? this.problemOf(error) : error;
    }
  }

  private async *parse(): AsyncGenerator<BatchChunk> {
    const { delimiter } = this.options;
    let chunk = new Chunk();
    for await (const { rows, sizeBytes } of csvRows(this.body.bytes, {
      delimiter,
      rowBytesMax: this.objectLimitBytes,
    })) {
      for (const row of rows) {
        this.addRow(chunk, row);
        if (!chunk.isFull) continue;
        yield chunk;
        chunk = new Chunk();
      }
      chunk.sizeBytes += sizeBytes;
      if (!chunk.isFull) continue;
      // Also in the middle of a long row, so that other requests are served.
      yield chunk;
      chunk = new Chunk();
    }
    if (this.table === undefined) {
      throw new Problem('malformed-request', { detail: 'The body is empty; send a header line with the keys.' });
    }
    chunk.isLast = true;
    yield chunk;
  }

  private addRow(chunk: Chunk, row: CsvRow): void {
    const pointer = this.pointerTo(row.line);
    if (this.table === undefined) {
      this.table = new CsvTable(row, this.options, pointer);
      return;
    }
    const place = { position: row.line, batchId: this.batchId, index: this.objectCount++ };
    chunk.add(this.table.objectOf(row, place, pointer, this.objectLimitBytes));
  }

  private problemOf({ reason, line, column, isTooLong }: CsvError): Problem {
    const place = `Line ${String(line)}${column === undefined ? '' : `, column ${String(column)}`}`;
    if (!isTooLong) return new Problem('malformed-request', { detail: `${place} ${reason}.` });
    const limit = `object_limit_bytes, ${String(this.objectLimitBytes)} bytes`;
    const detail = `${place} exceeds ${limit}, or a quotation mark is missing; see /api/v1/limits.`;
    return new Problem('too-large', { detail });
  }
}

class Chunk implements BatchChunk {
  readonly objects: BatchChunk['objects'] = [];
  readonly errors = new ValidationErrors();
  invalidObjects = 0;
  isLast = false;
  /** Bytes of CSV. */
  sizeBytes = 0;
  private dataLength = 0;

  get isFull(): boolean {
    return (
      this.objects.length + this.invalidObjects >= CHUNK_ROWS ||
      this.sizeBytes >= CHUNK_BYTES ||
      this.dataLength >= CHUNK_DATA_LENGTH
    );
  }

  add(object: BatchChunk['objects'][number] | ValidationErrors): void {
    if (object instanceof ValidationErrors) {
      this.errors.addAll(object);
      this.invalidObjects++;
    } else {
      this.objects.push(object);
      this.dataLength += object.data.length;
    }
  }
}
