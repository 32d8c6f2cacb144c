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
  ProjectId,
  ApiPage,
  Http,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { isSeq } from '#database';
import { Controller, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { JobDto, JobListQuery, JobPageDto, jobText } from './job.dto.js';
import { JobNotifier } from './job-notifier.js';
import { JobPlaces } from './job-places.js';
import { JobStore, type JobKey } from './job.store.js';

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
  @Rules({ roles: ['admin', 'producer', 'analyst', 'device'], query: true })
  @ApiOperation({ summary: 'List the jobs without their results, newest first; producers and devices see their own' })
  @ApiPage(JobPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listJobs(
    @CurrentPrincipal() principal: Principal,
    @ProjectId() projectId: number,
    @Query() query: JobListQuery,
    @Http() http: HttpContext,
  ): Promise<string> {
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
  @Rules({ roles: ['admin', 'producer', 'analyst', 'device'] })
  @ApiOperation({ summary: 'Get a job and its result; producers and devices see their own' })
  @ApiResult(200, JobDto)
  @ApiProblems('not-found')
  async getJob(
    @CurrentPrincipal() principal: Principal,
    @ProjectId() projectId: number,
    @Param('job_id') id: string,
    @Req() request: FastifyRequest,
  ): Promise<string> {
    return this.text(principal, keyOf(projectId, id), request);
  }

  @Post(':job_id/retry')
  @HttpCode(202)
  @JsonHeader()
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Retry a failed job, from its first attempt' })
  @ApiResult(202, JobDto)
  @ApiProblems('not-found', 'job-not-failed')
  async retryJob(
    @CurrentPrincipal() principal: Principal,
    @ProjectId() projectId: number,
    @Param('job_id') id: string,
    @Req() request: FastifyRequest,
  ): Promise<string> {
    const key = keyOf(projectId, id);
    const isQueued = await this.jobs.retry(key, await this.places.next(projectId));
    const text = await this.text(principal, key, request);
    if (!isQueued)
      throw new Problem('job-not-failed', { detail: 'Only a failed job can be retried; this one has not failed.' });
    this.notifier.wake();
    return text;
  }

  private async text(principal: Principal, key: JobKey, request: FastifyRequest): Promise<string> {
    const row = await this.jobs.find(key, ownKeyOf(principal));
    if (row === null) throw jobNotFound();
    return jobText(baseUrl(request), row);
  }
}

/** Producers and devices see the jobs of their own key only. */
function ownKeyOf({ role, keyId }: Principal): string | null {
  return role === 'producer' || role === 'device' ? keyId : null;
}

/** @throws Problem not-found for an id that no job can have */
function keyOf(projectId: number, id: string): JobKey {
  if (!isSeq(id)) throw jobNotFound();
  return { projectId, jobId: id };
}

function jobNotFound(): Problem {
  return new Problem('not-found', { detail: 'Job not found.' });
}
