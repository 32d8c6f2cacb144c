import { EncryptionModule } from '#encryption';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { AggregateController } from './aggregate.controller.js';
import { AggregateService } from './aggregate.service.js';
import { AggregateStore } from './aggregate.store.js';
import { AnalyticsMaintenance } from './analytics-maintenance.js';
import { FacetsController } from './facets.controller.js';
import { FacetsService } from './facets.service.js';
import { FacetsStore } from './facets.store.js';
import { ObjectKeysController } from './object-keys.controller.js';
import { ObjectKeysService } from './object-keys.service.js';
import { ObjectKeysStore } from './object-keys.store.js';
import { RollupRefresher } from './rollup-refresher.js';
import { RollupStore } from './rollup.store.js';

/** Keys, facets, aggregates, and the hourly rollups that make long averages fast. */
@Module({
  imports: [EncryptionModule, InvertedIndexModule, JobsModule],
  controllers: [AggregateController, ObjectKeysController, FacetsController],
  providers: [
    RollupStore,
    RollupRefresher,
    AggregateStore,
    AggregateService,
    AnalyticsMaintenance,
    ObjectKeysStore,
    ObjectKeysService,
    FacetsStore,
    FacetsService,
  ],
  exports: [AggregateService],
})
export class AnalyticsModule {}
