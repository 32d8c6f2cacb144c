import type { Actor } from '#audit';
import { timeOfSeq } from '#database';
import { formatTraceparent } from '#telemetry';
import type { FastifyRequest } from 'fastify';
import { JsonBody, type BodyLimit, type Role } from '#http';
import type { JobKey } from './job-key.js';
import type { WriteRequest } from './write-operation.js';

/**
 * The part of a request that a job stores as JSON; the body is stored apart. Jobs of an earlier version may be in the queue,
 * so members are never renamed and new ones are optional.
 */
export interface StoredRequest {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, unknown>>;
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
  role?: Role;
  actor?: Actor;
  receivedAtMicros?: number;
  /** The limit of a JSON body, which also applies when its exponents are written out. */
  bodyLimit?: BodyLimit | undefined;
  /** URL of the API as the client saw it. */
  base: string;
  /** `instance` and `request_id` of the problem where the job fails. The id is unique across processes. */
  instance: string;
  requestId: string;
  /** The place of the request in a trace. */
  traceparent?: string | undefined;
}

/** The part of an HTTP request that only the log and the problem of its job need. */
export type RequestOrigin = Pick<StoredRequest, 'instance' | 'requestId' | 'traceparent'>;

export function originOf({ id, originalUrl, trace }: FastifyRequest): RequestOrigin {
  return { instance: originalUrl, requestId: id, traceparent: trace === null ? undefined : formatTraceparent(trace) };
}

export function storedRequest(request: WriteRequest, origin: RequestOrigin): StoredRequest {
  const { params, query, preconditions, role, actor, receivedAtMicros, baseUrl, body } = request;
  const bodyLimit = body instanceof JsonBody ? body.limit : undefined;
  return {
    params,
    query,
    ...preconditions,
    role,
    actor,
    receivedAtMicros,
    bodyLimit,
    base: baseUrl,
    ...origin,
  };
}

/** The request as it was, with the body that the job stored. */
export function restoreRequest(
  stored: StoredRequest,
  { projectId, jobId }: JobKey,
  body: WriteRequest['body'],
): WriteRequest {
  return {
    projectId,
    // Jobs of an earlier version have no role; the least one may read nothing.
    role: stored.role ?? 'producer',
    actor: stored.actor ?? actorOfEarlierVersion(stored),
    params: stored.params,
    query: stored.query,
    body,
    preconditions: { ifMatch: stored.ifMatch, ifNoneMatch: stored.ifNoneMatch },
    receivedAtMicros: stored.receivedAtMicros ?? Date.parse(timeOfSeq(jobId)) * 1_000,
    requestSeq: jobId,
    baseUrl: stored.base,
  };
}

/** The request of a job of an earlier version, which stored no actor. */
function actorOfEarlierVersion({ role, requestId }: StoredRequest): Actor {
  return { keyId: null, role: role ?? null, name: 'a job of an earlier version', requestId, address: null };
}
