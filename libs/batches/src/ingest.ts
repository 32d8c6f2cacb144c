import { isUtf8 } from 'node:buffer';
import { elementsOf, findMember, skipSpace, type JsonSpan } from '#json';
import { Config } from '#platform';
import { JsonBody, Problem, validateDto, type NdjsonBody } from '#http';
import { Injectable } from '@nestjs/common';
import type { CreateBatchDto, PutBatchDto } from './batch.dto.js';
import type { BatchSource, CheckedObject } from './batch-source.js';
import { EagerJsonSource, JsonSource, PartialJsonSource } from './json-source.js';
import { NdjsonSource } from './ndjson-source.js';
import { isShorthand, ObjectBodies } from '#objects';
import { NewObjectDto } from '#objects';

/** A batch in a JSON body, checked. */
export interface IncomingBatch {
  batchId: string | undefined;
  source: BatchSource;
}

type BatchDtoClass = typeof CreateBatchDto | typeof PutBatchDto;

/** Smaller bodies are read whole in a millisecond. */
const EAGER_BYTES_MIN = 64 * 1024;

/** Reads what producers send: checks all of it, and keeps its text for the database. */
@Injectable()
export class Ingest {
  constructor(
    private readonly objects: ObjectBodies,
    private readonly config: Config,
  ) {}

  /**
   * @param partial take the good objects of a batch whose others are bad
   * @throws Problem malformed-request, invalid-body, or too-large
   */
  readBatch(dtoClass: BatchDtoClass, body: JsonBody, partial: boolean): IncomingBatch {
    const eager = partial || body.bytes.length < EAGER_BYTES_MIN ? undefined : this.readEagerly(dtoClass, body);
    if (eager !== undefined) return eager;
    if (!partial) return this.readWhole(dtoClass, body);
    try {
      return this.readWhole(dtoClass, body);
    } catch (error) {
      if (!(error instanceof Problem) || error.slug !== 'invalid-body') throw error;
      const text = body.bytes.toString();
      const list = listOf(text);
      if (list === undefined || text.charAt(list.start) !== '[') throw error;
      return this.readPartially(dtoClass, text, list);
    }
  }

  /** One object a line. */
  readLines(body: NdjsonBody, partial: boolean): BatchSource {
    const read = (line: JsonBody): Omit<CheckedObject, 'place'> => this.objects.readElement(line);
    return new NdjsonSource(body, { lineLimitBytes: this.config.limits.bodyLimitBytes, partial, read });
  }

  private readWhole(dtoClass: BatchDtoClass, body: JsonBody): IncomingBatch & { source: JsonSource } {
    const { text, value } = body.read(isShorthand);
    const sent = (value as { objects?: unknown } | null)?.objects;
    // Before the schema is run over a list that will be refused anyway.
    if (Array.isArray(sent)) this.refuseTooMany(sent.length);
    requireValid(dtoClass, value);
    const list = listOf(text);
    if (list === undefined) throw new Error('a batch without objects passed the schema that requires them');
    const { batch_id: batchId, objects } = value as CreateBatchDto | PutBatchDto;
    return { batchId, source: new JsonSource(text, list.start, objects) };
  }

  /** Undefined for what has to be read whole to say what is wrong with it. */
  private readEagerly(dtoClass: BatchDtoClass, body: JsonBody): IncomingBatch | undefined {
    if (!isUtf8(body.bytes)) return undefined;
    const text = body.bytes.toString();
    try {
      const list = listOf(text);
      if (list === undefined || text.charAt(list.start) !== '[') return undefined;
      const { batch_id: batchId } = this.readEnvelope(dtoClass, text, list);
      const source = new EagerJsonSource(text, list.start, {
        max: this.config.limits.batchObjectsMax,
        accepts: (objects): objects is NewObjectDto[] =>
          objects.every((object) => validateDto(NewObjectDto, object, '').count === 0),
        strictly: () => this.readWhole(dtoClass, body).source,
      });
      return { batchId, source };
    } catch (error) {
      if (error instanceof Problem || (error as Error).name === 'SyntaxError') return undefined;
      throw error;
    }
  }

  /** The batch without its objects. @throws Problem */
  private readEnvelope(dtoClass: BatchDtoClass, text: string, list: JsonSpan): CreateBatchDto | PutBatchDto {
    const envelope = Buffer.from(`${text.slice(0, list.start)}[]${text.slice(list.end)}`);
    const { value } = new JsonBody(envelope, this.config.limits.bodyLimitBytes).read();
    requireValid(dtoClass, value);
    return value as CreateBatchDto | PutBatchDto;
  }

  /** The batch without its list of objects has to be right; then each of them is looked at for itself. */
  private readPartially(dtoClass: BatchDtoClass, text: string, list: JsonSpan): IncomingBatch {
    const limitBytes = this.config.limits.bodyLimitBytes;
    const { batch_id: batchId } = this.readEnvelope(dtoClass, text, list);
    const elements: string[] = [];
    let count = 0;
    for (const element of elementsOf(text, list.start)) {
      if (++count <= this.config.limits.batchObjectsMax) elements.push(text.slice(element.start, element.end));
    }
    this.refuseTooMany(count);
    const source = new PartialJsonSource(elements, (element) => this.objects.readElement(element), limitBytes);
    return { batchId, source };
  }

  private refuseTooMany(count: number): void {
    const max = this.config.limits.batchObjectsMax;
    if (count <= max) return;
    throw new Problem('too-large', {
      detail: `The batch has ${String(count)} objects; BATCH_OBJECTS_MAX is ${String(max)}, see /api/v1/limits.`,
    });
  }
}

/** @throws Problem invalid-body */
function requireValid(dtoClass: BatchDtoClass, value: unknown): void {
  const errors = validateDto(dtoClass, value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
}

/** The list of objects in a batch's text. */
function listOf(text: string): JsonSpan | undefined {
  const start = skipSpace(text, 0);
  return text.charAt(start) === '{' ? findMember(text, start, 'objects').value : undefined;
}
