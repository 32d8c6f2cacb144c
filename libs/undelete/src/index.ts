/**
 * undelete: keeps deleted batches and objects for UNDELETE_HOURS, lists them and restores them.
 * Imports platform, database, http, usage, audit, jobs, inverted-index, store.
 */
export { DeletionIds } from './deletion-ids.js';
export { DeletionStore } from './deletion.store.js';
export { keepDeletedSql, keepObjectsSql } from './keep-deleted-sql.js';
export { UndeleteModule } from './undelete.module.js';
