/**
 * changes: what was created, changed and deleted, in the order of the commits, as pages and as Server-Sent Events.
 * Imports filter, platform, database, http, access, jobs, store, objects.
 */
export { ChangeStore } from './change.store.js';
export { ChangesModule } from './changes.module.js';
