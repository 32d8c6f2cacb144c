import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { AggregateController } from './aggregate.controller.js';
import { AggregateStore } from './aggregate.store.js';
import { Housekeeping } from './housekeeping.js';
import { RollupStore } from './rollup.store.js';
import { Rollups } from './rollups.js';

/** Aggregates, and the hourly rollups that make long averages fast. */
@Module({
  imports: [JobsModule],
  controllers: [AggregateController],
  providers: [RollupStore, Rollups, AggregateStore, Housekeeping],
  exports: [AggregateStore],
})
export class AnalyticsModule {}
