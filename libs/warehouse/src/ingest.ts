import { isUtf8 } from 'node:buffer';
import { elementsOf, findMember, skipSpace, type JsonSpan } from '#json';
import { Config, countOf, JsonBody, Problem, type NdjsonBody } from '#platform';
import { Injectable } from '@nestjs/common';
import { CreateBatchDto, PutBatchDto } from './batch.dto.js';
import type { BatchSource, CheckedObject } from './batch-source.js';
import { BulkSchema } from './bulk-schema.js';
import { checkedObject, EagerJsonSource, JsonSource, PartialJsonSource } from './json-source.js';
import { NdjsonSource } from './ndjson-source.js';
import { CreateObjectDto, NewObjectDto, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
import { listOfPairs, refuseNestedValues } from './pairs.js';

/** A batch in a JSON body, checked. */
export interface IncomingBatch {
  batchId: string | undefined;
  source: BatchSource;
}

/** One object's body that was checked, and its text. */
export interface IncomingObject<Dto> {
  dto: Dto;
  /** The pairs as sent, to the letter; undefined where a patch leaves them alone. */
  data: string | undefined;
}

type ObjectDtoClass = typeof NewObjectDto | typeof CreateObjectDto | typeof ReplaceObjectDto | typeof PatchObjectDto;
type BatchDtoClass = typeof CreateBatchDto | typeof PutBatchDto;

/** Smaller bodies are read whole in a millisecond. */
const EAGER_BYTES_MIN = 64 * 1024;

/** Names that `data` in shorthand gives twice are two pairs, so both are kept. */
const isShorthand = (pointer: string): boolean => /^(?:\/objects\/\d+)?\/data$/.test(pointer);

/** Reads what producers send: checks all of it, and keeps its text for the database. */
@Injectable()
export class Ingest {
  constructor(
    private readonly schema: BulkSchema,
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
      const { hasRepeats, text, list, ...batch } = this.readWhole(dtoClass, body);
      // Of a key given twice the schema saw one value; the other may be what makes its object a bad one.
      return hasRepeats ? this.readPartially(dtoClass, text, list) : batch;
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
    const read = (line: JsonBody): Omit<CheckedObject, 'place'> => this.readElement(line);
    return new NdjsonSource(body, { lineLimitBytes: this.config.limits.bodyLimitBytes, partial, read });
  }

  /** @throws Problem malformed-request or invalid-body */
  readObject<Class extends ObjectDtoClass>(dtoClass: Class, body: JsonBody): IncomingObject<InstanceType<Class>> {
    const { text, value } = body.read(isShorthand);
    this.check(dtoClass, value);
    const { value: span } = findMember(text, skipSpace(text, 0), 'data');
    const data = span === undefined ? undefined : text.slice(span.start, span.end);
    if (data !== undefined) refuseNestedValues(data);
    return { dto: value as InstanceType<Class>, data };
  }

  private readElement(body: JsonBody): Omit<CheckedObject, 'place'> {
    const { dto, data } = this.readObject(NewObjectDto, body);
    if (data === undefined) throw new Error('an object without data passed the schema that requires it');
    return checkedObject(0, dto, listOfPairs(data));
  }

  private readWhole(
    dtoClass: BatchDtoClass,
    body: JsonBody,
  ): IncomingBatch & { source: JsonSource; text: string; list: JsonSpan; hasRepeats: boolean } {
    const { text, value, hasRepeats } = body.read(isShorthand);
    const sent = (value as { objects?: unknown } | null)?.objects;
    // Before the schema is run over a list that will be refused anyway.
    if (Array.isArray(sent)) this.refuseTooMany(sent.length);
    this.check(dtoClass, value);
    const list = listOf(text);
    if (list === undefined) throw new Error('a batch without objects passed the schema that requires them');
    const { batch_id: batchId, objects } = value as CreateBatchDto | PutBatchDto;
    return { batchId, source: new JsonSource(text, list.start, objects), text, list, hasRepeats };
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
        accepts: (objects): objects is NewObjectDto[] => this.schema.accepts(NewObjectDto, objects),
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
    this.check(dtoClass, value);
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
    const source = new PartialJsonSource(elements, (element) => this.readElement(element), limitBytes);
    return { batchId, source };
  }

  private check(dtoClass: BatchDtoClass | ObjectDtoClass, value: unknown): void {
    const found = this.schema.check(dtoClass, value);
    if (found !== null) throw new Problem('invalid-body', { detail: countOf(found.errorCount), ...found });
  }

  private refuseTooMany(count: number): void {
    const max = this.config.limits.batchObjectsMax;
    if (count <= max) return;
    throw new Problem('too-large', {
      detail: `The batch has ${String(count)} objects; BATCH_OBJECTS_MAX is ${String(max)}, see /api/v1/limits.`,
    });
  }
}

/** The list of objects in a batch's text. */
function listOf(text: string): JsonSpan | undefined {
  const start = skipSpace(text, 0);
  return text.charAt(start) === '{' ? findMember(text, start, 'objects').value : undefined;
}
