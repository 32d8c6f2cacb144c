/**
 * analytics: aggregates over any filter, and hourly rollups.
 * Imports json, filter, platform, database, http, access, jobs, store, objects.
 */
export { AggregateService } from './aggregate.service.js';
export { AnalyticsModule } from './analytics.module.js';
