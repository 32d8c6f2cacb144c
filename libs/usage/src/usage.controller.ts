import type { Queryable } from '#database';
import { API, ApiResult, ProjectId, Queries, Rules } from '#http';
import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { UsageDto } from './usage.dto.js';
import { UsageStore } from './usage.store.js';

@ApiTags('projects and keys')
@Controller(`${API}/usage`)
export class UsageController {
  constructor(private readonly store: UsageStore) {}

  @Get()
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Get what the project stores, the number of its requests, and its limits' })
  @ApiResult(200, UsageDto, { etag: true })
  async getUsage(@ProjectId() projectId: number, @Queries() on: Queryable): Promise<UsageDto> {
    const usage = await this.store.find(projectId, on);
    if (usage === null) throw new Error('the project of a key does not exist');
    return usage;
  }
}
