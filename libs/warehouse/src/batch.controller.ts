import type { Readable } from 'node:stream';
import { Project } from '#access';
import {
  Answer,
  API,
  Config,
  etagOf,
  fingerprintOf,
  FlagParameter,
  JsonBody,
  JsonHeader,
  pageOpening,
  pageRequest,
  pageText,
  Problems,
  Rules,
} from '#platform';
import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { BatchDto, BatchPageDto, CreateBatchDto, WholeBatchDto } from './batch.dto.js';
import { BatchService } from './batch.service.js';
import { BatchStore } from './batch.store.js';
import { BatchListQuery, filterOf } from './list.dto.js';
import { baseUrl, batchDto } from './wire.js';

class DeleteBatchQuery {
  @FlagParameter({ description: 'Delete the objects with the batch.', example: true })
  cascade?: boolean;
}

@ApiTags('batches')
@Controller(`${API}/batches`)
export class BatchController {
  constructor(
    private readonly batches: BatchService,
    private readonly store: BatchStore,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: 'application/json' })
  @ApiOperation({ summary: 'Store a whole batch, all or nothing' })
  @ApiBody({ type: CreateBatchDto })
  @ApiHeader({ name: 'Prefer', required: false, description: '`return=representation` answers with the whole batch.' })
  @Answer(201, BatchDto, { location: true })
  @Problems('malformed-request', 'invalid-body', 'conflict', 'too-large')
  async create(
    @Project() projectId: number,
    @Body() body: JsonBody,
    @Headers('prefer') prefer: string | undefined,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string | Readable> {
    const batch = await this.batches.create(projectId, body);
    const dto = batchDto(baseUrl(request), batch);
    reply.itemCount = dto.object_count;
    reply.header('Location', dto.url);
    if (!/(?:^|[,;])\s*return\s*=\s*"?representation"?\s*(?:$|[,;])/i.test(prefer ?? '')) return JSON.stringify(dto);
    reply.header('Preference-Applied', 'return=representation');
    return (await this.batches.open(projectId, batch.batch_id)).stream;
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
