import type { Queryable } from '#database';
import { API, ApiResult, Queries, Rules } from '#http';
import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { MaintenanceDto } from './maintenance.dto.js';
import { MaintenanceStore } from './maintenance.store.js';

@ApiTags('operations')
@Controller(`${API}/maintenance`)
export class MaintenanceController {
  constructor(private readonly store: MaintenanceStore) {}

  @Get()
  @Rules({ roles: ['operator'] })
  @ApiOperation({ summary: 'Get the sizes of the tables, and whether maintenance and the index keep up' })
  @ApiResult(200, MaintenanceDto)
  getMaintenance(@Queries() on: Queryable): Promise<MaintenanceDto> {
    return this.store.read(on);
  }
}
