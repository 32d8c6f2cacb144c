import { setTimeout as sleep } from 'node:timers/promises';
import { ByteBudget, type Reservation } from '#platform';
import { Telemetry } from '#telemetry';
import { API, chargedItemsOf, Problem, problemBody, toProblem } from '#http';
import { ChangeNotifier, Database, type Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { EventStore } from '#events';
import { RateLimits } from '#limits';
import { Injectable } from '@nestjs/common';
import { JobBodyStore } from './job-body.store.js';
import { JobLog } from './job-log.js';
import type { JobKey } from './job-key.js';
import { JobStore, type ClaimedJob } from './job.store.js';
import { traceJob } from './job-tracing.js';
import { restoreRequest, type StoredRequest } from './stored-request.js';
import type { WriteRequest, WriteResponse } from './write-operation.js';
import { WriteOperations } from './write-operations.js';

/**
 * Attempts before a job that fails with server errors, or kills its worker, becomes a dead letter. graphile-worker waits e^n
 * seconds after attempt n: 2.7 s, 7 s, 20 s, 55 s, 2.5 min, ... 2.3 h, about 3.5 h in all.
 */
const ATTEMPTS_MAX = 10;

/** Where too much work waits for memory already. */
const MEMORY_RETRY_MS = 500;

/** Rolls an attempt back because another worker has completed the job meanwhile. */
class AlreadyCompletedError extends Error {
  override name = 'AlreadyCompletedError';
}

/** Runs one job. */
@Injectable()
export class JobExecutor {
  constructor(
    private readonly jobs: JobStore,
    private readonly bodies: JobBodyStore,
    private readonly operations: WriteOperations,
    private readonly database: Database,
    private readonly budget: ByteBudget,
    private readonly limits: RateLimits,
    private readonly changes: ChangeNotifier,
    private readonly telemetry: Telemetry,
    private readonly events: EventStore,
    private readonly encryption: EncryptedKeys,
  ) {}

  /** Resolves when the job has succeeded or finally failed. @throws the error after which the job is retried */
  async run(key: JobKey, workerId: string): Promise<void> {
    // No attempt of the job is lost: the process was asked for it before it has heard of the data key.
    this.encryption.requireReadable(key.projectId);
    const job = await this.jobs.claim(key, workerId, this.operations.names());
    if (job === null) {
      await this.requireEnded(key);
      return;
    }
    const stored = JSON.parse(job.input) as StoredRequest;
    await traceJob(this.telemetry.tracing, key, job, stored, () => this.attempt(key, job, stored, workerId));
  }

  private async attempt(key: JobKey, job: ClaimedJob, stored: StoredRequest, workerId: string): Promise<void> {
    const log = new JobLog(this.telemetry, key, job, stored);
    try {
      // A job that kills its worker never gets to the end of an attempt.
      if (job.attempts > ATTEMPTS_MAX) throw new Error('the worker of the job died in every attempt');
      const response = await this.runOperation(key, job, stored);
      this.changes.mark(key.projectId);
      log.ended('succeeded', response);
    } catch (error) {
      if (error instanceof AlreadyCompletedError) return;
      const problem = toProblem(error);
      if (problem.status < 500) {
        await this.fail(key, job, problem, stored);
        log.ended('failed', problem);
        this.charge(key, job, chargedItemsOf(error, problem));
      } else if (job.attempts >= ATTEMPTS_MAX) {
        log.finallyFailed(error);
        await this.fail(key, job, deadLetter(job.attempts, stored), stored);
        log.ended('failed', problem);
      } else {
        log.attemptFailed(error, problem);
        await this.jobs.release(key, workerId);
        log.ended('queued', problem);
        throw error;
      }
    }
  }

  /** Stores the failure together with its event. */
  private async fail(key: JobKey, { operation }: ClaimedJob, problem: Problem, stored: StoredRequest): Promise<void> {
    const { status, title, message: detail } = problem;
    await this.database.transaction(async (tx) => {
      if (!(await this.jobs.fail(tx, key, problemOf(problem, stored)))) return;
      const data = { job_id: key.jobId, operation, status, title, detail };
      await this.events.record(tx, key.projectId, { type: 'job.failed', data });
    });
  }

  /** A job that could not be claimed but has not ended is of another version, and stays queued for a worker of that version. */
  private async requireEnded(key: JobKey): Promise<void> {
    const status = await this.jobs.statusOf(key);
    if (status !== 'queued' && status !== 'running') return;
    this.telemetry.log.warn(`job ${key.jobId} is of an operation that this version does not know; it stays queued`);
    throw new Error('a job of an unknown operation');
  }

  private async runOperation(key: JobKey, job: ClaimedJob, stored: StoredRequest): Promise<WriteResponse> {
    const memory = await this.reserveMemory(key.projectId, job.body_bytes ?? 0);
    try {
      const body = job.body ?? (job.body_bytes === null ? null : await this.jobs.part(key, 0));
      const opened = this.bodies.open(key, { ...job, body }, stored.bodyLimit);
      const response = await this.runRequest(key, job.operation, restoreRequest(stored, key, opened));
      const { items = 1, chargedItems = items } = response;
      this.charge(key, job, chargedItems);
      return response;
    } finally {
      memory.release();
    }
  }

  /** A job that was accepted runs, whatever its key has used since; later requests of the key wait for it. */
  private charge({ projectId }: JobKey, job: ClaimedJob, items: number): void {
    this.limits.charge({ keyId: job.key_id, projectId }, items);
  }

  /** Waits as long as it takes: a job that gave up would lose one of its attempts. */
  private async reserveMemory(projectId: number, bytes: number): Promise<Reservation> {
    const most = Math.min(bytes, this.budget.shareBytes);
    for (;;) {
      const memory = this.budget.reserve(projectId, most) ?? (await this.budget.acquire(projectId, most));
      if (memory !== null) return memory;
      await sleep(MEMORY_RETRY_MS);
    }
  }

  private async runRequest(key: JobKey, operation: string, request: WriteRequest): Promise<WriteResponse> {
    const receipt = async (tx: Queryable, response: WriteResponse): Promise<void> => {
      if (!(await this.jobs.succeed(tx, key, response))) throw new AlreadyCompletedError();
    };
    const response = await this.operations.get(operation).run(request, receipt);
    // An operation that stored nothing has not called the receipt.
    await this.jobs.succeed(this.database, key, response);
    return response;
  }
}

function deadLetter(attempts: number, { role }: StoredRequest): Problem {
  // An admin sees no jobs of operators.
  const retriedBy = role === 'operator' ? 'operator' : 'admin';
  return new Problem('internal', {
    detail: `The job failed in ${String(attempts)} attempts because of server errors, which were logged. An ${retriedBy} can retry it.`,
  });
}

function problemOf(problem: Problem, { instance, requestId, base }: StoredRequest): object {
  return problemBody(problem, base.slice(0, -API.length), { instance, request_id: requestId });
}
