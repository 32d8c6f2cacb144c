/**
 * usage: what each project stores, exact and without a scan, its limits, and the number of its requests.
 * Imports platform, database, http.
 */
export { ProjectRequestsEntity } from './project-requests.entity.js';
export { ProjectUsageEntity } from './project-usage.entity.js';
export {
  exceeds,
  isShareUsedUp,
  QuotaExceeded,
  QuotaStore,
  STAGED_UNCHECKED,
  toNumber,
  UNLIMITED,
  type UsageChange,
} from './quota.store.js';
export { RecentProjects } from './recent-projects.js';
export { RequestCounter } from './request-counter.js';
export { ADD_USAGE, addUsageSql, deletedBytesSql, OBJECT_COUNT, subtractUsageSql } from './usage-sql.js';
export { UsageModule } from './usage.module.js';
export { NO_CHANGE, UsageStore } from './usage.store.js';
