import { ProjectId } from '#access';
import { ApiResult, API, JsonHeader, ApiProblems, Rules } from '#http';
import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { Aggregate } from './aggregate.js';
import { AggregateDto, aggregateOf, AggregateQuery, filterOfAggregate } from './aggregate.dto.js';
import { AggregateStore, type AggregateRow } from './aggregate.store.js';
import { timeOfEpoch } from './bucket.js';

@ApiTags('objects')
@Controller(`${API}/objects/aggregate`)
export class AggregateController {
  constructor(private readonly aggregates: AggregateStore) {}

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'Count, add up, average or rank what the filter matches: in all, over time, or by value' })
  @ApiResult(200, AggregateDto)
  @ApiProblems('invalid-query')
  async aggregateObjects(
    @ProjectId() projectId: number,
    @Query() query: AggregateQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const aggregate = aggregateOf(query);
    const rows = await this.aggregates.rows(projectId, filterOfAggregate(query), aggregate);
    reply.itemCount = rows.length;
    return aggregateText(aggregate, rows);
  }
}

/** The answer, its numbers spliced in as PostgreSQL wrote them. */
function aggregateText({ op, key, by, series }: Aggregate, rows: readonly AggregateRow[]): string {
  const groupText = by?.kind === 'time' ? (seconds: string) => `"${timeOfEpoch(seconds)}"` : (json: string) => json;
  const results = rows.map((row) => {
    const line = series === null ? '' : `,"series":${row.series}`;
    return `{"group":${groupText(row.by)}${line},"value":${row.value ?? 'null'},"count":${String(row.count)}}`;
  });
  return `{"op":"${op}","key":${JSON.stringify(key)},"results":[${results.join()}]}`;
}
