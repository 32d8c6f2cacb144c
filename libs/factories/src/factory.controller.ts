import type { Queryable } from '#database';
import { ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import { ApiResult, API, Http, JsonHeader, ApiProblems, Rules, type HttpContext, Queries } from '#http';
import { FeedReader, CollectionService, collectionList, ApiOneOrFile, ApiStoredResult } from '#feeds';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { FACTORIES } from './factory.js';
import { FactoryDto, FactoryListDto, FactoryListQuery, NewFactoriesDto, NewFactoryDto } from './factory.dto.js';

@ApiTags('factories')
@Controller(`${API}/factories`)
export class FactoryController {
  private readonly creating: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly collections: CollectionService,
    private readonly reader: FeedReader,
  ) {
    this.creating = collections.registerCreate(FACTORIES);
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a factory, or a file of factories, each once' })
  @ApiOneOrFile(NewFactoryDto, NewFactoriesDto)
  @ApiRespondAsync()
  @ApiStoredResult(FactoryDto)
  @ApiProblems('malformed-request', 'invalid-body', 'conflict', 'too-large', 'quota-exceeded')
  createFactories(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.creating, http);
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the factories in the order stored, at most PAGE_SIZE_MAX' })
  @ApiResult(200, FactoryListDto, { link: true })
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listFactories(@Query() query: FactoryListQuery, @Http() http: HttpContext): Promise<string> {
    const page = await this.reader.page({ ...collectionList(FACTORIES), isUnpaged: true }, query, http);
    return `{"factories":[${page.linked().join()}]}`;
  }

  @Get(':factory_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a factory' })
  @ApiResult(200, FactoryDto, { etag: true })
  @ApiProblems('not-found')
  getFactory(
    @Param('factory_id') factoryId: string,
    @Http() http: HttpContext,
    @Queries() on: Queryable,
  ): Promise<string> {
    return this.collections.get(FACTORIES, factoryId, http, on);
  }
}
