/**
 * retention: deletes the objects that are older than the retention of their project.
 * Imports platform, database, filter, audit, jobs, objects.
 */
export { Retention } from './retention.js';
export { RetentionModule } from './retention.module.js';
