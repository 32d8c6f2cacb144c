/**
 * usage: what each project stores, exact and without a scan, and the number of its requests.
 * Imports platform, database, http.
 */
export { RequestCounter } from './request-counter.js';
export { addUsageSql } from './usage-sql.js';
export { UsageModule } from './usage.module.js';
export { NO_CHANGE, UsageStore, type UsageChange } from './usage.store.js';
