import { parseTraceparent, type Tracing } from '#telemetry';
import type { JobKey } from './job-key.js';
import type { ClaimedJob } from './job.store.js';
import type { StoredRequest } from './stored-request.js';

/** Runs an attempt of a job as a part of the trace of its request. */
export async function traceJob(
  tracing: Tracing | null,
  { projectId, jobId }: JobKey,
  { operation, attempts }: ClaimedJob,
  { traceparent, requestId }: StoredRequest,
  run: () => Promise<void>,
): Promise<void> {
  if (tracing === null) {
    await run();
    return;
  }
  const span = tracing.startJob(`job ${operation}`, parseTraceparent(traceparent), {
    'stowage.job_id': jobId,
    'stowage.project_id': projectId,
    'stowage.request_id': requestId,
    'stowage.attempt': attempts,
  });
  try {
    await tracing.run(span, run);
    span.end();
  } catch (error) {
    span.end({}, error);
    throw error;
  }
}
