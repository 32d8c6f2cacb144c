import { ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import { ApiResult, API, Http, PageQuery, Problem, ApiProblems, Rules, type HttpContext } from '#http';
import { FeedOperations, FeedReader, type FeedList } from '#feeds';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { NewVisitDto, VisitDto, VisitPageDto } from './doors.dto.js';
import { count } from './doors.operations.js';
import { doorOf, fromObject, type Visit } from './visit.js';

@ApiTags('doors')
@ApiParam({ name: 'door', type: String, example: 'north' })
@Controller(`${API}/doors/:door/visits`)
export class DoorController {
  private readonly counting: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly reader: FeedReader,
    feeds: FeedOperations,
  ) {
    this.counting = feeds.add('doors.count', count);
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Tell how many people went through a door' })
  @ApiBody({ type: NewVisitDto })
  @ApiRespondAsync()
  @ApiResult(201, VisitDto)
  @ApiProblems('malformed-request', 'invalid-body')
  count(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.counting, http);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the visits of a door, the latest first' })
  @ApiResult(200, VisitPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async list(@Param('door') door: string, @Query() query: PageQuery, @Http() http: HttpContext): Promise<string> {
    const visits = visitsOf(doorOf(door));
    const page = await this.reader.page(visits, query, http);
    if (page.isEmpty && !(await this.reader.hasAny(visits, http))) {
      throw new Problem('not-found', { detail: 'There is no such door.' });
    }
    return page.text((visit) => JSON.stringify(visit));
  }
}

function visitsOf(door: string): FeedList<Visit> {
  return {
    is: ['doors', door],
    subject: door,
    filter: { kind: 'pair', key: 'people', value: null },
    read: fromObject,
  };
}
