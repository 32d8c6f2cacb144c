/**
 * batches: whole batches in and out, as JSON and NDJSON.
 * Imports json, filter, platform, database, http, access, jobs, store, objects.
 */
export { BatchService } from './batch.service.js';
export { BatchesModule } from './batches.module.js';
