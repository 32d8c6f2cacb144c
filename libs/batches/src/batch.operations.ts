import {
  jsonBody,
  pathParam,
  WriteOperations,
  type Receipt,
  type WriteOperation,
  type WriteRequest,
  type WriteResponse,
} from '#jobs';
import { JsonBody, Problem, ValidationErrors } from '#http';
import { ID_RULE, isId } from '#platform';
import { Injectable } from '@nestjs/common';
import { CreateBatchDto, CSV_PARAMETERS, PutBatchDto, type PutBatchQuery, type WriteBatchQuery } from './batch.dto.js';
import { BatchParser, type ParsedBatch } from './batch-parser.js';
import { BatchWriter } from './batch-writer.js';

/** The operations of the routes that write batches: parse the request, then write the batch. */
@Injectable()
export class BatchOperations {
  readonly create: WriteOperation = {
    name: 'batch.create',
    run: (request, receipt) => this.runCreate(request, receipt),
  };
  readonly put: WriteOperation = { name: 'batch.put', run: (request, receipt) => this.runPut(request, receipt) };

  constructor(
    private readonly parser: BatchParser,
    private readonly writer: BatchWriter,
    operations: WriteOperations,
  ) {
    operations.register(this.create, this.put);
  }

  private async runCreate(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { projectId, baseUrl, role, actor, releaseSlot } = request;
    const query: WriteBatchQuery = request.query;
    const isPartial = query.mode === 'partial';
    const { batchId = '', input } = await this.parser.parseJson(CreateBatchDto, jsonBody(request), { isPartial });
    const options = { isPartial, isDryRun: query.dry_run ?? false, baseUrl, role, actor, releaseSlot };
    return this.writer.write({ projectId, batchId, input, ifExists: 'reject', ...options }, receipt);
  }

  private async runPut(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { projectId, baseUrl, role, actor, releaseSlot, preconditions } = request;
    const query: PutBatchQuery = request.query;
    const isPartial = query.mode === 'partial';
    const batchId = pathParam(request, 'batch_id');
    if (!isId(batchId)) throw new Problem('invalid-path', { detail: `The id of a batch ${ID_RULE}.` });
    const { batchId: bodyId = batchId, input } = await this.parsePut(request, batchId, query);
    if (bodyId !== batchId) {
      const detail = `must equal the current value "${batchId}", or be omitted`;
      throw new Problem('invalid-body', { detail: `batch_id ${detail}.`, errors: [{ pointer: '/batch_id', detail }] });
    }
    const ifExists = query.on_conflict ?? 'compare';
    const options = { isPartial, isDryRun: query.dry_run ?? false, preconditions, baseUrl, role, actor, releaseSlot };
    return this.writer.write({ projectId, batchId, input, ifExists, ...options }, receipt);
  }

  private async parsePut({ body }: WriteRequest, pathId: string, query: PutBatchQuery): Promise<ParsedBatch> {
    if (!(body instanceof JsonBody) && body.mediaType === 'text/csv') {
      return { batchId: undefined, input: this.parser.parseCsv(body, pathId, query) };
    }
    rejectCsvParameters(query);
    if (!(body instanceof JsonBody)) return { batchId: undefined, input: this.parser.parseNdjson(body, pathId) };
    return this.parser.parseJson(PutBatchDto, body, { pathId, isPartial: query.mode === 'partial' });
  }
}

/** @throws Problem invalid-query */
function rejectCsvParameters(query: PutBatchQuery): void {
  const errors = CSV_PARAMETERS.filter((parameter) => query[parameter] !== undefined).map((parameter) => ({
    parameter,
    detail: 'requires a body of the type text/csv',
  }));
  if (errors.length > 0) throw new ValidationErrors(...errors).problem('invalid-query');
}
