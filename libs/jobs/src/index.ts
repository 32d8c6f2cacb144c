/**
 * jobs: writes that can be sent again without doing them twice: accepted now and run later, or remembered by an
 * Idempotency-Key.
 * Imports platform, access.
 */
export { Idempotency } from './idempotency.js';
export { JobRunner } from './job-runner.js';
export { JobsModule } from './jobs.module.js';
export { Maintenance, MAINTENANCE_ROWS } from './maintenance.js';
export { MayRunLater } from './may-run-later.js';
export { Operations } from './operations.js';
export { Incoming, WriteRequests, type WriteRequest } from './write-requests.js';
export {
  jsonBodyOf,
  paramOf,
  type Arrival,
  type Operation,
  type Outcome,
  type Receipt,
  type Write,
  type WriteInput,
} from './operation.js';
