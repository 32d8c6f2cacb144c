import type { Queryable } from '#database';
import type { Filter } from '#filter';
import { ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import {
  ApiResult,
  API,
  Http,
  JsonHeader,
  Problem,
  ApiProblems,
  Queries,
  Rules,
  type HttpContext,
  ProjectId,
  ApiPage,
} from '#http';
import { Clock, durationSeconds, FIRST_MICROS, microsOf, utcFromMicros } from '#platform';
import { AggregateService } from '#analytics';
import { FeedOperations, FeedReader, ApiOneOrList, type FeedList } from '#feeds';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { fromObject, readingText, roomOf, type RoomParams, type Reading, type Room } from './reading.js';
import {
  AverageDto,
  AverageQuery,
  NewReadingDto,
  ReadingDto,
  ReadingPageDto,
  ReadingsQuery,
  StoredReadingsDto,
} from './temperatures.dto.js';
import { parseReadings, READING_STREAM, readingsResponse } from './temperatures.operations.js';

const READING_TYPES = ['application/json', 'application/x-ndjson'];

/** The error for temperatures whose sum exceeds PostgreSQL's numeric. */
const SUM_TOO_LONG = {
  parameter: 'duration',
  detail: 'covers temperatures whose sum has too many digits; use a shorter duration',
};

@ApiTags('temperatures')
// From the bottom up, as decorators are run.
@ApiParam({ name: 'room', type: String, example: 'lab' })
@ApiParam({ name: 'building', type: String, example: 'HQ' })
@Controller(`${API}/buildings/:building/rooms/:room/temperatures`)
export class TemperaturesController {
  private readonly recording: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly reader: FeedReader,
    private readonly aggregates: AggregateService,
    private readonly clock: Clock,
    feeds: FeedOperations,
  ) {
    this.recording = feeds.register({
      name: 'temperatures.record',
      parse: parseReadings,
      respond: readingsResponse,
      stream: READING_STREAM,
    });
  }

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: READING_TYPES, sharesWrites: true })
  @ApiOperation({
    summary: 'Store one reading or an array, all or nothing. A reading with the same room and time is replaced.',
    description: 'A body of the type `application/x-ndjson` has one reading per line and any number of lines.',
  })
  @ApiConsumes(...READING_TYPES)
  @ApiOneOrList(NewReadingDto, { temperature: 10.5 })
  @ApiRespondAsync()
  @ApiResult(201, ReadingDto, {
    or: StoredReadingsDto,
    location: true,
    description: 'The reading; for an array, the number stored.',
  })
  @ApiProblems('malformed-request', 'invalid-body', 'too-large', 'quota-exceeded', 'request-timeout')
  recordTemperatures(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.recording, http);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the readings of a room, the latest first' })
  @ApiPage(ReadingPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listTemperatures(
    @Param() names: RoomParams,
    @Query() query: ReadingsQuery,
    @Http() http: HttpContext,
  ): Promise<string> {
    const room = roomOf(names);
    const page = await this.reader.page(readingsOf(room, within(query.from, query.until)), query, http);
    const everything = readingsOf(room, within());
    if (page.isEmpty && !(await this.reader.hasAny(everything, http))) throw noReadings('The room has no readings.');
    return page.text((reading) => readingText(room, reading));
  }

  @Get('average')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'Get the average temperature of a room over the `duration` before `until`' })
  @ApiResult(200, AverageDto)
  @ApiProblems('invalid-query', 'not-found')
  async getRoomAverage(
    @ProjectId() projectId: number,
    @Param() names: RoomParams,
    @Query() { duration, until }: AverageQuery,
    @Queries() on: Queryable,
  ): Promise<string> {
    const { building, room, subject } = roomOf(names);
    const end = until === undefined ? BigInt(this.clock.now()) : microsOf(until);
    const start = end - BigInt(durationSeconds(duration)) * 1_000_000n;
    // No reading is older than that.
    const from = utcFromMicros(start < FIRST_MICROS ? FIRST_MICROS : start);
    const span = { projectId, subject, from, until: utcFromMicros(end) };
    const { value, count } = await this.aggregates.average(span, SUM_TOO_LONG, on);
    if (value === null) throw noReadings('The room has no readings within the duration.');
    const opening = JSON.stringify({ building, room, duration }).slice(0, -1);
    return `${opening},"average_temperature":${value},"reading_count":${String(count)}}`;
  }
}

function readingsOf({ subject }: Room, filter: Filter): FeedList<Reading> {
  return { scope: ['temperatures', subject, filter], subject, isMeasured: true, filter, read: fromObject };
}

function within(from?: string, until?: string): Filter {
  if (from === undefined && until === undefined) return { kind: 'and', of: [] };
  return { kind: 'observed', from: from ?? null, until: until ?? null };
}

function noReadings(detail: string): Problem {
  return new Problem('not-found', { detail });
}
