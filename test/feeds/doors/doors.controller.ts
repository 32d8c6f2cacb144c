import { hasKey } from '#filter';
import { ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import { ApiResult, API, Http, PageQuery, Problem, ApiProblems, Rules, type HttpContext } from '#http';
import { FeedOperations, FeedReader, type FeedList } from '#feeds';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { NewVisitDto, VisitDto, VisitPageDto } from './doors.dto.js';
import { parseVisit, visitResponse } from './doors.operations.js';
import { requireDoor, fromObject, type Visit } from './visit.js';

@ApiTags('doors')
@ApiParam({ name: 'door', type: String, example: 'north' })
@Controller(`${API}/doors/:door/visits`)
export class DoorController {
  private readonly recording: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly reader: FeedReader,
    feeds: FeedOperations,
  ) {
    this.recording = feeds.register({ name: 'doors.record', parse: parseVisit, respond: visitResponse });
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Record how many people went through a door in an hour' })
  @ApiBody({ type: NewVisitDto })
  @ApiRespondAsync()
  @ApiResult(201, VisitDto)
  @ApiProblems('malformed-request', 'invalid-body')
  recordVisit(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.recording, http);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the visits of a door, latest first' })
  @ApiResult(200, VisitPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listVisits(@Param('door') door: string, @Query() query: PageQuery, @Http() http: HttpContext): Promise<string> {
    const visits = visitsOf(requireDoor(door));
    const page = await this.reader.page(visits, query, http);
    if (page.isEmpty && !(await this.reader.hasAny(visits, http))) {
      throw new Problem('not-found', { detail: 'No visit of this door exists.' });
    }
    return page.text((visit) => JSON.stringify(visit));
  }
}

function visitsOf(door: string): FeedList<Visit> {
  return {
    scope: ['doors', door],
    subject: door,
    filter: hasKey('people'),
    read: fromObject,
  };
}
