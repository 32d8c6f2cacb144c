import { API, Problem, problemBody, toProblem } from '#http';
import { Database, timeOfSeq } from '#database';
import { Injectable, Logger } from '@nestjs/common';
import { JobStore, type ClaimedJob, type JobKey } from './job.store.js';
import { KeptBody } from './kept-body.js';
import { Operations } from './operations.js';
import type { KeptRequest } from './write-requests.js';

/**
 * How often a job is begun that meets faults, or kills its worker, before it is a dead letter. graphile-worker waits e^n
 * seconds after the nth attempt: 2.7 s, 7 s, 20 s, 55 s, 2.5 min, ... 2.3 h, in all about 3.5 h.
 */
const ATTEMPTS_MAX = 10;

/** Another worker did the job while this one was at it: what this one did has to be undone. */
class DoneElsewhere extends Error {
  override name = 'DoneElsewhere';
}

/** Does one job. */
@Injectable()
export class JobWork {
  private readonly log = new Logger('jobs');

  constructor(
    private readonly jobs: JobStore,
    private readonly bodies: KeptBody,
    private readonly operations: Operations,
    private readonly database: Database,
  ) {}

  /** Resolves when the job has come to its end, whichever. @throws what it met, where it is to be tried again */
  async run(key: JobKey, workerId: string): Promise<void> {
    const job = await this.jobs.claim(key, workerId, this.operations.names());
    if (job === null) {
      await this.leaveOpen(key);
      return;
    }
    const input = JSON.parse(job.input) as KeptRequest;
    try {
      // It killed the worker each time, so that nobody was left to say that it failed.
      if (job.attempts > ATTEMPTS_MAX) throw new Error('its worker died in every attempt');
      await this.perform(key, job, input);
    } catch (error) {
      if (error instanceof DoneElsewhere) return;
      const problem = toProblem(error);
      if (problem.status < 500) {
        await this.jobs.fail(key, bodyOf(problem, input));
      } else if (job.attempts >= ATTEMPTS_MAX) {
        this.log.error(`job ${key.jobId} has failed for good: ${String(error)}`, (error as Error).stack);
        await this.jobs.fail(key, bodyOf(deadLetter(job.attempts), input));
      } else {
        this.log.warn(
          `attempt ${String(job.attempts)} of job ${key.jobId} met a fault: ${String(problem.cause ?? error)}`,
        );
        await this.jobs.giveBack(key, workerId);
        throw error;
      }
    }
  }

  /** A job that can still run, but was not begun, is of a newer or older version: it waits for a worker that knows it. */
  private async leaveOpen(key: JobKey): Promise<void> {
    const status = await this.jobs.statusOf(key);
    if (status !== 'queued' && status !== 'running') return;
    this.log.warn(`job ${key.jobId} is of an operation that this version does not know; it is left to another worker`);
    throw new Error('a job of an unknown operation');
  }

  private async perform(key: JobKey, job: ClaimedJob, input: KeptRequest): Promise<void> {
    const { params, query, ifMatch, base } = input;
    // The job's number is the one that its request got.
    const arrival = { at: Date.parse(timeOfSeq(key.jobId)) * 1_000, id: key.jobId };
    const outcome = await this.operations.get(job.operation).run({
      params,
      query,
      ifMatch,
      arrival,
      base,
      projectId: key.projectId,
      body: this.bodies.open(key, job),
      receipt: async (tx, done) => {
        if (!(await this.jobs.succeed(tx, key, done))) throw new DoneElsewhere();
      },
    });
    // For an operation that had nothing to commit, or tried it and took it back.
    await this.jobs.succeed(this.database, key, outcome);
  }
}

function deadLetter(attempts: number): Problem {
  return new Problem('internal', {
    detail: `It met a fault of ours in ${String(attempts)} attempts, which were logged; an admin can have it tried again.`,
  });
}

function bodyOf(problem: Problem, { instance, requestId, base }: KeptRequest): object {
  return problemBody(problem, instance, requestId, base.slice(0, -API.length));
}
