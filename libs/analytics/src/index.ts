/**
 * analytics: aggregates over any filter, and hourly rollups.
 * Imports json, filter, platform, database, http, access, jobs, store, objects.
 */
export { AggregateStore } from './aggregate.store.js';
export { AnalyticsModule } from './analytics.module.js';
