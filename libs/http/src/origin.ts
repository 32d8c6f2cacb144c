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

/** The address of this API as the client sees it. */
export function baseUrl(request: FastifyRequest): string {
  return requestOrigin(request) + API;
}

/**
 * An id as a part of an address. Clients that follow the URL standard of the browsers take even %2E for a directory, so
 * the ids `.` and `..` are reached by other clients only (curl --path-as-is).
 */
export function encodeIdForUrl(id: string): string {
  return encodeURIComponent(id).replace(/^\.{1,2}$/, (dots) => dots.replaceAll('.', '%2E'));
}

/** The address asked for, complete; a client may have sent it so already (RFC 9112, section 3.2.2). */
export function requestUrl(request: FastifyRequest): URL {
  const origin = requestOrigin(request);
  const { pathname, search } = new URL(request.originalUrl, origin);
  return new URL(origin + pathname + search);
}
