import { type Actor, CurrentActor } from '#audit';
import {
  API,
  ApiPreconditions,
  ApiProblems,
  ApiResult,
  baseUrl,
  etagOfJson,
  fingerprintOf,
  pageBody,
  PageQuery,
  pageRequest,
  preconditionsOf,
  Rules,
  ApiPage,
  Http,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CreatedKeyDto, KeyDto, KeyPageDto, RotateKeyDto, UpdateKeyDto } from './key.dto.js';
import { KeyService } from './key.service.js';
import { KeyStore } from './key.store.js';
import { PATCH_TYPES } from './patch-types.js';

/**
 * The operator keys, which belong to no project. `stowage key create --role operator` creates one; a request can only rotate
 * one.
 */
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
  @ApiOperation({
    summary: 'List the operator keys, also expired and revoked ones, newest first, without the keys themselves',
  })
  @ApiPage(KeyPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listOperatorKeys(@Query() query: PageQuery, @Http() http: HttpContext): Promise<object> {
    const page = pageRequest(query, this.config, fingerprintOf('operator keys'), http);
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

  @Patch(':key_id')
  @Rules({ roles: ['operator'], consumes: PATCH_TYPES, bodyLimit: 'management_limit_bytes' })
  @ApiOperation({
    summary: 'Change the name or the expiry of an operator key',
    description:
      'The process that handles the request applies the change at once, every other process within 5 seconds. An expired key works again with a later expiry; a revoked key cannot be changed. The last operator key that works cannot get an earlier expiry.',
  })
  @ApiConsumes(...PATCH_TYPES)
  @ApiPreconditions({ isExempt: true })
  @ApiResult(200, KeyDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'key-not-active', 'last-operator-key')
  async updateOperatorKey(
    @Param('key_id') keyId: string,
    @Body() body: UpdateKeyDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<KeyDto> {
    const target = { projectId: null, keyId, actor, preconditions: preconditionsOf(request) };
    const key = await this.keys.update(target, body);
    reply.header('ETag', etagOfJson(key));
    return key;
  }

  @Post(':key_id/rotate')
  @Rules({ roles: ['operator'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({
    summary: 'Replace an operator key by a new one; only this response contains the new key itself',
    description:
      'The new key has the name and expiry of the old one, which works until `overlap_seconds` have passed, or until its own expiry if that is earlier.',
  })
  @ApiBody({ type: RotateKeyDto, required: false })
  @ApiResult(201, CreatedKeyDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'key-not-active')
  async rotateOperatorKey(
    @Param('key_id') keyId: string,
    @Body() body: RotateKeyDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedKeyDto> {
    const key = await this.keys.rotate(null, keyId, body, actor);
    reply.header('Location', `${baseUrl(request)}/operator-keys/${key.key_id}`);
    return key;
  }

  @Delete(':key_id')
  @HttpCode(204)
  @Rules({ roles: ['operator'] })
  @ApiOperation({
    summary: 'Revoke an operator key',
    description:
      'The process that handles the request rejects the key at once, every other process within 5 seconds. The key stays in the list; revoking it again changes nothing. The last operator key that works cannot be revoked: create another one first, with `stowage key create --role operator`.',
  })
  @ApiPreconditions({ isExempt: true })
  @ApiResult(204)
  @ApiProblems('not-found', 'last-operator-key')
  async revokeOperatorKey(
    @Param('key_id') keyId: string,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    await this.keys.revokeOperatorKey({ keyId, actor, preconditions: preconditionsOf(request) });
  }
}
