import { actorOf } from '#audit';
import { baseUrl, hasPreference, JsonBody, preconditionsOf, Problem, requireBody, type HttpContext } from '#http';
import { Clock } from '#platform';
import { Database, isUniqueViolation, Sequence } from '#database';
import { QuotaStore } from '#usage';
import { Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { JobBodyStore } from './job-body.store.js';
import { jobText, jobUrl } from './job.dto.js';
import { JobNotifier } from './job-notifier.js';
import { JobPlaces } from './job-places.js';
import { JobStore, type NewJob } from './job.store.js';
import { originOf, storedRequest } from './stored-request.js';
import { StreamReceiver } from './stream-receiver.js';
import type { Receipt, WriteOperation, WriteRequest, WriteResponse } from './write-operation.js';

/** Attempts to store a job under an unused number. */
const NUMBERS_MAX = 5;

interface WriteOptions {
  /** Validated query parameters. */
  query?: object;
  /** Default: the path parameters of the route. */
  params?: Readonly<Record<string, string>>;
}

interface AcceptOptions extends WriteOptions {
  /** Text of the 202 response for the URL of the job; default: the job. */
  textOf?: (jobUrl: string) => string;
}

/** Handles the routes that write: runs the operation at once, or with `Prefer: respond-async` accepts a job. */
@Injectable()
export class WriteService {
  constructor(
    private readonly jobs: JobStore,
    private readonly bodies: JobBodyStore,
    private readonly streams: StreamReceiver,
    private readonly notifier: JobNotifier,
    private readonly places: JobPlaces,
    private readonly quotas: QuotaStore,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly clock: Clock,
  ) {}

  /** Sets status and headers. @returns the text of the response @throws the errors of the operation, unless it runs later */
  async handle(operation: WriteOperation, http: HttpContext, options: WriteOptions = {}): Promise<string> {
    if (hasPreference(http.request.headers.prefer, 'respond-async')) return this.accept(operation, http, options);
    const request = this.requestOf(http, options);
    const response = await this.run(operation, request, http.request.receipt);
    return send(response, http.reply);
  }

  private async run(
    operation: WriteOperation,
    request: WriteRequest,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const { projectId, requestSeq, body } = request;
    if (body instanceof JsonBody) return operation.run(request, receipt);
    const received = await this.streams.receive(projectId, requestSeq, body);
    try {
      return await operation.run({ ...request, body: received.body }, receipt);
    } finally {
      await received.free();
    }
  }

  /**
   * Responds 202 with a job, whatever the client prefers, after the request is committed.
   * @throws Problem quota-exceeded where the project has no room for any object; the problems of `JobBodyStore`
   */
  async accept(operation: WriteOperation, http: HttpContext, options: AcceptOptions = {}): Promise<string> {
    const { principal, receipt } = http.request;
    if (principal === undefined) throw new Error('a job is accepted only from an authenticated request');
    const request = this.requestOf(http, options);
    const { projectId, requestSeq, body } = request;
    // Before the body is stored, which a job that fails keeps.
    await this.database.retrying(() => this.quotas.requireAnyRoom(projectId));
    const stored = await this.bodies.save(projectId, requestSeq, body);
    const isJson = body instanceof JsonBody;
    this.notifier.beginAccept();
    try {
      const place = await this.places.next(projectId);
      // The number is the time of acceptance, and a stream may arrive for hours, in which the lease of numbers may have expired.
      const jobId = isJson
        ? requestSeq
        : await this.database.retrying(() => Promise.resolve(this.sequence.next().toString()));
      const job: NewJob = {
        projectId,
        jobId,
        parts: stored.parts,
        bodyId: stored.jobId,
        keyId: principal.keyId,
        operation: operation.name,
        input: JSON.stringify(storedRequest(request, originOf(http.request))),
        mediaType: isJson ? 'application/json' : body.mediaType,
        body: isJson ? body.bytes : null,
        place,
      };
      const response = await this.storeJob(job, request, options.textOf, receipt);
      this.notifier.wake();
      return send(response, http.reply);
    } catch (error) {
      // Where the job is stored nevertheless, because only its acknowledgement was lost, its parts have its number.
      if (!isJson) await this.jobs.deleteParts(stored).catch(() => undefined);
      throw error;
    } finally {
      stored.release();
      this.notifier.endAccept();
    }
  }

  /** Stores the job, under another number where its own exists. */
  private async storeJob(
    job: NewJob,
    { baseUrl }: WriteRequest,
    textOf: AcceptOptions['textOf'],
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    for (let attempt = 1; ; attempt++) {
      const response = acceptedResponse(baseUrl, job.jobId, textOf);
      try {
        await this.insertJob(job, response, receipt);
        return response;
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        // An earlier attempt, whose acknowledgement was lost with the connection, has stored the job.
        if (await this.jobs.isStored(job)) return response;
        // Another job has this number, which the leases of lanes prevent; see docs/decisions/017.
        if (attempt === NUMBERS_MAX) {
          throw new Problem('unavailable', {
            detail: 'No free job number was found; retry the request.',
            cause: error,
          });
        }
        job.jobId = this.sequence.next().toString();
      }
    }
  }

  private async insertJob(job: NewJob, response: WriteResponse, receipt: Receipt | undefined): Promise<void> {
    if (receipt === undefined && job.jobId === job.bodyId && !this.jobs.insertsInSteps) {
      await this.database.retrying(() => this.jobs.insert(this.database, job));
      return;
    }
    await this.database.transaction(async (tx) => {
      await this.jobs.insert(tx, job);
      await receipt?.(tx, response);
    });
  }

  private requestOf({ request }: HttpContext, { params, query = {} }: WriteOptions): WriteRequest {
    const { projectId, role } = request.principal ?? {};
    if (projectId == null || role === undefined) throw new Error('a write needs a principal with a project');
    return {
      projectId,
      role,
      actor: actorOf(request),
      params: params ?? (request.params as Record<string, string>),
      query: { ...query },
      body: requireBody(request.body),
      preconditions: preconditionsOf(request),
      receivedAtMicros: this.clock.receivedAt(),
      requestSeq: this.sequence.next().toString(),
      baseUrl: baseUrl(request),
      releaseSlot: () => {
        request.releaseSlot();
      },
    };
  }
}

function acceptedResponse(base: string, jobId: string, textOf: AcceptOptions['textOf']): WriteResponse {
  const url = jobUrl(base, jobId);
  if (textOf !== undefined) return { status: 202, text: textOf(url), headers: { Location: url } };
  const text = jobText(base, { seq: jobId, status: 'queued', attempts: 0, finished_at: null, problem: null });
  return { status: 202, text, headers: { Location: url, 'Preference-Applied': 'respond-async' } };
}

function send(
  { status, text, headers = {}, items, chargedItems = items, ids }: WriteResponse,
  reply: FastifyReply,
): string {
  reply.code(status).type('application/json; charset=utf-8').headers(headers);
  if (items !== undefined) reply.itemCount = items;
  if (ids !== undefined) reply.loggedIds = ids;
  if (chargedItems !== undefined) reply.chargedItems = chargedItems;
  return text;
}
