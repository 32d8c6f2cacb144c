import { type Actor, CurrentActor } from '#audit';
import {
  API,
  ApiPreconditions,
  ApiProblems,
  ApiResult,
  baseUrl,
  FlagParameter,
  Http,
  JsonHeader,
  preconditionsOf,
  Rules,
  type HttpContext,
} from '#http';
import { JobDto, OperatorJobs, originOf } from '#jobs';
import { Controller, Delete, HttpCode, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { ProjectDeletion } from './project-deletion.js';

class DeleteProjectQuery {
  @FlagParameter({ description: 'Delete the batches and objects with the project.', example: true })
  cascade?: boolean;
}

@ApiTags('projects and keys')
@Controller(`${API}/projects`)
export class ProjectDeletionController {
  constructor(
    private readonly deletion: ProjectDeletion,
    private readonly jobs: OperatorJobs,
  ) {}

  @Delete(':project_id')
  @HttpCode(202)
  @JsonHeader()
  @Rules({ roles: ['operator'], query: true })
  @ApiOperation({
    summary: 'Delete a project; with cascade=true, also its batches and objects',
    description:
      'The response is sent when the project is deleted: its name is free, and every server rejects its keys within 5 seconds. A job then deletes its rows; its `result` has their numbers. The audit log of the project is kept.',
  })
  @ApiPreconditions({ isExempt: true })
  @ApiResult(202, JobDto, { location: true, description: 'Deleted; Location is the URL of the job.' })
  @ApiProblems('invalid-query', 'not-found', 'project-not-empty')
  async deleteProject(
    @Param('project_id') id: string,
    @Query() query: DeleteProjectQuery,
    @CurrentActor() actor: Actor,
    @Http() { request, reply }: HttpContext,
  ): Promise<string> {
    const options = { cascade: query.cascade ?? false, preconditions: preconditionsOf(request) };
    const base = baseUrl(request);
    const sent = { actor, baseUrl: base, ...originOf(request) };
    const job = await this.deletion.delete(id, options, sent);
    const { url, text } = this.jobs.accepted(job, base);
    reply.header('Location', url);
    return text;
  }
}
