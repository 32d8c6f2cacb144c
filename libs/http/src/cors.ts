import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addVary } from './accept.js';

declare module 'fastify' {
  interface FastifyInstance {
    handleCors: CorsHandler;
  }
}

/**
 * Sets the CORS headers of a response, and responds to a preflight request.
 * @returns whether it has responded, so that the request is not processed further
 */
export type CorsHandler = (request: FastifyRequest, reply: FastifyReply) => boolean;

/** The longest time that Chrome remembers the response to a preflight request, in seconds: two hours. */
const MAX_AGE = '7200';

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';

/**
 * Headers of responses that scripts may read, besides those that browsers always show to them, such as Content-Type. Browsers
 * show no trailers, so the end of an export is only in its last line.
 */
const EXPOSED_HEADERS = [
  'Accept',
  'Accept-Encoding',
  'Accept-Patch',
  'Allow',
  'Content-Disposition',
  'ETag',
  'Idempotency-Replayed',
  'Link',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ');

/**
 * Lets scripts of other origins use the API (https://fetch.spec.whatwg.org/#http-cors-protocol). Browsers never send credentials
 * of their own: keys are headers that a script sets. A response to an origin that is not allowed has no CORS headers.
 * `@fastify/cors` would set some of them, would add `Vary: Origin` to responses that are the same for every origin, and would not
 * see requests that the router rejects.
 * @param origins `*` for all. The routes with the rule `allowsAllOrigins` allow all in any case
 */
export function createCorsHandler(fastify: FastifyInstance, origins: readonly string[]): CorsHandler {
  const allowed = new Set(origins);
  const allowsAll = allowed.has('*');
  /** By URL, because a preflight request has another route. */
  const openUrls = new Set<string>();
  fastify.addHook('onRoute', ({ url, config }) => {
    if (config?.allowsAllOrigins === true) openUrls.add(url);
  });
  return (request, reply) => {
    const isOpen = allowsAll || openUrls.has(request.routeOptions.url ?? '');
    if (!isOpen && allowed.size > 0) addVary(reply, 'Origin');
    const { origin } = request.headers;
    const allowedOrigin = isOpen ? '*' : origin !== undefined && allowed.has(origin) ? origin : undefined;
    if (allowedOrigin === undefined) return false;
    reply.header('Access-Control-Allow-Origin', allowedOrigin);
    if (!isPreflight(request)) {
      reply.header('Access-Control-Expose-Headers', EXPOSED_HEADERS);
      return false;
    }
    respondToPreflight(request, reply);
    return true;
  };
}

/** Other OPTIONS requests are processed as without CORS. */
function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

/** Allows every method and request header. `Access-Control-Allow-Headers: *` would not include Authorization. */
function respondToPreflight({ headers }: FastifyRequest, reply: FastifyReply): void {
  addVary(reply, 'Access-Control-Request-Headers');
  const requested = headers['access-control-request-headers'];
  if (requested !== undefined) reply.header('Access-Control-Allow-Headers', requested);
  reply
    .header('Access-Control-Allow-Methods', METHODS)
    .header('Access-Control-Max-Age', MAX_AGE)
    // Safari waits for a body otherwise.
    .header('Content-Length', '0')
    .code(204)
    .send();
}
