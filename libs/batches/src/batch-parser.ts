import { isUtf8 } from 'node:buffer';
import { findMember, skipSpace, type JsonSpan } from '#json';
import { Config } from '#platform';
import { JsonBody, Problem, ValidationErrors, validateDto, type NdjsonBody } from '#http';
import { Injectable } from '@nestjs/common';
import { isShorthand } from '#objects';
import type { CreateBatchDto, PutBatchDto } from './batch.dto.js';
import type { BatchInput } from './batch-input.js';
import { JsonBatchInput } from './json-batch-input.js';
import { NdjsonBatchInput } from './ndjson-batch-input.js';

type BatchDtoClass = typeof CreateBatchDto | typeof PutBatchDto;

export interface ParsedBatch {
  /** Undefined where the body has none. */
  batchId: string | undefined;
  /** The objects, not parsed yet. */
  input: BatchInput;
}

/** Parses and validates the bodies of batches. */
@Injectable()
export class BatchParser {
  private readonly limits;

  constructor({ limits: { batchObjectsMax, bodyLimitBytes } }: Config) {
    this.limits = { objectsMax: batchObjectsMax, bodyLimitBytes };
  }

  /**
   * Parses a JSON body up to its list of objects; the objects are parsed when the input is read.
   * @param isPartial invalid objects are left out; the batch itself has to be valid
   * @throws Problem malformed-request; invalid-body where the errors of the objects need not be known
   */
  parseJson(dtoClass: BatchDtoClass, body: JsonBody, isPartial: boolean): ParsedBatch {
    const text = body.bytes.toString();
    const list = isUtf8(body.bytes) ? findObjectList(text) : undefined;
    if (list === undefined) return rejectWithoutList(dtoClass, body);
    const { batchId, errors } = this.parseEnvelope(dtoClass, body, text, list);
    if (isPartial && errors.count > 0) throw errors.problem('invalid-body');
    return { batchId, input: new JsonBatchInput(body, text, list.start, errors, this.limits) };
  }

  /** One object a line, parsed when the input is read. */
  parseNdjson(body: NdjsonBody): BatchInput {
    return new NdjsonBatchInput(body, this.limits.bodyLimitBytes);
  }

  /** Parses the batch with an empty list of objects. */
  private parseEnvelope(
    dtoClass: BatchDtoClass,
    body: JsonBody,
    text: string,
    list: JsonSpan,
  ): { batchId: string | undefined; errors: ValidationErrors } {
    const envelope = Buffer.from(`${text.slice(0, list.start)}[]${text.slice(list.end)}`);
    try {
      const { value } = new JsonBody(envelope, this.limits.bodyLimitBytes).read();
      const { batch_id: batchId } = value as CreateBatchDto | PutBatchDto;
      return { batchId, errors: validateDto(dtoClass, value, '') };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // The error of the whole body has the line and the column.
      if (error.slug !== 'invalid-body') body.read(isShorthand);
      const errors = new ValidationErrors(...error.errors);
      errors.count = error.errorCount;
      return { batchId: undefined, errors };
    }
  }
}

/** The span of `objects` in the text of a batch; undefined where the text has no such list or is not JSON. */
function findObjectList(text: string): JsonSpan | undefined {
  const start = skipSpace(text, 0);
  if (text.charAt(start) !== '{') return undefined;
  try {
    const { value } = findMember(text, start, 'objects');
    return value !== undefined && text.charAt(value.start) === '[' ? value : undefined;
  } catch (error) {
    if ((error as Error).name === 'SyntaxError') return undefined;
    throw error;
  }
}

/** @throws Problem malformed-request or invalid-body */
function rejectWithoutList(dtoClass: BatchDtoClass, body: JsonBody): never {
  const errors = validateDto(dtoClass, body.read(isShorthand).value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  throw new Error('a batch without a list of objects passed validation');
}
