import { Project } from '#access';
import { MayRunLater, WriteRequests } from '#jobs';
import {
  Answer,
  API,
  Config,
  fingerprintOf,
  JsonBody,
  JsonHeader,
  pageBody,
  PageQuery,
  pageRequest,
  Problems,
  Rules,
} from '#platform';
import { ObservationStore } from '#warehouse';
import { Body, Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { NewVisitDto, VisitDto, VisitPageDto } from './doors.dto.js';
import { DoorOperations } from './doors.operations.js';
import { fromObject } from './visit.js';

const HAS_PEOPLE = { kind: 'pair', key: 'people', value: null } as const;

@ApiTags('doors')
@ApiParam({ name: 'door', type: String, example: 'north' })
@Controller(`${API}/doors/:door/visits`)
export class DoorController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: DoorOperations,
    private readonly observations: ObservationStore,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Tell how many people went through a door' })
  @ApiBody({ type: NewVisitDto })
  @MayRunLater()
  @Answer(201, VisitDto)
  @Problems('malformed-request', 'invalid-body')
  count(
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    return this.requests.answer(this.operations.count, { body, request, reply });
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the visits of a door, the latest first' })
  @Answer(200, VisitPageDto)
  @Problems('invalid-query', 'invalid-cursor')
  async list(
    @Project() projectId: number,
    @Param('door') door: string,
    @Query() query: PageQuery,
    @Req() request: FastifyRequest,
  ): Promise<object> {
    const page = pageRequest(query, this.config.limits, fingerprintOf('doors', projectId, door), request);
    const { items, ...sides } = await this.observations.page(projectId, door, HAS_PEOPLE, page);
    const count = await this.observations.count(projectId, door, HAS_PEOPLE, page.count);
    const visits = items.flatMap((row) => fromObject(row) ?? []);
    return { ...pageBody(page, { items, ...sides }, count), results: visits };
  }
}
