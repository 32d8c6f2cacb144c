import { INSTALLATION, type Actor } from '#audit';
import { Sequence, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { JobExecutor } from './job-executor.js';
import { JobNotifier } from './job-notifier.js';
import { JobPlaces } from './job-places.js';
import { jobText, jobUrl } from './job.dto.js';
import { JobStore, type JobRow, type NewJob } from './job.store.js';
import type { RequestOrigin, StoredRequest } from './stored-request.js';

/** A request of an operator, or a command. */
export interface OperatorRequest extends RequestOrigin {
  actor: Actor;
  /** URL of the API as the client sees it. */
  baseUrl: string;
}

/** The key of jobs that a command accepted. */
const NO_KEY = '0';

/** Jobs of operators. They belong to the installation, like the audit entries of operators, so no key of a project sees them. */
@Injectable()
export class OperatorJobs {
  constructor(
    private readonly jobs: JobStore,
    private readonly places: JobPlaces,
    private readonly executor: JobExecutor,
    private readonly notifier: JobNotifier,
    private readonly sequence: Sequence,
  ) {}

  /** Prepares a job without a body. Not called in a transaction, because it may use a connection of its own. */
  async prepare(
    operation: string,
    params: Readonly<Record<string, string>>,
    { actor, baseUrl, ...origin }: OperatorRequest,
  ): Promise<NewJob> {
    const jobId = this.sequence.next().toString();
    const input: StoredRequest = { params, query: {}, role: 'operator', actor, base: baseUrl, ...origin };
    return {
      projectId: INSTALLATION,
      jobId,
      bodyId: jobId,
      keyId: actor.keyId ?? NO_KEY,
      operation,
      input: JSON.stringify(input),
      mediaType: 'application/json',
      parts: 1,
      body: Buffer.from('null'),
      place: await this.places.next(INSTALLATION),
    };
  }

  /** Stores and queues a job when the transaction is committed; call `wake` then. */
  async insert(tx: Queryable, job: NewJob): Promise<void> {
    await this.jobs.insert(tx, job);
  }

  /** Wakes a worker. */
  wake(): void {
    this.notifier.wake();
  }

  /** The response to the request that accepted a job. */
  accepted({ jobId }: NewJob, baseUrl: string): { url: string; text: string } {
    const row = { seq: jobId, status: 'queued', attempts: 0, finished_at: null, problem: null } as const;
    return { url: jobUrl(baseUrl, jobId), text: jobText(baseUrl, row) };
  }

  /**
   * Runs a job in this process, also while a worker runs it: only one of them records a result.
   * @returns the job afterwards
   * @throws the error after which a worker retries it
   */
  async run(job: NewJob, workerId: string): Promise<JobRow> {
    await this.executor.run(job, workerId);
    const row = await this.jobs.find(job, null);
    if (row === null) throw new Error(`job ${job.jobId} does not exist`);
    return row;
  }
}
