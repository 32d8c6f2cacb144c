import { Project } from '#access';
import { Incoming, MayRunLater, WriteRequests, type Operation, type WriteRequest } from '#jobs';
import { Answer, API, Http, JsonHeader, Problems, Rules, type Exchange } from '#platform';
import { FeedReader, KindService, listOf, OneOrFile, Stored } from '#warehouse';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { FACTORIES } from './factory.js';
import { FactoryDto, FactoryListDto, FactoryListQuery, NewFactoriesDto, NewFactoryDto } from './factory.dto.js';

@ApiTags('factories')
@Controller(`${API}/factories`)
export class FactoryController {
  private readonly creating: Operation;

  constructor(
    private readonly requests: WriteRequests,
    private readonly kinds: KindService,
    private readonly reader: FeedReader,
  ) {
    this.creating = kinds.creating(FACTORIES);
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a factory, or a file of factories, each once' })
  @OneOrFile(NewFactoryDto, NewFactoriesDto)
  @MayRunLater()
  @Stored(FactoryDto)
  @Problems('malformed-request', 'invalid-body', 'conflict', 'too-large')
  create(@Incoming() write: WriteRequest): Promise<string> {
    return this.requests.answer(this.creating, write);
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the factories in the order stored, as many as PAGE_SIZE_MAX' })
  @Answer(200, FactoryListDto, { link: true })
  @Problems('invalid-query', 'invalid-cursor')
  async list(@Query() query: FactoryListQuery, @Http() http: Exchange): Promise<string> {
    const page = await this.reader.page({ ...listOf(FACTORIES), isWhole: true }, query, http);
    return `{"factories":[${page.linked().join()}]}`;
  }

  @Get(':factory_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a factory' })
  @Answer(200, FactoryDto, { etag: true })
  @Problems('not-found')
  get(@Project() projectId: number, @Param('factory_id') factoryId: string): Promise<string> {
    return this.kinds.get(FACTORIES, projectId, factoryId);
  }
}
