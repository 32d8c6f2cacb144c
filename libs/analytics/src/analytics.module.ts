import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { AggregateController } from './aggregate.controller.js';
import { AggregateService } from './aggregate.service.js';
import { AggregateStore } from './aggregate.store.js';
import { Housekeeping } from './housekeeping.js';
import { ObjectKeysController } from './object-keys.controller.js';
import { ObjectKeysService } from './object-keys.service.js';
import { ObjectKeysStore } from './object-keys.store.js';
import { RollupRefresher } from './rollup-refresher.js';
import { RollupStore } from './rollup.store.js';

/** Keys, aggregates, and the hourly rollups that make long averages fast. */
@Module({
  imports: [InvertedIndexModule, JobsModule],
  controllers: [AggregateController, ObjectKeysController],
  providers: [
    RollupStore,
    RollupRefresher,
    AggregateStore,
    AggregateService,
    Housekeeping,
    ObjectKeysStore,
    ObjectKeysService,
  ],
  exports: [AggregateService],
})
export class AnalyticsModule {}
