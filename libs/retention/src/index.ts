/**
 * retention: deletes the objects that are older than the retention of their project, also those that could be restored.
 * Imports platform, telemetry, database, filter, audit, jobs, undelete, objects.
 */
export { Retention } from './retention.js';
export { RetentionModule } from './retention.module.js';
