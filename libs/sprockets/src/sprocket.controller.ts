import { Project } from '#access';
import { MayRunLater, WriteRequests } from '#jobs';
import {
  Answer,
  API,
  Config,
  fingerprintOf,
  JsonBody,
  JsonHeader,
  pageRequest,
  pageText,
  Problem,
  Problems,
  Rules,
  type PageQuery,
} from '#platform';
import { Body, Controller, Get, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OneOrFile, Stored } from './one-or-file.js';
import { NewSprocketDto, NewSprocketsDto, SprocketDto, SprocketListQuery, SprocketPageDto } from './sprocket.dto.js';
import { SPROCKETS } from './sprocket.js';
import { SprocketsOperations } from './sprockets.operations.js';
import { ThingReader } from './thing-reader.js';

@ApiTags('sprockets')
@Controller(`${API}/sprockets`)
export class SprocketController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: SprocketsOperations,
    private readonly things: ThingReader,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a sprocket, or a file of sprockets, each once' })
  @OneOrFile(NewSprocketDto, NewSprocketsDto)
  @MayRunLater()
  @Stored(SprocketDto)
  @Problems('malformed-request', 'invalid-body', 'conflict', 'too-large')
  create(
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    return this.requests.answer(this.operations.createSprockets, { body, request, reply });
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the sprockets, newest first' })
  @Answer(200, SprocketPageDto)
  @Problems('invalid-query', 'invalid-cursor')
  async list(
    @Project() projectId: number,
    @Query() query: SprocketListQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const { limits } = this.config;
    const asked = withLimit(query, limits.pageSizeMax);
    const page = pageRequest(asked, limits, fingerprintOf('sprockets', projectId), request);
    const { slice, count, texts } = await this.things.page(SPROCKETS, projectId, page);
    reply.itemCount = texts.length;
    return pageText(page, slice, count, texts);
  }

  @Get(':sprocket_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a sprocket' })
  @Answer(200, SprocketDto, { etag: true })
  @Problems('not-found')
  get(@Project() projectId: number, @Param('sprocket_id') sprocketId: string): Promise<string> {
    return this.things.get(SPROCKETS, projectId, sprocketId);
  }

  @Put(':sprocket_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Replace a sprocket' })
  @ApiParam({ name: 'sprocket_id', type: String })
  @ApiHeader({ name: 'If-Match', required: false, description: 'The ETag that was read; another one answers 412.' })
  @ApiBody({ type: NewSprocketDto })
  @MayRunLater()
  @Answer(200, SprocketDto, { etag: true })
  @Problems(
    'malformed-request',
    'invalid-body',
    'not-found',
    'precondition-failed',
    'precondition-required',
    'too-large',
  )
  replace(
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    return this.requests.answer(this.operations.replaceSprocket, { body, request, reply });
  }
}

/** @throws Problem invalid-query */
function withLimit({ limit, ...query }: SprocketListQuery, max: number): PageQuery {
  if (limit === undefined) return query;
  const isTwice = query.page_size !== undefined;
  if (!isTwice && limit <= max) return { ...query, page_size: limit };
  const detail = isTwice ? 'cannot stand beside page_size' : `must be at most ${String(max)} (PAGE_SIZE_MAX)`;
  throw new Problem('invalid-query', { detail: `limit ${detail}.`, errors: [{ parameter: 'limit', detail }] });
}
