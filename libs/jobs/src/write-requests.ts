import { projectIdOf } from '#access';
import { baseUrl, httpContextOf, JsonBody, NdjsonBody, hasPreference, requireBody, type HttpContext } from '#http';
import { Clock } from '#platform';
import { Database, Sequence, type Queryable } from '#database';
import { createParamDecorator, Injectable, type ExecutionContext } from '@nestjs/common';
import { jobText, jobUrl } from './job.dto.js';
import { JobRunner } from './job-runner.js';
import { JobStore, type NewJob } from './job.store.js';
import { KeptBody } from './kept-body.js';
import type { Operation, Outcome, WriteInput } from './operation.js';

/** What a job keeps of its request, beside the body; as JSON. */
export interface KeptRequest extends Omit<WriteInput, 'arrival'> {
  /** For the problem of a job that fails, so that it is the one that a synchronous request would get. */
  instance: string;
  requestId: string;
}

export interface WriteRequest extends HttpContext {
  body: JsonBody | NdjsonBody;
  /** What the operation is about; left out: the ids in the address. */
  params?: Readonly<Record<string, string>>;
  /** The query's options, checked. */
  query?: object;
}

/** The request of a handler that writes. @throws Problem malformed-request where it has no body */
export const Incoming = createParamDecorator((_: unknown, context: ExecutionContext): WriteRequest => {
  const exchange = httpContextOf(context);
  return { ...exchange, body: requireBody(exchange.request.body) };
});

/** Answers the routes that write: at once, or with `Prefer: respond-async` with a job. */
@Injectable()
export class WriteRequests {
  constructor(
    private readonly jobs: JobStore,
    private readonly bodies: KeptBody,
    private readonly runner: JobRunner,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly clock: Clock,
  ) {}

  /** Sets status and headers, the media type too. @returns the JSON to answer with @throws what the operation throws, unless it runs later */
  async answer(operation: Operation, write: WriteRequest): Promise<string> {
    const { body, request } = write;
    if (hasPreference(request.headers.prefer, 'respond-async')) return this.accept(operation, write);
    const projectId = projectIdOf(request);
    return send(await operation.run({ ...this.inputOf(write), projectId, body, receipt: request.receipt }), write);
  }

  /**
   * Answers 202 with a job, whatever the client prefers. Resolves when the request is on disk.
   * @param textOf the body of the answer, from the URL of the job; left out: the job
   */
  async accept(operation: Operation, write: WriteRequest, textOf?: (jobUrl: string) => string): Promise<string> {
    const { body, request } = write;
    const { principal, receipt, originalUrl, id } = request;
    const { arrival, ...input } = this.inputOf(write);
    const jobId = arrival.id;
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
    const url = jobUrl(input.base, jobId);
    const outcome: Outcome = {
      status: 202,
      text:
        textOf?.(url) ??
        jobText(input.base, { seq: jobId, status: 'queued', attempts: 0, finished_at: null, problem: null }),
      headers: { Location: url, ...(textOf === undefined ? { 'Preference-Applied': 'respond-async' } : {}) },
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
    return send(outcome, write);
  }

  private inputOf({ params, query = {}, request }: WriteRequest): WriteInput {
    return {
      params: params ?? (request.params as Record<string, string>),
      query: { ...query },
      ifMatch: request.headers['if-match'],
      arrival: { at: this.clock.arrival(), id: this.sequence.next().toString() },
      base: baseUrl(request),
    };
  }
}

function send({ status, text, headers = {}, items }: Outcome, { reply }: WriteRequest): string {
  reply.code(status).type('application/json; charset=utf-8').headers(headers);
  if (items !== undefined) reply.itemCount = items;
  return text;
}
