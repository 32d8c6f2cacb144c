import {
  API,
  ApiProblems,
  CurrentPrincipal,
  fingerprintOf,
  pageBody,
  pageRequest,
  Problem,
  Rules,
  type Principal,
  ApiPage,
  Http,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { AuditPageDto, AuditQuery } from './audit.dto.js';
import { AuditReadStore } from './audit-read.store.js';

@ApiTags('audit')
@Controller(`${API}/audit`)
export class AuditController {
  constructor(
    private readonly store: AuditReadStore,
    private readonly config: Config,
  ) {}

  @Get()
  @Rules({ roles: ['operator', 'admin'], query: true })
  @ApiOperation({
    summary: 'List who deleted, replaced and managed what, newest first',
    description:
      'An admin gets the entries of its project. An operator gets those of the installation, or with `project_id` those of a project, also of a deleted one, without the ids of its data.',
  })
  @ApiPage(AuditPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listAuditEntries(
    @CurrentPrincipal() principal: Principal,
    @Query() { project_id: sentId, action, key_id, target_type, target_id, from, until, ...query }: AuditQuery,
    @Http() http: HttpContext,
  ): Promise<object> {
    const projectId = await this.findChain(principal, sentId);
    const maySeeData = principal.role !== 'operator';
    const filter = { action, key_id, target_type, target_id, from, until };
    const fingerprint = fingerprintOf('audit', projectId, maySeeData, filter);
    const page = pageRequest(query, this.config, fingerprint, http);
    const { slice, count } = await this.store.list(projectId, filter, page, { maySeeData });
    return pageBody(page, slice, count);
  }

  /**
   * @returns the project; null for the installation
   * @throws Problem not-found for a project that never existed, and for an admin for every project but its own
   */
  private async findChain({ role, projectId }: Principal, sentId: number | undefined): Promise<number | null> {
    if (role !== 'operator') {
      if (sentId === undefined || sentId === projectId) return projectId;
      throw projectNotFound();
    }
    if (sentId !== undefined && !(await this.store.hasExisted(sentId))) throw projectNotFound();
    return sentId ?? null;
  }
}

function projectNotFound(): Problem {
  return new Problem('not-found', { detail: 'Project not found.' });
}
