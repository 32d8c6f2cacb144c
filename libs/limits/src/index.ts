/**
 * limits: items per minute of each key and project, failed authentications of each address.
 * Imports platform, database, http.
 */
export { LimitsModule } from './limits.module.js';
export { LimitTimes } from './limit-times.js';
export { RateLimitCountEntity } from './rate-limit-count.entity.js';
export { RateLimits } from './rate-limits.js';
