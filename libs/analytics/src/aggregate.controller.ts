import type { Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { ApiResult, API, JsonHeader, ApiProblems, Queries, Rules, ProjectId } from '#http';
import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { Aggregate } from './aggregate.js';
import { AggregateDto, aggregateOf, AggregateQuery, filterOfAggregate } from './aggregate.dto.js';
import { AggregateService } from './aggregate.service.js';
import type { AggregateRow } from './aggregate.store.js';
import { timeOfEpoch } from './bucket.js';

@ApiTags('objects')
@Controller(`${API}/objects/aggregate`)
export class AggregateController {
  constructor(
    private readonly aggregates: AggregateService,
    private readonly encryption: EncryptedKeys,
  ) {}

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true, usesReplica: true })
  @ApiOperation({
    summary: 'Count, sum, average or rank the objects that match the filter: in all, over time, or by value',
  })
  @ApiResult(200, AggregateDto)
  @ApiProblems('invalid-query')
  async aggregateObjects(
    @ProjectId() projectId: number,
    @Query() query: AggregateQuery,
    @Queries() on: Queryable,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const encrypted = this.encryption.unsearchableKeysOf(projectId);
    const aggregate = aggregateOf(query, encrypted);
    const rows = await this.aggregates.compute(projectId, filterOfAggregate(query, encrypted), aggregate, on);
    reply.itemCount = rows.length;
    return aggregateText(aggregate, rows);
  }
}

/** The response body. Numbers are inserted as PostgreSQL wrote them, so that they keep every digit. */
function aggregateText({ op, key, by, series }: Aggregate, rows: readonly AggregateRow[]): string {
  const groupText = by?.kind === 'time' ? (seconds: string) => `"${timeOfEpoch(seconds)}"` : (json: string) => json;
  const results = rows.map((row) => {
    const line = series === null ? '' : `,"series":${row.series}`;
    return `{"group":${groupText(row.by)}${line},"value":${row.value ?? 'null'},"count":${String(row.count)}}`;
  });
  return `{"op":"${op}","key":${JSON.stringify(key)},"results":[${results.join()}]}`;
}
