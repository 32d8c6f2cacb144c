/**
 * export: all objects that a filter matches, streamed from one snapshot.
 * Imports json, filter, platform, database, http, store, objects.
 */
export { ExportModule } from './export.module.js';
