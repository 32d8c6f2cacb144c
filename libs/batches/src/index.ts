/**
 * batches: whole batches in and out, as JSON and NDJSON.
 * Imports json, filter, platform, database, http, usage, audit, access, jobs, store, objects.
 */
export { BatchReader } from './batch-reader.js';
export { BatchesModule } from './batches.module.js';
