import type { FastifyRequest } from 'fastify';
import { API } from './route.js';

/**
 * Scheme and host as the client uses them, for absolute URLs. Where Host is missing (HTTP/1.0) or invalid, the address of
 * the socket that the request arrived at.
 */
export function requestOrigin(request: FastifyRequest): string {
  // Behind a proxy the protocol is the text of X-Forwarded-Proto.
  const protocol = request.protocol === 'https' ? 'https' : 'http';
  const origin = `${protocol}://${request.host}`;
  if (/^[\w.:[\]-]+$/.test(request.host) && URL.canParse(origin)) return origin;
  const { localAddress = 'localhost', localPort } = request.socket;
  const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
  return `${protocol}://${host}${localPort === undefined ? '' : `:${String(localPort)}`}`;
}

/** The base URL of this API as the client uses it. */
export function baseUrl(request: FastifyRequest): string {
  return requestOrigin(request) + API;
}

/** The parts of a request's URL. Their concatenation, with `?` before a query, is absolute. */
export interface RequestUrl {
  origin: string;
  path: string;
  /** Without `?`. */
  query: string;
}

/**
 * The URL of a request, also of one in absolute form (RFC 9112, section 3.2.2), whose authority is ignored. Cut as text: a
 * URL parser fails on an invalid authority. Characters that no URL can have are percent-encoded.
 */
export function requestUrl(request: FastifyRequest): RequestUrl {
  const target = request.originalUrl.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '');
  const [, path = '', query = ''] = /^([^?#]*)[?#]?(.*)$/s.exec(target) ?? [];
  return { origin: requestOrigin(request), path: encodeUnsafe(path || '/'), query: encodeUnsafe(query) };
}

function encodeUnsafe(text: string): string {
  return text.replace(/[^!$-;=?-~]/g, encodeURIComponent);
}
