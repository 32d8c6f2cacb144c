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
  type Principal,
  CurrentPrincipal,
  ApiPage,
  Http,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CreatedKeyDto, CreateKeyDto, KeyDto, KeyPageDto, RotateKeyDto, UpdateKeyDto } from './key.dto.js';
import { KeyService } from './key.service.js';
import { KeyStore } from './key.store.js';
import { PATCH_TYPES } from './patch-types.js';
import { ProjectService } from './project.service.js';

/** The keys of one project. */
@ApiTags('projects and keys')
@Controller(`${API}/projects/:project_id/keys`)
export class KeyController {
  constructor(
    private readonly keys: KeyService,
    private readonly store: KeyStore,
    private readonly projects: ProjectService,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['operator', 'admin'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Create a key of a project; only this response contains the key itself' })
  @ApiResult(201, CreatedKeyDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found')
  async createKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Body() body: CreateKeyDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedKeyDto> {
    const { project_id } = await this.projects.get(principal, id);
    const key = await this.keys.createFromBody(project_id, body, actor);
    reply.header('Location', `${baseUrl(request)}/projects/${String(project_id)}/keys/${key.key_id}`);
    return key;
  }

  @Get()
  @Rules({ roles: ['operator', 'admin'], query: true })
  @ApiOperation({
    summary: 'List the keys of a project, also expired and revoked ones, newest first, without the keys themselves',
  })
  @ApiPage(KeyPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listKeys(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Query() query: PageQuery,
    @Http() http: HttpContext,
  ): Promise<object> {
    const { project_id } = await this.projects.get(principal, id);
    const page = pageRequest(query, this.config, fingerprintOf('keys', project_id), http);
    const { slice, count } = await this.store.list(project_id, page);
    return pageBody(page, slice, count);
  }

  @Get(':key_id')
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({ summary: 'Get a key of a project, without the key itself' })
  @ApiResult(200, KeyDto, { etag: true })
  @ApiProblems('not-found')
  async getKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Param('key_id') keyId: string,
  ): Promise<KeyDto> {
    const { project_id } = await this.projects.get(principal, id);
    return this.keys.get(project_id, keyId);
  }

  @Patch(':key_id')
  @Rules({ roles: ['operator', 'admin'], consumes: PATCH_TYPES, bodyLimit: 'management_limit_bytes' })
  @ApiOperation({
    summary: 'Change the name or the expiry of a key of a project',
    description:
      'The process that handles the request applies the change at once, every other process within 5 seconds. An expired key works again with a later expiry; a revoked key cannot be changed.',
  })
  @ApiConsumes(...PATCH_TYPES)
  @ApiPreconditions({ isExempt: true })
  @ApiResult(200, KeyDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'key-not-active')
  async updateKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Param('key_id') keyId: string,
    @Body() body: UpdateKeyDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<KeyDto> {
    const { project_id } = await this.projects.get(principal, id);
    const target = { projectId: project_id, keyId, actor, preconditions: preconditionsOf(request) };
    const key = await this.keys.update(target, body);
    reply.header('ETag', etagOfJson(key));
    return key;
  }

  @Post(':key_id/rotate')
  @Rules({ roles: ['operator', 'admin'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({
    summary: 'Replace a key of a project by a new one; only this response contains the new key itself',
    description:
      'The new key has the name, role, device and expiry of the old one, which works until `overlap_seconds` have passed, or until its own expiry if that is earlier.',
  })
  @ApiBody({ type: RotateKeyDto, required: false })
  @ApiResult(201, CreatedKeyDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'key-not-active')
  async rotateKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Param('key_id') keyId: string,
    @Body() body: RotateKeyDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedKeyDto> {
    const { project_id } = await this.projects.get(principal, id);
    const key = await this.keys.rotate(project_id, keyId, body, actor);
    reply.header('Location', `${baseUrl(request)}/projects/${String(project_id)}/keys/${key.key_id}`);
    return key;
  }

  @Delete(':key_id')
  @HttpCode(204)
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({
    summary: 'Revoke a key of a project',
    description:
      'The process that handles the request rejects the key at once, every other process within 5 seconds. The key stays in the list; revoking it again changes nothing.',
  })
  @ApiPreconditions({ isExempt: true })
  @ApiResult(204)
  @ApiProblems('not-found')
  async revokeKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Param('key_id') keyId: string,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    const { project_id } = await this.projects.get(principal, id);
    await this.keys.revoke({ projectId: project_id, keyId, actor, preconditions: preconditionsOf(request) });
  }
}
