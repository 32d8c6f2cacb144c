import { type Actor, CurrentActor } from '#audit';
import { isSeq } from '#database';
import {
  API,
  ApiPage,
  ApiProblems,
  ApiResult,
  fingerprintOf,
  Http,
  pageBody,
  PageQuery,
  pageRequest,
  ProjectId,
  Rules,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { DeletionPageDto, RestoredDto } from './deletion.dto.js';
import { DeletionStore } from './deletion.store.js';
import { notRestorable, Restoration } from './restoration.js';

const ALL_OR_NOTHING =
  'All or nothing: 409 where an id was used again, or where the batch of an object was deleted; then nothing is restored. Objects are again at their old place in lists.';

@ApiTags('deletions')
@Controller(API)
export class DeletionController {
  constructor(
    private readonly deletions: DeletionStore,
    private readonly restoration: Restoration,
    private readonly config: Config,
  ) {}

  @Get('deletions')
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({ summary: 'List the deletions that can be restored, newest first' })
  @ApiPage(DeletionPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listDeletions(
    @ProjectId() projectId: number,
    @Query() query: PageQuery,
    @Http() http: HttpContext,
  ): Promise<object> {
    const page = pageRequest(query, this.config, fingerprintOf('deletions', projectId), http);
    const { slice, count } = await this.deletions.list(projectId, page);
    return pageBody(page, slice, count);
  }

  @Post('deletions/:deletion_id/restore')
  @HttpCode(200)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Restore everything that a request has deleted', description: ALL_OR_NOTHING })
  @ApiResult(200, RestoredDto)
  @ApiProblems('not-found', 'conflict', 'quota-exceeded')
  async restoreDeletion(
    @ProjectId() projectId: number,
    @Param('deletion_id') id: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RestoredDto> {
    if (!isSeq(id)) throw notRestorable('deletion');
    return charged(reply, await this.restoration.restoreDeletion(projectId, id, actor));
  }

  @Post('batches/:batch_id/restore')
  @HttpCode(200)
  @Rules({ roles: ['admin'] })
  @ApiOperation({
    summary: 'Restore a deleted batch with the objects that were deleted with it',
    description: ALL_OR_NOTHING,
  })
  @ApiResult(200, RestoredDto)
  @ApiProblems('not-found', 'conflict', 'quota-exceeded')
  async restoreBatch(
    @ProjectId() projectId: number,
    @Param('batch_id') batchId: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RestoredDto> {
    return charged(reply, await this.restoration.restoreBatch(projectId, batchId, actor));
  }

  @Post('objects/:object_id/restore')
  @HttpCode(200)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Restore the deleted object that had this id last', description: ALL_OR_NOTHING })
  @ApiResult(200, RestoredDto)
  @ApiProblems('not-found', 'conflict', 'quota-exceeded')
  async restoreObject(
    @ProjectId() projectId: number,
    @Param('object_id') objectId: string,
    @CurrentActor() actor: Actor,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RestoredDto> {
    return charged(reply, await this.restoration.restoreObject(projectId, objectId, actor));
  }
}

/** The rate limits count the restored objects. */
function charged(reply: FastifyReply, restored: RestoredDto): RestoredDto {
  reply.chargedItems = restored.objects;
  return restored;
}
