import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { AggregateController } from './aggregate.controller.js';
import { AggregateService } from './aggregate.service.js';
import { AggregateStore } from './aggregate.store.js';
import { Housekeeping } from './housekeeping.js';
import { RollupRefresher } from './rollup-refresher.js';
import { RollupStore } from './rollup.store.js';

/** Aggregates, and the hourly rollups that make long averages fast. */
@Module({
  imports: [JobsModule],
  controllers: [AggregateController],
  providers: [RollupStore, RollupRefresher, AggregateStore, AggregateService, Housekeeping],
  exports: [AggregateService],
})
export class AnalyticsModule {}
