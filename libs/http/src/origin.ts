import type { FastifyRequest } from 'fastify';
import { Problem } from './problems.js';
import { API } from './route.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** PUBLIC_URL */
    publicUrl: string | null;
    securityHeaders: Readonly<Record<string, string>>;
  }
}

/** A host and port by the grammar of RFC 3986, section 3.2; without the IP literals of future versions. */
const HOST_AND_PORT = /^(?:[\w.~!$&'()*+,;=%-]+|\[[\da-f:.]+\])(?::\d*)?$/i;

/** A valid host. Most requests have the same one, and the check takes 0.4 µs. */
let lastValidHost: string | undefined;

/** Whether a URL with this host and port is valid. */
function isValidHost(host: string): boolean {
  if (host === lastValidHost) return true;
  if (!HOST_AND_PORT.test(host) || !URL.canParse(`http://${host}`)) return false;
  lastValidHost = host;
  return true;
}

/**
 * The origin of absolute URLs in the response: PUBLIC_URL; without it scheme and host as the client uses them. Where Host is
 * missing (HTTP/1.0) or invalid, the address of the socket that the request arrived at.
 */
export function requestOrigin(request: FastifyRequest): string {
  const { publicUrl } = request.server;
  if (publicUrl !== null) return publicUrl;
  // From a trusted proxy the protocol is the text of X-Forwarded-Proto.
  const protocol = request.protocol === 'https' ? 'https' : 'http';
  if (isValidHost(request.host)) return `${protocol}://${request.host}`;
  const { localAddress = 'localhost', localPort } = request.socket;
  const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress;
  return `${protocol}://${host}${localPort === undefined ? '' : `:${String(localPort)}`}`;
}

/**
 * The problem of a request without a valid host (RFC 9112, section 3.2). Replaces Host by the authority of a request target in
 * absolute form (section 3.2.2).
 */
export function hostProblem(request: FastifyRequest): Problem | undefined {
  const { headers, rawHeaders, httpVersion } = request.raw;
  if (headers.host === undefined && httpVersion === '1.1')
    return new Problem('malformed-request', { detail: 'HTTP/1.1 requires a Host header.' });
  // Node.js keeps the first of several.
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]?.length === 4 && rawHeaders[i]?.toLowerCase() === 'host') count++;
  if (count > 1) return new Problem('malformed-request', { detail: 'The request has more than one Host header.' });
  for (const host of [headers.host, targetAuthority(request.originalUrl)]) {
    if (host === undefined) continue;
    if (!isValidHost(host))
      return new Problem('malformed-request', {
        detail: 'The host of the request is not a valid host name or address.',
      });
    headers.host = host;
  }
  // X-Forwarded-Host of a trusted proxy.
  if (request.host !== (headers.host ?? '') && !isValidHost(request.host))
    return new Problem('malformed-request', { detail: 'X-Forwarded-Host is not a valid host name or address.' });
  return undefined;
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

/** The scheme and authority of a request target in absolute form (RFC 9112, section 3.2.2). */
const ABSOLUTE_FORM = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i;

/** The authority of a request target in absolute form, which takes precedence over Host; undefined in other forms. */
function targetAuthority(target: string): string | undefined {
  return target.startsWith('/') ? undefined : ABSOLUTE_FORM.exec(target)?.[1];
}

/**
 * The URL of a request, also of one in absolute form. Cut as text: a URL parser fails on an invalid authority. Characters that
 * no URL can have are percent-encoded.
 */
export function requestUrl(request: FastifyRequest): RequestUrl {
  const target = request.originalUrl.replace(ABSOLUTE_FORM, '');
  const [, path = '', query = ''] = /^([^?#]*)[?#]?(.*)$/s.exec(target) ?? [];
  return { origin: requestOrigin(request), path: encodeUnsafe(path || '/'), query: encodeUnsafe(query) };
}

function encodeUnsafe(text: string): string {
  return text.replace(/[^!$-;=?-~]/g, encodeURIComponent);
}
