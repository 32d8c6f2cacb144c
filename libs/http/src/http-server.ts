import { randomBytes } from 'node:crypto';
import { METHODS } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer } from 'node:tls';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  LogController,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
  type RouteOptions,
} from 'fastify';
import { preferredType } from './accept.js';
import { CONNECTION_TIMES, limitConnections, type ConnectionTimes } from './connection-limits.js';
import { compressPayload } from './compression.js';
import { createCorsHandler } from './cors.js';
import { PACE, type Pace } from './body-pace.js';
import { MEMORY_PACE, type MemoryPaceLimits } from './memory-pace.js';
import type { ByteBudget, Config } from '#platform';
import { parseTraceparent, type Telemetry, type TraceContext } from '#telemetry';
import { hostProblem } from './origin.js';
import { listPreconditionProblem, respondToConditionalGet } from './preconditions.js';
import { URL_LENGTH_MAX, urlTooLong } from './paging.js';
import { NOT_FOUND, sendProblem, problemBody } from './problem.filter.js';
import { Problem, ValidationErrors } from './problems.js';
import { prepareBodies, bodyProblem } from './request-body.js';
import { logRequest } from './request-log.js';
import { measureRequests } from './request-metrics.js';
import { traceRequests } from './request-tracing.js';
import { outOfMemory, RequestMemory } from './request-memory.js';
import { securityHeaders } from './security-headers.js';
import { ServerCertificate } from './server-certificate.js';

declare module 'fastify' {
  interface FastifyInstance {
    telemetry: Telemetry;
  }
  interface FastifyRequest {
    /** Its place in a trace; null for a request without one. */
    trace: TraceContext | null;
  }
}

/** What all requests of a process share. */
interface Shared {
  /** The memory of bodies and responses. */
  budget: ByteBudget;
  telemetry: Telemetry;
}

/** The longest id in a path: 255 characters of four bytes, percent-encoded. */
const PARAM_LENGTH_MAX = 255 * 4 * 3;

/**
 * Node.js' limit of the request line and the headers together. The default of 16 KiB is too small for a percent-encoded
 * filter of 5,000 characters; this leaves 32 KiB for the headers of a request with the longest URL.
 */
const HEADERS_LENGTH_MAX = 64 * 1024;

/** Headers of a response that describe its representation, and not an error in its place. */
const OF_REPRESENTATION = ['etag', 'cache-control', 'link', 'vary', 'content-length'];

/** Fastify with the settings of this API, before Nest adds its routes. */
export function createHttpAdapter(
  { http }: Config,
  telemetry: Telemetry,
  times: ConnectionTimes = CONNECTION_TIMES,
): FastifyAdapter {
  const { trustedProxies, tls } = http;
  const certificate = tls === null ? null : new ServerCertificate(tls);
  // Node.js would respond to a missing Host header with an empty body; `hostProblem` responds with a problem.
  const serverOptions = {
    requireHostHeader: false,
    maxHeaderSize: HEADERS_LENGTH_MAX,
    headersTimeout: times.headersMs,
    // How often Node.js checks that timeout; its default is 30 s.
    connectionsCheckingInterval: times.headersMs / 10,
  };
  const adapter = new FastifyAdapter({
    loggerInstance: telemetry.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: requestIds(),
    requestIdHeader: false,
    // Without a proxy Fastify's requests are a little faster.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    // `BodyPace` limits slow bodies.
    requestTimeout: 0,
    connectionTimeout: times.inactiveMs,
    keepAliveTimeout: times.keepAliveMs,
    forceCloseConnections: 'idle',
    // During shutdown, requests on open connections are still served.
    return503OnClosing: false,
    ...(certificate === null
      ? { http: serverOptions }
      : { https: { ...serverOptions, ...certificate.options, handshakeTimeout: times.headersMs } }),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: PARAM_LENGTH_MAX },
    frameworkErrors: (error: unknown, request: unknown, reply: unknown) => {
      respondToRouterError(error, request as FastifyRequest, reply as FastifyReply);
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => {
      respondToClientError(error, socket, http, telemetry);
    },
  });
  certificate?.follow(adapter.getHttpServer<TlsServer>(), telemetry.log);
  return adapter;
}

/**
 * Adds what all routes share: request bodies, media types, entity tags, a log line for each request, 405 for unsupported
 * methods. Call it before `app.init()`, and the function that it returns afterwards.
 * @param guard adds the authentication hook; it runs before all other checks of a request, except for 404 and 405, which
 * need no key
 * @param pace the minimum rate of request bodies
 * @param memoryPace the minimum rate while other requests wait for memory
 * @param times when idle connections are closed, as for `createHttpAdapter`
 */
export function prepareHttp(
  app: NestFastifyApplication,
  config: Config,
  { budget, telemetry }: Shared,
  guard: (fastify: FastifyInstance) => void,
  pace: Pace = PACE,
  memoryPace: MemoryPaceLimits = MEMORY_PACE,
  times: ConnectionTimes = CONNECTION_TIMES,
): () => void {
  const fastify = app.getHttpAdapter().getInstance();
  const routes = new Map<string, Set<string>>();
  const { publicUrl, corsOrigins } = config.http;
  const headers = securityHeaders(config.http);
  fastify.decorate('telemetry', telemetry);
  fastify.decorate('publicUrl', publicUrl);
  fastify.decorate('securityHeaders', headers);
  const handleCors = createCorsHandler(fastify, corsOrigins);
  fastify.decorate('handleCors', handleCors);
  fastify.addHook('onRoute', (route) => {
    collect(routes, route);
  });
  const memory = new RequestMemory(budget, memoryPace);
  prepareBodies(fastify, config, memory, pace);
  fastify.decorateReply('contentCoding', null);
  fastify.decorateRequest('reserveForRows', function (bytes) {
    memory.reserveForRows(this, bytes);
  });
  fastify.decorateRequest('trace', null);
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('X-Request-Id', request.id);
    // Before all other checks, because browsers send preflight requests without the key.
    if (!handleCors(request, reply)) done(hostProblem(request));
  });
  guard(fastify);
  // After it, so that clients without a key neither add to a trace nor decide that one is recorded.
  if (telemetry.tracing !== null) traceRequests(fastify, telemetry.tracing);
  fastify.addHook('onRequest', (request, _reply, done) => {
    // A span of our own has it already.
    const { traceparent } = request.headers;
    if (traceparent !== undefined && request.principal !== undefined) request.trace ??= parseTraceparent(traceparent);
    done();
  });
  limitConnections(fastify, config, times);
  fastify.addHook('onRequest', (request, _reply, done) => {
    done(problemOf(request));
  });
  fastify.addHook('onSend', respondToConditionalGet);
  // After the hook before, because a 304 needs no memory.
  fastify.addHook('onSend', (request, reply, payload, done) => {
    const counted = memory.countResponse(request, reply, payload);
    if (payload !== null && counted === null) {
      for (const name of OF_REPRESENTATION) reply.removeHeader(name);
      done(outOfMemory());
    } else done(null, compressPayload(request, reply, counted));
  });
  fastify.server.on('connect', (_request, socket) => {
    const problem = new Problem('malformed-request', {
      detail: 'CONNECT is not supported: this server is not a proxy.',
    });
    endWithProblem(socket, problem, config.http, telemetry);
  });
  // Expectations other than 100-continue may be ignored (RFC 9110, section 10.1.1); Node.js would respond 417 with an empty body.
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));
  if (telemetry.metrics !== null) measureRequests(fastify, telemetry.metrics);
  fastify.addHook('onResponse', (request, reply, done) => {
    if (telemetry.log.isLevelEnabled('info')) logRequest(request, reply);
    done();
  });
  return () => {
    rejectOtherMethods(fastify, routes);
  };
}

function collect(routes: Map<string, Set<string>>, route: RouteOptions): void {
  const url = route.url.replace(/(?<=.)\/$/, '');
  const methods = routes.get(url) ?? new Set();
  for (const method of [route.method].flat()) methods.add(method);
  routes.set(url, methods);
}

/**
 * A resource responds to a method that it does not support with 405 and Allow, not 404 (RFC 9110, section 15.5.6). This covers
 * all methods that the parser of Node.js knows; it costs 40 ms of the start and 8 MB. Others are not valid HTTP to it.
 */
function rejectOtherMethods(fastify: FastifyInstance, routes: ReadonlyMap<string, ReadonlySet<string>>): void {
  // CONNECT never becomes a request.
  for (const method of METHODS)
    if (method !== 'CONNECT' && !fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method);
  for (const [url, methods] of [...routes]) {
    const others = fastify.supportedMethods.filter((method) => !methods.has(method)) as HTTPMethods[];
    if (others.length === 0) continue;
    const allow = [...methods].join(', ');
    fastify.route({
      method: others,
      url,
      config: { roles: 'anyone' },
      // Before the body is read.
      onRequest: (request, _reply, done) => {
        done(
          new Problem('method-not-allowed', {
            detail: `This resource supports ${allow}, not ${request.method}.`,
            headers: { Allow: allow },
          }),
        );
      },
      handler: () => undefined,
    });
  }
}

/** The problem of a request that is invalid whatever its body: its address, query or media types. */
function problemOf(request: FastifyRequest): Problem | undefined {
  // Here, because Fastify reads the body before it calls the handler of 404.
  if (request.is404) return new Problem(NOT_FOUND.slug, { detail: NOT_FOUND.detail });
  const { isApiRoute, query, produces = ['application/json'] } = request.routeOptions.config;
  if (isApiRoute !== true) return undefined;
  if (request.originalUrl.length > URL_LENGTH_MAX) return urlTooLong(request.originalUrl.length);
  const [path, parameters] = cutAt(request.originalUrl, '?');
  if (path.includes('%00'))
    return new Problem('invalid-path', { detail: 'The path contains U+0000 (%00), which no id can have.' });
  if (!isDecodable(parameters)) {
    return new Problem('invalid-query', { detail: 'The percent-encoding of the query is not valid UTF-8.' });
  }
  if (query !== true && parameters !== '') return unknownParametersProblem(request);
  if (preferredType(request, produces) === undefined) {
    return new Problem('not-acceptable', { detail: `This resource is available as ${produces.join(' or ')}.` });
  }
  return bodyProblem(request) ?? (request.method === 'POST' ? listPreconditionProblem(request) : undefined);
}

function cutAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** The query parser keeps what it cannot decode as it is, which would then be searched for. */
function isDecodable(parameters: string): boolean {
  try {
    decodeURIComponent(parameters);
    return true;
  } catch {
    return false;
  }
}

function unknownParametersProblem(request: FastifyRequest): Problem {
  const parameters = Object.keys(request.query as object);
  const errors = parameters.map((parameter) => ({ parameter, detail: 'is unknown; this resource has no parameters' }));
  return new ValidationErrors(...errors).problem('invalid-query');
}

/** Request ids: a random prefix makes them unique across processes, a counter makes them cheap. */
function requestIds(): () => string {
  const start = randomBytes(6).toString('hex');
  let count = 0;
  return () => `${start}-${(count++).toString(36)}`;
}

/** Responds to a request that the router rejects before any hook runs. */
function respondToRouterError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { securityHeaders, handleCors } = request.server;
  reply.headers(securityHeaders).header('X-Request-Id', request.id);
  if (!handleCors(request, reply)) sendProblem(error, request, reply);
}

/** Responds to bytes that Node.js cannot parse as HTTP, on the socket, because there is no request. */
function respondToClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  http: Config['http'],
  telemetry: Telemetry,
): void {
  // After a failed handshake of TLS nothing can be sent.
  if (error.code === 'ECONNRESET' || !socket.writable || /^ERR_(?:SSL|TLS)_/.test(error.code ?? '')) {
    socket.destroy();
    return;
  }
  endWithProblem(socket, problemOfParser(error.code), http, telemetry);
}

function endWithProblem(socket: Duplex, problem: Problem, http: Config['http'], { metrics }: Telemetry): void {
  metrics?.problems.inc({ problem: problem.slug, status: problem.status });
  // The host of the request is unknown: without PUBLIC_URL `type` is relative.
  const body = JSON.stringify(problemBody(problem, http.publicUrl ?? ''));
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...securityHeaders(http),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
  socket.end(`HTTP/1.1 ${String(problem.status)} ${problem.title}\r\n${lines.join('')}\r\n${body}`);
}

function problemOfParser(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Problem('headers-too-large', {
      detail: `The request line and the headers exceed ${String(HEADERS_LENGTH_MAX)} bytes.`,
    });
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Problem('request-timeout', { detail: 'The headers did not arrive within 10 seconds.' });
  return new Problem('malformed-request', { detail: 'The request is not valid HTTP.' });
}
