import { isBlankLine, JsonBody, ndjsonLines, ValidationErrors, type RequestStream, type StreamSource } from '#http';
import type { BatchChunk, BatchInput } from './batch-input.js';
import { parseBatchObject } from './batch-object.js';
import { exportedCount, isExportLine } from './export-line.js';

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
    for await (const { lines, isLast } of ndjsonLines(this.body.bytes, this.lineLimitBytes)) {
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
      if (isBlankLine(line)) continue;
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
