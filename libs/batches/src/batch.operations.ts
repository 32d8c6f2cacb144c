import {
  jsonBody,
  WriteOperations,
  type Receipt,
  type WriteOperation,
  type WriteResponse,
  type WriteRequest,
} from '#jobs';
import { JsonBody, Problem, type NdjsonBody } from '#http';
import { ID_RULE, isId } from '#platform';
import { Injectable } from '@nestjs/common';
import { CreateBatchDto, PutBatchDto, type WriteBatchQuery, type PutBatchQuery } from './batch.dto.js';
import { BatchWriter, type BatchResult, type BatchWrite } from './batch-writer.js';
import { Ingest, type IncomingBatch } from './ingest.js';
import { batchDto } from './batch-wire.js';

/** What the routes that write batches do, at once or as a job. */
@Injectable()
export class BatchOperations {
  readonly create: WriteOperation = {
    name: 'batch.create',
    run: (request, receipt) => this.runCreate(request, receipt),
  };
  readonly put: WriteOperation = { name: 'batch.put', run: (request, receipt) => this.runPut(request, receipt) };

  constructor(
    private readonly writer: BatchWriter,
    private readonly ingest: Ingest,
    operations: WriteOperations,
  ) {
    operations.register(this.create, this.put);
  }

  private runCreate(write: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const query: WriteBatchQuery = write.query;
    const { batchId = '', source } = this.ingest.readBatch(CreateBatchDto, jsonBody(write), isPartial(query));
    return this.run(write, query, { batchId, source, ifExists: 'refuse' }, receipt);
  }

  private runPut(write: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const query: PutBatchQuery = write.query;
    const { batch_id: batchId = '' } = write.params;
    if (!isId(batchId)) throw new Problem('invalid-path', { detail: `The id of a batch ${ID_RULE}.` });
    const batch = this.readPut(write.body, isPartial(query));
    if (batch.batchId !== undefined && batch.batchId !== batchId) {
      throw new Problem('invalid-body', {
        detail: 'The batch_id is not the one in the address.',
        errors: [{ pointer: '/batch_id', detail: `must be "${batchId}", as in the address, or left out` }],
      });
    }
    return this.run(write, query, { batchId, source: batch.source, ifExists: query.on_conflict ?? 'compare' }, receipt);
  }

  private readPut(body: JsonBody | NdjsonBody, partial: boolean): IncomingBatch {
    if (body instanceof JsonBody) return this.ingest.readBatch(PutBatchDto, body, partial);
    return { batchId: undefined, source: this.ingest.readLines(body, partial) };
  }

  private async run(
    { projectId, baseUrl: base }: WriteRequest,
    query: WriteBatchQuery,
    batch: Pick<BatchWrite, 'batchId' | 'source' | 'ifExists'>,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const dryRun = query.dry_run ?? false;
    const outcome = (result: BatchResult): WriteResponse => (dryRun ? tried : answer)(base, result);
    const write = { projectId, ...batch, partial: isPartial(query), dryRun };
    const result = await this.writer.write(write, receipt && ((tx, done) => receipt(tx, outcome(done))));
    return outcome(result);
  }
}

function isPartial({ mode }: WriteBatchQuery): boolean {
  return mode === 'partial';
}

function answer(base: string, { kind, batch, stored, rejected }: BatchResult): WriteResponse {
  const dto = batchDto(base, batch);
  const headers = { ...(kind === 'created' ? { Location: dto.url } : {}) };
  if (rejected.objects === 0) {
    return { status: kind === 'created' ? 201 : 200, text: JSON.stringify(dto), headers, items: stored };
  }
  const { errors, errorCount, objects } = rejected;
  const part = { batch_id: dto.batch_id, stored, rejected: objects, errors, error_count: errorCount };
  return { status: 207, text: JSON.stringify(part), headers, items: stored };
}

const WOULD = { created: 'create', unchanged: 'nothing', replaced: 'replace', extended: 'extend' } as const;

function tried(base: string, result: BatchResult): WriteResponse {
  const { kind, batch, stored, rejected } = result;
  const { errors, errorCount, objects } = rejected;
  const text = JSON.stringify({
    dry_run: true,
    would: WOULD[kind],
    would_answer: answer(base, result).status,
    batch_id: batch.batch_id,
    object_count: Number(batch.object_count),
    stored,
    rejected: objects,
    ...(objects > 0 ? { errors, error_count: errorCount } : {}),
  });
  return { status: 200, text, items: stored };
}
