/**
 * analytics: keys in use, facets, aggregates over any filter, and hourly rollups.
 * Imports json, filter, platform, database, http, access, jobs, inverted-index, store, objects.
 */
export { AggregateService } from './aggregate.service.js';
export { AggregateStore } from './aggregate.store.js';
export { FacetsService } from './facets.service.js';
export { FacetsStore } from './facets.store.js';
export { type Aggregate, OPS, type Op } from './aggregate.js';
export { parseBucket } from './bucket.js';
export { AnalyticsModule } from './analytics.module.js';
export { ObjectKeysService } from './object-keys.service.js';
export { ObjectKeysStore, type KeyUse } from './object-keys.store.js';
export { RollupRefresher } from './rollup-refresher.js';
export { RollupStore } from './rollup.store.js';
