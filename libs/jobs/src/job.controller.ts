import {
  ApiResult,
  API,
  baseUrl,
  fingerprintOf,
  JsonHeader,
  pageRequest,
  pageText,
  Problem,
  ApiProblems,
  Rules,
  type Principal,
  CurrentPrincipal,
  ApiPage,
  Queries,
  Http,
  type HttpContext,
} from '#http';
import { INSTALLATION } from '#audit';
import { Config } from '#platform';
import { isSeq, type Queryable } from '#database';
import { Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { JobDto, JobListQuery, JobPageDto, jobText } from './job.dto.js';
import { JobNotifier } from './job-notifier.js';
import { JobPlaces } from './job-places.js';
import type { JobKey } from './job-key.js';
import { JobStore } from './job.store.js';

const OF_OPERATORS = 'An operator sees the jobs of the installation, which delete projects, and no jobs of a project.';

@ApiTags('jobs')
@Controller(`${API}/jobs`)
export class JobController {
  constructor(
    private readonly jobs: JobStore,
    private readonly notifier: JobNotifier,
    private readonly places: JobPlaces,
    private readonly config: Config,
  ) {}

  @Get()
  @JsonHeader()
  @Rules({ roles: ['operator', 'admin', 'producer', 'analyst', 'device'], query: true })
  @ApiOperation({
    summary: 'List the jobs without their results, newest first; producers and devices see their own',
    description: OF_OPERATORS,
  })
  @ApiPage(JobPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listJobs(
    @CurrentPrincipal() principal: Principal,
    @Query() query: JobListQuery,
    @Http() http: HttpContext,
  ): Promise<string> {
    const projectId = jobsOf(principal);
    const keyId = ownKeyOf(principal);
    const page = pageRequest(query, this.config, fingerprintOf('jobs', projectId, keyId, query.status), http);
    const { slice, count } = await this.jobs.list(projectId, { keyId, status: query.status }, page);
    const base = baseUrl(http.request);
    return pageText(
      page,
      slice,
      count,
      slice.items.map((row) => jobText(base, row)),
    );
  }

  @Get(':job_id')
  @JsonHeader()
  @Rules({ roles: ['operator', 'admin', 'producer', 'analyst', 'device'] })
  @ApiOperation({
    summary: 'Get a job and its result; producers and devices see their own',
    description: OF_OPERATORS,
  })
  @ApiResult(200, JobDto)
  @ApiProblems('not-found')
  async getJob(
    @CurrentPrincipal() principal: Principal,
    @Param('job_id') id: string,
    @Req() request: FastifyRequest,
    @Queries() on: Queryable,
  ): Promise<string> {
    return this.text(principal, keyOf(principal, id), request, on);
  }

  @Post(':job_id/retry')
  @HttpCode(202)
  @JsonHeader()
  @Rules({ roles: ['operator', 'admin'] })
  @ApiOperation({ summary: 'Retry a failed job, from its first attempt', description: OF_OPERATORS })
  @ApiResult(202, JobDto)
  @ApiProblems('not-found', 'job-not-failed', 'conflict')
  async retryJob(
    @CurrentPrincipal() principal: Principal,
    @Param('job_id') id: string,
    @Req() request: FastifyRequest,
  ): Promise<string> {
    const key = keyOf(principal, id);
    const isQueued = await this.jobs.retry(key, await this.places.next(key.projectId));
    const text = await this.text(principal, key, request);
    if (!isQueued)
      throw new Problem('job-not-failed', { detail: 'Only a failed job can be retried; this one has not failed.' });
    this.notifier.wake();
    return text;
  }

  private async text(principal: Principal, key: JobKey, request: FastifyRequest, on?: Queryable): Promise<string> {
    const row = await this.jobs.find(key, ownKeyOf(principal), on);
    if (row === null) throw jobNotFound();
    return jobText(baseUrl(request), row);
  }
}

/** Producers and devices see the jobs of their own key only. */
function ownKeyOf({ role, keyId }: Principal): string | null {
  return role === 'producer' || role === 'device' ? keyId : null;
}

/** The project whose jobs a key may see; an operator sees those of the installation, which belong to no project. */
function jobsOf({ projectId }: Principal): number {
  return projectId ?? INSTALLATION;
}

/** @throws Problem not-found for an id that no job can have */
function keyOf(principal: Principal, id: string): JobKey {
  if (!isSeq(id)) throw jobNotFound();
  return { projectId: jobsOf(principal), jobId: id };
}

function jobNotFound(): Problem {
  return new Problem('not-found', { detail: 'Job not found.' });
}
