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
import { Body, Controller, Get, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PATCH_TYPES } from './patch-types.js';
import { CreateProjectDto, ProjectDto, ProjectPageDto, UpdateProjectDto } from './project.dto.js';
import { ProjectService } from './project.service.js';

@ApiTags('projects and keys')
@Controller(`${API}/projects`)
export class ProjectController {
  constructor(
    private readonly projects: ProjectService,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['operator'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Create a project' })
  @ApiResult(201, ProjectDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict')
  async createProject(
    @Body() body: CreateProjectDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectDto> {
    const project = await this.projects.create(body, actor);
    reply.header('Location', `${baseUrl(request)}/projects/${String(project.project_id)}`);
    return project;
  }

  @Get()
  @Rules({ roles: ['operator'], query: true })
  @ApiOperation({ summary: 'List the projects, newest first' })
  @ApiPage(ProjectPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listProjects(@Query() query: PageQuery, @Http() http: HttpContext): Promise<object> {
    const page = pageRequest(query, this.config, fingerprintOf('projects'), http);
    const { slice, count } = await this.projects.list(page);
    return pageBody(page, slice, count);
  }

  @Get(':project_id')
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({ summary: 'Get a project; an admin can get its own only' })
  @ApiResult(200, ProjectDto, { etag: true })
  @ApiProblems('not-found')
  getProject(@CurrentPrincipal() principal: Principal, @Param('project_id') id: string): Promise<ProjectDto> {
    return this.projects.get(principal, id);
  }

  @Patch(':project_id')
  @Rules({ roles: ['operator'], consumes: PATCH_TYPES, bodyLimit: 'management_limit_bytes' })
  @ApiOperation({
    summary: 'Change the name, the limits, the retention or the encrypted keys of a project',
    description:
      'A new limit applies to every write that is committed after the response. A project may be over a new limit: nothing is deleted, and writes that add are rejected until it is below. Encrypted keys apply to writes that begin 5 seconds later; stored values are encrypted or decrypted in the background.',
  })
  @ApiConsumes(...PATCH_TYPES)
  @ApiPreconditions({ isExempt: true })
  @ApiResult(200, ProjectDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'conflict')
  async updateProject(
    @Param('project_id') id: string,
    @CurrentActor() actor: Actor,
    @Body() body: UpdateProjectDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectDto> {
    const project = await this.projects.update(id, body, actor, preconditionsOf(request));
    reply.header('ETag', etagOfJson(project));
    return project;
  }
}
