import type { Readable } from 'node:stream';
import { Project, projectOf } from '#access';
import { Incoming, MayRunLater, WriteRequests, type WriteRequest } from '#jobs';
import {
  Answer,
  API,
  baseUrl,
  Config,
  etagOf,
  fingerprintOf,
  FlagParameter,
  JsonHeader,
  pageOpening,
  pageRequest,
  pageText,
  prefers,
  Problems,
  Rules,
} from '#platform';
import { Controller, Delete, Get, HttpCode, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  BatchDto,
  BatchPageDto,
  CreateBatchDto,
  DryRunDto,
  PartBatchDto,
  PutBatchDto,
  PutBatchQuery,
  WholeBatchDto,
  WriteBatchQuery,
} from './batch.dto.js';
import { BatchOperations } from './batch.operations.js';
import { BatchService } from './batch.service.js';
import { BatchStore } from './batch.store.js';
import { BatchListQuery, filterOf } from './list.dto.js';
import { batchDto } from './wire.js';

class DeleteBatchQuery {
  @FlagParameter({ description: 'Delete the objects with the batch.', example: true })
  cascade?: boolean;
}

@ApiTags('batches')
@Controller(`${API}/batches`)
export class BatchController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: BatchOperations,
    private readonly batches: BatchService,
    private readonly store: BatchStore,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'], query: true })
  @ApiOperation({ summary: 'Store a whole batch, all or nothing' })
  @ApiBody({ type: CreateBatchDto })
  @MayRunLater(' `return=representation` answers with the whole batch, but not together with an Idempotency-Key.')
  @Answer(201, BatchDto, { location: true })
  @Answer(200, DryRunDto, { description: 'With dry_run=true: what would happen.' })
  @Answer(207, PartBatchDto, { description: 'With mode=partial: some of the objects are stored.', location: true })
  @Problems('malformed-request', 'invalid-query', 'invalid-body', 'conflict', 'too-large')
  async create(@Incoming() write: WriteRequest, @Query() query: WriteBatchQuery): Promise<string | Readable> {
    const { request, reply } = write;
    const text = await this.requests.answer(this.operations.create, { ...write, query });
    const isAsked = prefers(request.headers.prefer, 'return=representation');
    // An answer that is kept for its Idempotency-Key is a short one; RFC 7240 lets a server pass over a preference.
    if (!isAsked || reply.statusCode !== 201 || request.receipt !== undefined) return text;
    const { batch_id: batchId } = JSON.parse(text) as BatchDto;
    reply.header('Preference-Applied', 'return=representation');
    return (await this.batches.open(projectOf(request), batchId)).stream;
  }

  @Put(':batch_id')
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json', 'application/x-ndjson'], query: true })
  @ApiOperation({
    summary: 'Store a whole batch, repeatably',
    description:
      'The same content again is 200 and changes nothing; other content is 409 unless `on_conflict` says what to do. As `application/x-ndjson` it is one object a line, of any number of lines.',
  })
  @ApiParam({ name: 'batch_id', type: String })
  @ApiConsumes('application/json', 'application/x-ndjson')
  @ApiBody({ type: PutBatchDto })
  @MayRunLater()
  @Answer(201, BatchDto, { location: true })
  @Answer(200, BatchDto, {
    description: 'It was there already, was replaced or added to; with dry_run=true what would happen.',
  })
  @Answer(207, PartBatchDto, { description: 'With mode=partial: some of the objects are stored.', location: true })
  @Problems('malformed-request', 'invalid-query', 'invalid-body', 'conflict', 'too-large', 'request-timeout')
  put(@Incoming() write: WriteRequest, @Query() query: PutBatchQuery): Promise<string> {
    return this.requests.answer(this.operations.put, { ...write, query });
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the batches that have an object which the filter matches, newest first' })
  @Answer(200, BatchPageDto)
  @Problems('invalid-query', 'invalid-cursor')
  async list(
    @Project() projectId: number,
    @Query() query: BatchListQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string | Readable> {
    const filter = filterOf(query);
    const page = pageRequest(query, this.config.limits, fingerprintOf('batches', projectId, filter), request);
    const { slice, count } = await this.store.list(projectId, filter, page);
    reply.itemCount = slice.items.length;
    const base = baseUrl(request);
    if (query.include === undefined) {
      return pageText(
        page,
        slice,
        count,
        slice.items.map((row) => JSON.stringify(batchDto(base, row))),
      );
    }
    const opening = pageOpening(page, slice, count);
    reply.header('ETag', etagOf(opening + slice.items.map((row) => row.revision).join()));
    return this.batches.streamNested(projectId, base, opening, slice.items);
  }

  @Get(':batch_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a whole batch as it was sent, in the order sent' })
  @Answer(200, WholeBatchDto, { etag: true })
  @Problems('not-found')
  async get(
    @Project() projectId: number,
    @Param('batch_id') batchId: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Readable> {
    const { batch, stream } = await this.batches.open(projectId, batchId);
    reply.itemCount = Number(batch.object_count);
    reply.header('ETag', `"${BigInt(batch.revision).toString(36)}"`);
    return stream;
  }

  @Delete(':batch_id')
  @HttpCode(204)
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({ summary: 'Delete a batch that is empty, or with cascade=true whole' })
  @Answer(204)
  @Problems('invalid-query', 'not-found', 'batch-not-empty')
  async delete(
    @Project() projectId: number,
    @Param('batch_id') batchId: string,
    @Query() query: DeleteBatchQuery,
  ): Promise<void> {
    await this.batches.delete(projectId, batchId, query.cascade ?? false);
  }
}
