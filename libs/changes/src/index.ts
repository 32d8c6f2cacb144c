/**
 * changes: what was created, changed and deleted, in the order of the commits, as pages and as Server-Sent Events.
 * Imports filter, platform, database, http, access, jobs, store, objects.
 */
export { ChangesModule } from './changes.module.js';
