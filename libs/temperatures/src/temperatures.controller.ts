import { Project } from '#access';
import type { Filter } from '#filter';
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
  type Count,
  type PageRequest,
  type Slice,
} from '#platform';
import { AggregateStore, ObservationStore, type Observation } from '#warehouse';
import { Body, Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiOperation, ApiParam, ApiResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Clock, timeOfMicros } from './clock.js';
import { secondsOf } from './duration.js';
import { fromObject, readingText, roomOf } from './reading.js';
import {
  AverageDto,
  AverageQuery,
  NewReadingDto,
  ReadingDto,
  ReadingPageDto,
  READINGS_MAX,
  ReadingsQuery,
  StoredReadingsDto,
} from './temperatures.dto.js';
import { TemperatureOperations } from './temperatures.operations.js';

const EVERYTHING: Filter = { kind: 'and', of: [] };
const LIST = {
  type: 'array',
  minItems: 1,
  maxItems: READINGS_MAX,
  items: { $ref: getSchemaPath(NewReadingDto) },
} as const;
const BODY = { oneOf: [{ $ref: getSchemaPath(NewReadingDto) }, LIST], example: { temperature: 10.5 } };
const STORED = { oneOf: [{ $ref: getSchemaPath(ReadingDto) }, { $ref: getSchemaPath(StoredReadingsDto) }] };

@ApiTags('temperatures')
// From the bottom up, as decorators are run.
@ApiParam({ name: 'room', type: String, example: 'lab' })
@ApiParam({ name: 'building', type: String, example: 'HQ' })
@ApiExtraModels(NewReadingDto, ReadingDto, StoredReadingsDto)
@Controller(`${API}/buildings/:building/rooms/:room/temperatures`)
export class TemperaturesController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: TemperatureOperations,
    private readonly observations: ObservationStore,
    private readonly aggregates: AggregateStore,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a reading, or an array of them, all or none; one of the same time is replaced' })
  @ApiBody({ schema: BODY })
  @MayRunLater()
  @ApiResponse({
    status: 201,
    description: 'The reading, with its object at Location; of an array how many.',
    schema: STORED,
  })
  @Problems('malformed-request', 'invalid-body', 'too-large')
  record(
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const query = { arrivedAt: this.clock.next(readingsAtMost(body)) };
    return this.requests.answer(this.operations.record, { body, query, request, reply });
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the readings of a room, the latest first' })
  @Answer(200, ReadingPageDto)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  async list(
    @Project() projectId: number,
    @Param() params: Record<string, string>,
    @Query() query: ReadingsQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const room = roomOf(params);
    const filter = within(query.from, query.until);
    const fingerprint = fingerprintOf('temperatures', projectId, room.subject, filter);
    const page = pageRequest(query, this.config.limits, fingerprint, request);
    const { slice, count } = await this.pageOf(projectId, room.subject, filter, page);
    const readings = slice.items.flatMap((row) => fromObject(row) ?? []);
    reply.itemCount = readings.length;
    return pageText(
      page,
      slice,
      count,
      readings.map((reading) => readingText(room, reading)),
    );
  }

  @Get('average')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'The average temperature of a room from so long ago until now' })
  @Answer(200, AverageDto)
  @Problems('invalid-query', 'not-found')
  async average(
    @Project() projectId: number,
    @Param() params: Record<string, string>,
    @Query() { duration }: AverageQuery,
  ): Promise<string> {
    const { building, room, subject } = roomOf(params);
    const now = this.clock.next();
    const window = within(timeOfMicros(now - Number(secondsOf(duration)) * 1e6), timeOfMicros(now));
    const filter: Filter = { kind: 'and', of: [{ kind: 'subject', subject }, window] };
    const { value, count } = await this.aggregates.total(projectId, filter, 'avg', 'temperature');
    if (value === null) throw noReadings();
    const opening = JSON.stringify({ building, room, duration }).slice(0, -1);
    return `${opening},"average_temperature":${value},"reading_count":${String(count)}}`;
  }

  /** @throws Problem not-found where the room has no reading of any time */
  private async pageOf(
    projectId: number,
    subject: string,
    filter: Filter,
    page: PageRequest,
  ): Promise<{ slice: Slice<Observation>; count: Count }> {
    const slice = await this.observations.page(projectId, subject, filter, page);
    if (slice.items.length === 0) {
      const { count } = await this.observations.count(projectId, subject, EVERYTHING, 'capped');
      if (count === 0) throw noReadings();
    }
    return { slice, count: await this.observations.count(projectId, subject, filter, page.count) };
  }
}

/** So that each reading of an array that has no time gets one of its own, before anything of it is read. */
function readingsAtMost({ bytes }: JsonBody): number {
  return Math.min(READINGS_MAX, Math.ceil(bytes.length / '{"temperature":0}'.length));
}

function within(from?: string, until?: string): Filter {
  if (from === undefined && until === undefined) return EVERYTHING;
  return { kind: 'observed', from: from ?? null, until: until ?? null };
}

function noReadings(): Problem {
  return new Problem('not-found', { detail: 'There is no such reading.' });
}
