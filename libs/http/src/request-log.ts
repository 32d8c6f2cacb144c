import type { FastifyReply, FastifyRequest } from 'fastify';
import { isReadRequest } from './route.js';

declare module 'fastify' {
  interface FastifyReply {
    /** Ids of the objects that the request wrote or deleted, for the log, where neither its path nor `Location` has them. */
    loggedIds?: readonly string[];
  }
}

/** The ids in one line, and the characters of each: a line must stay short, and an id is text of the client. */
const IDS_MAX = 20;
const ID_LENGTH_MAX = 255;
/** Someone may send a key in the place of an id. */
const KEY = /stw_[a-z]+_\w+/g;

/** Logs one line for each request, when its response was sent or its client has left. */
export function logRequest(request: FastifyRequest, reply: FastifyReply): void {
  const { principal, trace } = request;
  request.log.info({
    trace_id: trace?.traceId,
    project: principal?.projectId,
    key_id: principal?.keyId,
    method: request.method,
    // The pattern, not the path: ids are data of the client.
    route: request.routeOptions.url,
    ids: idsOf(request, reply),
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    items: reply.itemCount,
  });
}

/** The ids that an authenticated write or delete was about. Those of reads are not logged. */
function idsOf(request: FastifyRequest, reply: FastifyReply): object | undefined {
  if (request.principal === undefined || isReadRequest(request)) return undefined;
  const location = reply.getHeader('location');
  return idsOfWrite(request.params as Record<string, string>, location, reply.loggedIds);
}

/**
 * The ids that a write was about, for the log.
 * @param params the parameters of its path
 * @param location the URL of what it created
 * @param objectIds further objects that it wrote or deleted
 */
export function idsOfWrite(
  params: Readonly<Record<string, string>>,
  location: unknown,
  objectIds: readonly string[] | undefined,
): object {
  const ids: Record<string, string | string[]> = {};
  for (const [name, id] of Object.entries(params)) ids[name] = loggedId(id);
  if (typeof location === 'string') ids.location = loggedId(location.slice(location.indexOf('/', 'https://'.length)));
  if (objectIds !== undefined) ids.object_ids = objectIds.slice(0, IDS_MAX).map(loggedId);
  return ids;
}

/** An id, or a path with one, without what could be a key. */
function loggedId(id: string): string {
  return id.replace(KEY, 'stw_…').slice(0, ID_LENGTH_MAX);
}
