import type { Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { ApiProblems, ApiResult, API, JsonHeader, ProjectId, Queries, Rules } from '#http';
import { Controller, Get, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { filterOfAggregate } from './aggregate.dto.js';
import { FacetDto, facetOf, FacetsQuery } from './facets.dto.js';
import { type Facet, FacetsService } from './facets.service.js';

@ApiTags('objects')
@Controller(`${API}/objects/facets`)
export class FacetsController {
  constructor(
    private readonly facets: FacetsService,
    private readonly encryption: EncryptedKeys,
  ) {}

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true, usesReplica: true })
  @ApiOperation({ summary: 'List the most frequent values of a key among the objects that match the filter' })
  @ApiResult(200, FacetDto)
  @ApiProblems('invalid-query')
  async listFacets(
    @ProjectId() projectId: number,
    @Query() query: FacetsQuery,
    @Queries() on: Queryable,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const encrypted = this.encryption.unsearchableKeysOf(projectId);
    const { key, size } = facetOf(query, encrypted);
    const filter = filterOfAggregate(query, encrypted);
    const facet = await this.facets.count(projectId, { key, size, filter }, on);
    reply.itemCount = facet.values.length;
    return facetText(key, facet);
  }
}

/** The response body. Values are inserted as JSON, so that numbers keep every digit. */
function facetText(key: string, { values, other, isExact }: Facet): string {
  const results = values.map(({ value, count }) => `{"value":${value},"count":${String(count)}}`);
  const countIs = isExact ? 'exact' : 'at_least';
  return `{"key":${JSON.stringify(key)},"results":[${results.join()}],"other":${String(other)},"count_is":"${countIs}"}`;
}
