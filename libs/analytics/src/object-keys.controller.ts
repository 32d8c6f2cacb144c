import type { Queryable } from '#database';
import { ApiResult, API, JsonHeader, ProjectId, Queries, Rules } from '#http';
import { Controller, Get, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ObjectKeysDto } from './object-keys.dto.js';
import { type KeyList, ObjectKeysService } from './object-keys.service.js';

@ApiTags('objects')
@Controller(`${API}/objects/keys`)
export class ObjectKeysController {
  constructor(private readonly keys: ObjectKeysService) {}

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], usesReplica: true })
  @ApiOperation({ summary: 'List the keys that objects have, most frequent first' })
  @ApiResult(200, ObjectKeysDto)
  async listObjectKeys(
    @ProjectId() projectId: number,
    @Queries() on: Queryable,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const list = await this.keys.list(projectId, on);
    reply.itemCount = list.keys.length;
    return keysText(list);
  }
}

/** The response body. Examples are inserted as PostgreSQL wrote them, so that numbers keep every digit. */
function keysText({ keys, isTruncated, isExact }: KeyList): string {
  const results = keys.map(({ key, objects, types, example }) => {
    const last = example === null ? '' : `,"example":${example}`;
    return `{"key":${JSON.stringify(key)},"objects":${String(objects)},"types":${JSON.stringify(types.sort())}${last}}`;
  });
  const countIs = isExact ? 'exact' : 'at_least';
  return `{"results":[${results.join()}],"truncated":${String(isTruncated)},"count_is":"${countIs}"}`;
}
