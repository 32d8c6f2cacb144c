import type { Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import type { EncryptedKeyList } from '#filter';
import { ApiResult, API, JsonHeader, ProjectId, Queries, Rules } from '#http';
import { Controller, Get, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ObjectKeysDto } from './object-keys.dto.js';
import { type KeyList, ObjectKeysService } from './object-keys.service.js';

@ApiTags('objects')
@Controller(`${API}/objects/keys`)
export class ObjectKeysController {
  constructor(
    private readonly keys: ObjectKeysService,
    private readonly encryption: EncryptedKeys,
  ) {}

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
    return keysText(list, this.encryption.unsearchableKeysOf(projectId));
  }
}

/** The response body. Examples are inserted as PostgreSQL wrote them, so that numbers keep every digit. */
function keysText({ keys, isTruncated, isExact }: KeyList, encrypted: EncryptedKeyList): string {
  const results = keys.map(({ key, objects, types, example }) => {
    if (encrypted?.has(key))
      return `{"key":${JSON.stringify(key)},"objects":${String(objects)},"types":[],"encrypted":true}`;
    const last = example === null ? '' : `,"example":${example}`;
    return `{"key":${JSON.stringify(key)},"objects":${String(objects)},"types":${JSON.stringify(types.sort())}${last}}`;
  });
  const countIs = isExact ? 'exact' : 'at_least';
  return `{"results":[${results.join()}],"truncated":${String(isTruncated)},"count_is":"${countIs}"}`;
}
