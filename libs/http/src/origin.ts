import type { FastifyRequest } from 'fastify';
import { API } from './route.js';

/**
 * Scheme and host as the client uses them, for absolute URLs. Where Host is missing (HTTP/1.0) or invalid, the address of
 * the socket that the request arrived at.
 */
export function requestOrigin(request: FastifyRequest): string {
  const origin = `${request.protocol}://${request.host}`;
  if (/^[\w.:[\]-]+$/.test(request.host) && URL.canParse(origin)) return origin;
  const { localAddress = 'localhost', localPort } = request.socket;
  const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
  return `${request.protocol}://${host}${localPort === undefined ? '' : `:${String(localPort)}`}`;
}

/** The base URL of this API as the client uses it. */
export function baseUrl(request: FastifyRequest): string {
  return requestOrigin(request) + API;
}

/**
 * An id as a segment of a path. Clients that follow the WHATWG URL standard treat even %2E as a dot segment, so that only
 * others reach the ids `.` and `..` (curl --path-as-is).
 */
export function encodeIdForUrl(id: string): string {
  return encodeURIComponent(id).replace(/^\.{1,2}$/, (dots) => dots.replaceAll('.', '%2E'));
}

/** The absolute URL of a request, also for a request in absolute form (RFC 9112, section 3.2.2). */
export function requestUrl(request: FastifyRequest): URL {
  const origin = requestOrigin(request);
  const { pathname, search } = new URL(request.originalUrl, origin);
  return new URL(origin + pathname + search);
}
