/**
 * jobs: write operations that run at once or later as a job, and Idempotency-Keys.
 * Imports platform, telemetry, database, http, limits, audit, access.
 */
export { ApiRespondAsync } from './api-respond-async.js';
export { Idempotency } from './idempotency.js';
export { JobDto } from './job.dto.js';
export { JobRunner } from './job-runner.js';
export { JobsModule } from './jobs.module.js';
export { Maintenance, MAINTENANCE_PROJECTS, MAINTENANCE_ROWS, type MaintenanceTask } from './maintenance.js';
export {
  jsonBody,
  pathParam,
  type Receipt,
  type WriteOperation,
  type WriteRequest,
  type WriteResponse,
} from './write-operation.js';
export { MetricsStore, PROJECT_CLASSES, type DatabaseState } from './metrics.store.js';
export { type NewJob } from './job.store.js';
export { OperatorJobs, type OperatorRequest } from './operator-jobs.js';
export { originOf } from './stored-request.js';
export { WriteOperations } from './write-operations.js';
export { WriteService } from './write.service.js';
export { WriteSlots } from './write-slots.js';
