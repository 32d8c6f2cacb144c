import { projectOf } from '#access';
import { baseUrl, Database, JsonBody, NdjsonBody, prefers, Sequence, type Queryable } from '#platform';
import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { jobText, jobUrl } from './job.dto.js';
import { JobRunner } from './job-runner.js';
import { JobStore, type NewJob } from './job.store.js';
import { KeptBody } from './kept-body.js';
import type { Operation, Outcome, WriteInput } from './operation.js';

/** What a job keeps of its request, beside the body; as JSON. */
export interface KeptRequest extends WriteInput {
  /** For the problem of a job that fails, so that it is the one that a synchronous request would get. */
  instance: string;
  requestId: string;
}

interface WriteRequest {
  body: JsonBody | NdjsonBody;
  /** The query's options, checked. */
  query?: object;
  request: FastifyRequest;
  reply: FastifyReply;
}

/** Answers the routes that write: at once, or with `Prefer: respond-async` with a job. */
@Injectable()
export class WriteRequests {
  constructor(
    private readonly jobs: JobStore,
    private readonly bodies: KeptBody,
    private readonly runner: JobRunner,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /** Sets status and headers. @returns the JSON to answer with @throws what the operation throws, unless it runs later */
  async answer(operation: Operation, { body, query = {}, request, reply }: WriteRequest): Promise<string> {
    const projectId = projectOf(request);
    const input: WriteInput = {
      params: request.params as Record<string, string>,
      query: { ...query },
      ifMatch: request.headers['if-match'],
      base: baseUrl(request),
    };
    const outcome = prefers(request.headers.prefer, 'respond-async')
      ? await this.accept(operation, input, body, request)
      : await operation.run({ ...input, projectId, body, receipt: request.receipt });
    reply.code(outcome.status).headers(outcome.headers ?? {});
    if (outcome.items !== undefined) reply.itemCount = outcome.items;
    return outcome.text;
  }

  /** Resolves when the request is on disk. */
  private async accept(
    operation: Operation,
    input: WriteInput,
    body: JsonBody | NdjsonBody,
    { principal, receipt, originalUrl, id }: FastifyRequest,
  ): Promise<Outcome> {
    const jobId = this.sequence.next().toString();
    const kept: KeptRequest = { ...input, instance: originalUrl, requestId: id };
    const { projectId, keyId } = principal as { projectId: number; keyId: string };
    const job: Omit<NewJob, 'parts'> = {
      projectId,
      jobId,
      keyId,
      operation: operation.name,
      input: JSON.stringify(kept),
      mediaType: body instanceof JsonBody ? 'application/json' : 'application/x-ndjson',
      body: body instanceof JsonBody ? body.bytes : null,
    };
    const outcome: Outcome = {
      status: 202,
      text: jobText(input.base, { seq: jobId, status: 'queued', attempts: 0, finished_at: null, problem: null }),
      headers: { Location: jobUrl(input.base, jobId), 'Preference-Applied': 'respond-async' },
    };
    const store = async (on: Queryable, parts: number): Promise<void> => {
      await this.jobs.accept(on, { ...job, parts });
      await receipt?.(on, outcome);
    };
    const commit = (parts: number): Promise<void> =>
      this.runner.accepting(() =>
        receipt === undefined
          ? this.database.retrying(() => store(this.database, parts))
          : this.database.transaction((tx) => store(tx, parts)),
      );
    await (body instanceof JsonBody ? commit(1) : this.bodies.keep(job, body, commit));
    return outcome;
  }
}
