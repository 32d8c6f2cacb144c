import { idsOfWrite, type Problem } from '#http';
import { parseTraceparent, type Telemetry } from '#telemetry';
import type { JobKey } from './job-key.js';
import type { ClaimedJob, JobStatus } from './job.store.js';
import type { StoredRequest } from './stored-request.js';
import type { WriteResponse } from './write-operation.js';

/** The log lines and the metrics of one attempt of a job. Each line has the ids of the job, and of the request and the trace that it belongs to. */
export class JobLog {
  private readonly startedAtMs = performance.now();
  private readonly fields: {
    request_id: string;
    trace_id: string | undefined;
    project: number;
    key_id: string;
    job_id: string;
    operation: string;
    attempt: number;
  };

  constructor(
    private readonly telemetry: Telemetry,
    { projectId, jobId }: JobKey,
    private readonly job: ClaimedJob,
    private readonly stored: StoredRequest,
  ) {
    this.fields = {
      request_id: stored.requestId,
      trace_id: parseTraceparent(stored.traceparent)?.traceId,
      project: projectId,
      key_id: job.key_id,
      job_id: jobId,
      operation: job.operation,
      attempt: job.attempts,
    };
  }

  /**
   * One line for each attempt, like that of a request.
   * @param state of the job after the attempt
   * @param result the response of the operation, or its problem
   */
  ended(state: JobStatus, result: Pick<WriteResponse, 'status'> & Partial<WriteResponse>): void {
    const ids = idsOfWrite(this.stored.params, result.headers?.Location, result.ids);
    const elapsedMs = performance.now() - this.startedAtMs;
    const ms = Math.round(elapsedMs * 10) / 10;
    this.telemetry.log.info({ ...this.fields, ids, state, status: result.status, ms, items: result.items });
    const { metrics } = this.telemetry;
    const { operation } = this.job;
    metrics?.jobAttempts.inc({ operation, state });
    metrics?.jobSeconds.observe({ operation }, elapsedMs / 1_000);
    if (state === 'succeeded' && result.items !== undefined) metrics?.itemsWritten.inc({ via: 'job' }, result.items);
  }

  /** @param problem the error as a problem */
  attemptFailed(error: unknown, { slug, cause = error }: Problem): void {
    this.telemetry.log.warn({ ...this.fields, err: cause }, 'an attempt of the job failed; it is tried again');
    if (slug === 'internal') this.report(cause);
  }

  finallyFailed(error: unknown): void {
    this.telemetry.metrics?.deadLettersTotal.inc();
    this.telemetry.log.error({ ...this.fields, err: error }, 'the job has finally failed');
    this.report(error);
  }

  private report(error: unknown): void {
    const { request_id, trace_id, project, job_id } = this.fields;
    this.telemetry.errors?.report(error, { request_id, trace_id, project, job_id, operation: this.job.operation });
  }
}
