import {
  API,
  ApiPreconditions,
  ApiProblems,
  ApiResult,
  fingerprintOf,
  pageBody,
  PageQuery,
  pageRequest,
  preconditionsOf,
  Rules,
} from '#http';
import { Config } from '#platform';
import { Controller, Delete, Get, HttpCode, Param, Query, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { KeyDto, KeyPageDto } from './key.dto.js';
import { KeyService } from './key.service.js';
import { KeyStore } from './key.store.js';

/** The operator keys, which belong to no project. `stowage key create --role operator` creates one; no request can. */
@ApiTags('projects and keys')
@Controller(`${API}/operator-keys`)
export class OperatorKeyController {
  constructor(
    private readonly keys: KeyService,
    private readonly store: KeyStore,
    private readonly config: Config,
  ) {}

  @Get()
  @Rules({ roles: ['operator'], query: true })
  @ApiOperation({ summary: 'List the operator keys, newest first, without the keys themselves' })
  @ApiResult(200, KeyPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listOperatorKeys(@Query() query: PageQuery, @Req() request: FastifyRequest): Promise<object> {
    const page = pageRequest(query, this.config.limits, fingerprintOf('operator keys'), request);
    const { slice, count } = await this.store.list(null, page);
    return pageBody(page, slice, count);
  }

  @Get(':key_id')
  @Rules({ roles: ['operator'] })
  @ApiOperation({ summary: 'Get an operator key, without the key itself' })
  @ApiResult(200, KeyDto, { etag: true })
  @ApiProblems('not-found')
  getOperatorKey(@Param('key_id') keyId: string): Promise<KeyDto> {
    return this.keys.get(null, keyId);
  }

  @Delete(':key_id')
  @HttpCode(204)
  @Rules({ roles: ['operator'] })
  @ApiOperation({
    summary: 'Revoke an operator key',
    description:
      'The process that handles the request rejects the key at once, every other process within 5 seconds. The last operator key that works cannot be revoked: create another one first, with `stowage key create --role operator`.',
  })
  @ApiPreconditions()
  @ApiResult(204)
  @ApiProblems('not-found', 'last-operator-key')
  async revokeOperatorKey(@Param('key_id') keyId: string, @Req() request: FastifyRequest): Promise<void> {
    await this.keys.revokeOperatorKey(keyId, preconditionsOf(request));
  }
}
