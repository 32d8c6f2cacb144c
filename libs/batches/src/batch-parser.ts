import { Config } from '#platform';
import {
  BODY_LIMITS,
  findList,
  invalidJson,
  MalformedJson,
  Problem,
  ValidationErrors,
  validateDto,
  type JsonBody,
  type JsonList,
  type RequestStream,
} from '#http';
import { Injectable } from '@nestjs/common';
import { isShorthand } from '#objects';
import type { CreateBatchDto, PutBatchDto, PutBatchQuery } from './batch.dto.js';
import type { BatchInput } from './batch-input.js';
import { CsvBatchInput } from './csv-batch-input.js';
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
  constructor(private readonly config: Config) {}

  /**
   * Parses a JSON body up to its list of objects; the objects are parsed when the input is read.
   * @param options.pathId the id of the batch in the path
   * @param options.isPartial invalid objects are left out; the batch itself has to be valid
   * @throws Problem malformed-request; too-large; invalid-body where the errors of the objects need not be known
   */
  async parseJson(
    dtoClass: BatchDtoClass,
    body: JsonBody,
    { pathId = '', isPartial }: { pathId?: string; isPartial: boolean },
  ): Promise<ParsedBatch> {
    const limit = { max: this.config.limits.batchObjectsMax, name: 'BATCH_OBJECTS_MAX', plural: 'objects' };
    const list = await findList(body, 'objects', limit);
    if (list === null) return rejectWithoutList(dtoClass, body);
    const { batchId, errors } = parseRest(dtoClass, list);
    if (isPartial && errors.count > 0) throw errors.problem('invalid-body');
    // An invalid batch is not stored, so that its objects need no ids; too long ones would add errors.
    return { batchId, input: new JsonBatchInput(list, errors.count > 0 ? '' : (batchId ?? pathId), errors) };
  }

  /** One object a line, parsed when the input is read. */
  parseNdjson(body: RequestStream, batchId: string): BatchInput {
    return new NdjsonBatchInput(body, batchId, this.objectLimitBytes);
  }

  /** A line of keys, and one object a row, parsed when the input is read. */
  parseCsv(body: RequestStream, batchId: string, query: PutBatchQuery): BatchInput {
    const { id, subject, observed_at: observedAt, types, delimiter } = query;
    const options = {
      columns: { object_id: id, subject, observed_at: observedAt },
      isTyped: types === undefined,
      delimiter: delimiter === 'tab' ? '\t' : delimiter,
    };
    return new CsvBatchInput(body, batchId, options, this.objectLimitBytes);
  }

  private get objectLimitBytes(): number {
    return Math.min(BODY_LIMITS.object_limit_bytes, this.config.limits.bodyLimitBytes);
  }
}

/** Parses the batch without its objects. @throws Problem malformed-request */
function parseRest(
  dtoClass: BatchDtoClass,
  { body, rest }: JsonList,
): { batchId: string | undefined; errors: ValidationErrors } {
  try {
    const { value } = rest.read();
    const { batch_id: batchId } = value as CreateBatchDto | PutBatchDto;
    return { batchId, errors: validateDto(dtoClass, value, '') };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // With the line and the column in the whole body.
    if (error instanceof MalformedJson && error.location !== undefined) throw invalidJson(body.bytes, error);
    if (error.slug !== 'invalid-body') throw error;
    const errors = new ValidationErrors(...error.errors);
    errors.count = error.errorCount;
    return { batchId: undefined, errors };
  }
}

/** @throws Problem malformed-request or invalid-body */
function rejectWithoutList(dtoClass: BatchDtoClass, body: JsonBody): never {
  const errors = validateDto(dtoClass, body.read(isShorthand).value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  throw new Error('a batch without a list of objects passed validation');
}
