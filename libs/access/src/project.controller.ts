import {
  ApiResult,
  API,
  baseUrl,
  fingerprintOf,
  pageBody,
  PageQuery,
  pageRequest,
  ApiProblems,
  Rules,
  type Principal,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CreatedKeyDto, CreateKeyDto, CreateProjectDto, KeyPageDto, ProjectDto, ProjectPageDto } from './access.dto.js';
import { CurrentPrincipal } from './authentication.js';
import { KeyService } from './key.service.js';
import { ProjectService } from './project.service.js';

@ApiTags('projects and keys')
@Controller(`${API}/projects`)
export class ProjectController {
  constructor(
    private readonly projects: ProjectService,
    private readonly keys: KeyService,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['operator'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Make a project' })
  @ApiResult(201, ProjectDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict')
  async createProject(
    @Body() body: CreateProjectDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectDto> {
    const project = await this.projects.create(body.name);
    reply.header('Location', `${baseUrl(request)}/projects/${String(project.project_id)}`);
    return project;
  }

  @Get()
  @Rules({ roles: ['operator'], query: true })
  @ApiOperation({ summary: 'List the projects, newest first' })
  @ApiResult(200, ProjectPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listProjects(@Query() query: PageQuery, @Req() request: FastifyRequest): Promise<object> {
    const page = pageRequest(query, this.config.limits, fingerprintOf('projects'), request);
    const { slice, count } = await this.projects.list(page);
    return pageBody(page, slice, count);
  }

  @Get(':project_id')
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({ summary: 'Get a project; an admin only its own' })
  @ApiResult(200, ProjectDto)
  @ApiProblems('not-found')
  getProject(@CurrentPrincipal() principal: Principal, @Param('project_id') id: string): Promise<ProjectDto> {
    return this.projects.get(principal, id);
  }

  @Post(':project_id/keys')
  @Rules({ roles: ['operator', 'admin'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Make a key of a project; it is shown this once' })
  @ApiResult(201, CreatedKeyDto)
  @ApiProblems('malformed-request', 'invalid-body', 'not-found')
  async createKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Body() body: CreateKeyDto,
  ): Promise<CreatedKeyDto> {
    const { project_id } = await this.projects.get(principal, id);
    return this.keys.createFromBody(project_id, body);
  }

  @Get(':project_id/keys')
  @Rules({ roles: ['operator', 'admin'], query: true })
  @ApiOperation({ summary: "List a project's keys, newest first, without the keys themselves" })
  @ApiResult(200, KeyPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listKeys(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Query() query: PageQuery,
    @Req() request: FastifyRequest,
  ): Promise<object> {
    const { project_id } = await this.projects.get(principal, id);
    const page = pageRequest(query, this.config.limits, fingerprintOf('keys', project_id), request);
    const { slice, count } = await this.keys.list(project_id, page);
    return pageBody(page, slice, count);
  }

  @Delete(':project_id/keys/:key_id')
  @HttpCode(204)
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({ summary: 'Revoke a key' })
  @ApiResult(204)
  @ApiProblems('not-found')
  async revokeKey(
    @CurrentPrincipal() principal: Principal,
    @Param('project_id') id: string,
    @Param('key_id') keyId: string,
  ): Promise<void> {
    const { project_id } = await this.projects.get(principal, id);
    await this.keys.revoke(project_id, keyId);
  }
}
