import type { Queryable } from '#database';
import { ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import {
  ApiResult,
  API,
  Http,
  Queries,
  JsonHeader,
  ApiPreconditions,
  ApiProblems,
  Rules,
  ValidationErrors,
  type HttpContext,
  type PageQuery,
  ApiPage,
} from '#http';
import { Config } from '#platform';
import { FeedReader, CollectionService, collectionList, ApiOneOrFile, ApiStoredResult } from '#feeds';
import { Controller, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { NewSprocketDto, NewSprocketsDto, SprocketDto, SprocketListQuery, SprocketPageDto } from './sprocket.dto.js';
import { SPROCKETS } from './sprocket.js';

@ApiTags('sprockets')
@Controller(`${API}/sprockets`)
export class SprocketController {
  private readonly creating: WriteOperation;
  private readonly replacing: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly collections: CollectionService,
    private readonly reader: FeedReader,
    private readonly config: Config,
  ) {
    this.creating = collections.registerCreate(SPROCKETS);
    this.replacing = collections.registerReplace(SPROCKETS);
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a sprocket, or a file of sprockets, each once' })
  @ApiOneOrFile(NewSprocketDto, NewSprocketsDto)
  @ApiRespondAsync()
  @ApiStoredResult(SprocketDto)
  @ApiProblems('malformed-request', 'invalid-body', 'conflict', 'too-large', 'quota-exceeded')
  createSprockets(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.creating, http);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the sprockets, newest first' })
  @ApiPage(SprocketPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listSprockets(@Query() query: SprocketListQuery, @Http() http: HttpContext): Promise<string> {
    const pageQuery = withLimit(query, this.config.limits.pageSizeMax);
    return (await this.reader.page(collectionList(SPROCKETS), pageQuery, http)).text((text) => text);
  }

  @Get(':sprocket_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a sprocket' })
  @ApiResult(200, SprocketDto, { etag: true })
  @ApiProblems('not-found')
  getSprocket(
    @Param('sprocket_id') sprocketId: string,
    @Http() http: HttpContext,
    @Queries() on: Queryable,
  ): Promise<string> {
    return this.collections.get(SPROCKETS, sprocketId, http, on);
  }

  @Put(':sprocket_id')
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'], bodyLimit: 'object_limit_bytes' })
  @ApiOperation({ summary: 'Replace a sprocket' })
  @ApiParam({ name: 'sprocket_id', type: String })
  @ApiPreconditions()
  @ApiBody({ type: NewSprocketDto })
  @ApiRespondAsync()
  @ApiResult(200, SprocketDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'too-large', 'quota-exceeded')
  replaceSprocket(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.replacing, http);
  }
}

/** @throws Problem invalid-query */
function withLimit({ limit, ...query }: SprocketListQuery, max: number): PageQuery {
  if (limit === undefined) return query;
  const isTwice = query.page_size !== undefined;
  if (!isTwice && limit <= max) return { ...query, page_size: limit };
  const detail = isTwice ? 'cannot be combined with page_size' : `must be at most ${String(max)} (PAGE_SIZE_MAX)`;
  throw new ValidationErrors({ parameter: 'limit', detail }).problem('invalid-query');
}
