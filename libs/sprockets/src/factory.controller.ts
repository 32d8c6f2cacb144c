import { Project } from '#access';
import { MayRunLater, WriteRequests } from '#jobs';
import {
  Answer,
  API,
  Config,
  fingerprintOf,
  JsonBody,
  JsonHeader,
  linkHeader,
  pageRequest,
  Problems,
  Rules,
  type PageQuery,
} from '#platform';
import { Body, Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { FACTORIES } from './factory.js';
import { FactoryDto, FactoryListDto, FactoryListQuery, NewFactoriesDto, NewFactoryDto } from './factory.dto.js';
import { OneOrFile, Stored } from './one-or-file.js';
import { SprocketsOperations } from './sprockets.operations.js';
import { ThingReader } from './thing-reader.js';

/** Before the first that was stored. */
const FIRST = { kind: 'after', seq: '0', oldestFirst: true } as const;

@ApiTags('sprockets')
@Controller(`${API}/factories`)
export class FactoryController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: SprocketsOperations,
    private readonly things: ThingReader,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a factory, or a file of factories, each once' })
  @OneOrFile(NewFactoryDto, NewFactoriesDto)
  @MayRunLater()
  @Stored(FactoryDto)
  @Problems('malformed-request', 'invalid-body', 'conflict', 'too-large')
  create(
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    return this.requests.answer(this.operations.createFactories, { body, request, reply });
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({
    summary: 'List the factories in the order stored; a Link header leads to those beyond PAGE_SIZE_MAX',
  })
  @Answer(200, FactoryListDto)
  @Problems('invalid-query', 'invalid-cursor')
  async list(
    @Project() projectId: number,
    @Query() query: FactoryListQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const { limits } = this.config;
    const asked = {
      page_size: query.page_size ?? limits.pageSizeMax,
      cursor: query.cursor,
      count: 'none',
    } as PageQuery;
    const page = pageRequest(asked, limits, fingerprintOf('factories', projectId), request);
    const isFirst = query.cursor === undefined;
    if (isFirst) page.place = FIRST;
    const { slice, texts } = await this.things.page(FACTORIES, projectId, page);
    const links = linkHeader(page, { ...slice, hasPrevious: slice.hasPrevious && !isFirst });
    if (links !== undefined) reply.header('Link', links);
    reply.itemCount = texts.length;
    return `{"factories":[${texts.join()}]}`;
  }

  @Get(':factory_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a factory' })
  @Answer(200, FactoryDto, { etag: true })
  @Problems('not-found')
  get(@Project() projectId: number, @Param('factory_id') factoryId: string): Promise<string> {
    return this.things.get(FACTORIES, projectId, factoryId);
  }
}
