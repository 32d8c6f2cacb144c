import { type Actor, CurrentActor } from '#audit';
import {
  API,
  ApiProblems,
  ApiResult,
  baseUrl,
  fingerprintOf,
  pageBody,
  PageQuery,
  pageRequest,
  Rules,
  type Principal,
  CurrentPrincipal,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CreateProjectDto, ProjectDto, ProjectPageDto } from './project.dto.js';
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
    const project = await this.projects.create(body.name, actor);
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
  @ApiOperation({ summary: 'Get a project; an admin can get its own only' })
  @ApiResult(200, ProjectDto, { etag: true })
  @ApiProblems('not-found')
  getProject(@CurrentPrincipal() principal: Principal, @Param('project_id') id: string): Promise<ProjectDto> {
    return this.projects.get(principal, id);
  }
}
