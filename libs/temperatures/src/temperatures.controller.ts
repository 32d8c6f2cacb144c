import { Project } from '#access';
import type { Filter } from '#filter';
import { Incoming, MayRunLater, WriteRequests, type WriteRequest } from '#jobs';
import {
  Answer,
  API,
  Http,
  JsonHeader,
  Problem,
  Problems,
  Rules,
  Sequence,
  utcOfMicros,
  type Exchange,
} from '#platform';
import { AggregateStore, FEED_LIST_MAX, FeedReader, type FeedList } from '#warehouse';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiOperation, ApiParam, ApiResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { Clock } from './clock.js';
import { secondsOf } from './duration.js';
import { fromObject, readingText, roomOf, type Reading, type Room } from './reading.js';
import {
  AverageDto,
  AverageQuery,
  NewReadingDto,
  ReadingDto,
  ReadingPageDto,
  ReadingsQuery,
  StoredReadingsDto,
} from './temperatures.dto.js';
import { TemperatureOperations } from './temperatures.operations.js';

const LIST = {
  type: 'array',
  minItems: 1,
  maxItems: FEED_LIST_MAX,
  items: { $ref: getSchemaPath(NewReadingDto) },
} as const;
const BODY = { oneOf: [{ $ref: getSchemaPath(NewReadingDto) }, LIST], example: { temperature: 10.5 } };
const STORED = { oneOf: [{ $ref: getSchemaPath(ReadingDto) }, { $ref: getSchemaPath(StoredReadingsDto) }] };

/** What to say of a sum beyond what a number can have. */
const TOO_LONG = {
  parameter: 'duration',
  detail: 'takes in temperatures whose sum has more digits than can be written; ask for less',
};

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
    private readonly reader: FeedReader,
    private readonly aggregates: AggregateStore,
    private readonly clock: Clock,
    private readonly sequence: Sequence,
  ) {}

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Store a reading, or an array of them, all or none; one of the same time is replaced' })
  @ApiBody({ schema: BODY })
  @MayRunLater()
  @ApiResponse({
    status: 201,
    description: 'The reading, with its object at Location; of an array how many.',
    headers: { Location: { description: 'The URL of what was made.', schema: { type: 'string', format: 'uri' } } },
    schema: STORED,
  })
  @Problems('malformed-request', 'invalid-body', 'too-large')
  record(@Incoming() write: WriteRequest): Promise<string> {
    // Kept with a job, so that a reading without a time has that of its arrival whenever it is stored, and is one.
    const query = { arrivedAt: this.clock.arrival(), arrival: this.sequence.next().toString() };
    return this.requests.answer(this.operations.record, { ...write, query });
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the readings of a room, the latest first' })
  @Answer(200, ReadingPageDto)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  async list(
    @Param() params: Record<string, string>,
    @Query() query: ReadingsQuery,
    @Http() http: Exchange,
  ): Promise<string> {
    const room = roomOf(params);
    const page = await this.reader.page(readingsOf(room, within(query.from, query.until)), query, http);
    const everything = readingsOf(room, within());
    if (page.isEmpty && !(await this.reader.hasAny(everything, http))) throw noReadings();
    return page.text((reading) => readingText(room, reading));
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
    const now = this.clock.now();
    const window = within(utcOfMicros(now - Number(secondsOf(duration)) * 1e6), utcOfMicros(now));
    const filter: Filter = { kind: 'and', of: [{ kind: 'subject', subject }, window] };
    const { value, count } = await this.aggregates.total(projectId, filter, 'avg', 'temperature', TOO_LONG);
    if (value === null) throw noReadings();
    const opening = JSON.stringify({ building, room, duration }).slice(0, -1);
    return `${opening},"average_temperature":${value},"reading_count":${String(count)}}`;
  }
}

function readingsOf({ subject }: Room, filter: Filter): FeedList<Reading> {
  return { is: ['temperatures', subject, filter], subject, isMeasured: true, filter, read: fromObject };
}

function within(from?: string, until?: string): Filter {
  if (from === undefined && until === undefined) return { kind: 'and', of: [] };
  return { kind: 'observed', from: from ?? null, until: until ?? null };
}

function noReadings(): Problem {
  return new Problem('not-found', { detail: 'There is no such reading.' });
}
