import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import accepts from 'accepts';
import {
  LogController,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
  type RouteOptions,
} from 'fastify';
import type { Logger } from 'pino';
import { PACE, type Pace } from './body-pace.js';
import type { Config } from '#platform';
import { answerConditionalGet } from './preconditions.js';
import { URL_LENGTH_MAX, urlTooLong } from './paging.js';
import { sendProblem, problemBody } from './problem.filter.js';
import { Problem } from './problems.js';
import { prepareBodies, refuseBody } from './request-body.js';

/** Longest id in the address: 255 characters of four bytes, each percent-encoded. */
const PARAM_LENGTH_MAX = 255 * 4 * 3;

/**
 * Node.js' limit of the request line and the headers together. Its default of 16 KiB would be used up by a filter of 5,000
 * characters, percent-encoded; this leaves 32 KiB for the headers beside the longest URL.
 */
const HEADERS_LENGTH_MAX = 64 * 1024;

/** Fastify as this API wants it, before Nest has added its routes. */
export function createHttpAdapter(config: Config, log: Logger): FastifyAdapter {
  return new FastifyAdapter({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: requestIds(),
    requestIdHeader: false,
    trustProxy: config.http.trustProxy,
    bodyLimit: config.limits.bodyLimitBytes,
    // `BodyPace` cuts off slow bodies, and only those; headers have Node.js' one minute.
    requestTimeout: 0,
    forceCloseConnections: 'idle',
    // While it stops, what comes on a connection that is still open is served as ever.
    return503OnClosing: false,
    // Without a Host header Node.js would answer itself, with nothing; `refusalOf` says why.
    http: { requireHostHeader: false, maxHeaderSize: HEADERS_LENGTH_MAX },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: PARAM_LENGTH_MAX },
    frameworkErrors: (error: unknown, request: unknown, reply: unknown) => {
      sendProblem(error, request as FastifyRequest, reply as FastifyReply);
    },
    clientErrorHandler: answerClientError,
  });
}

/**
 * Adds to the adapter's Fastify what holds for every route: bodies, media types, entity tags, one log line a request, 405
 * for methods that an address does not take. Call it before `app.init()`, and what it returns after it. `guard` adds the
 * hook that knows who asks: first of all, so that a stranger learns nothing.
 * @param pace how fast a body has to arrive
 */
export function prepareHttp(
  app: NestFastifyApplication,
  config: Config,
  guard: (fastify: FastifyInstance) => void,
  pace: Pace = PACE,
): () => void {
  const fastify = app.getHttpAdapter().getInstance();
  const routes = new Map<string, Set<string>>();
  fastify.addHook('onRoute', (route) => {
    collect(routes, route);
  });
  prepareBodies(fastify, config, pace);
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Request-Id', request.id);
    done();
  });
  guard(fastify);
  fastify.addHook('onRequest', (request, _reply, done) => {
    done(refusalOf(request));
  });
  fastify.addHook('onSend', answerConditionalGet);
  // Any expectation but 100-continue may be ignored (RFC 9110, section 10.1.1); Node.js would answer 417 with nothing.
  fastify.server.on('checkExpectation', (request, response) => fastify.server.emit('request', request, response));
  fastify.addHook('onResponse', logResponse);
  return () => {
    refuseOtherMethods(fastify, routes);
  };
}

function collect(routes: Map<string, Set<string>>, route: RouteOptions): void {
  const url = route.url.replace(/(?<=.)\/$/, '');
  const methods = routes.get(url) ?? new Set();
  for (const method of [route.method].flat()) methods.add(method);
  routes.set(url, methods);
}

/** RFC 9110: an address that exists answers 405 with Allow, not 404, to a method it does not take. */
function refuseOtherMethods(fastify: FastifyInstance, routes: ReadonlyMap<string, ReadonlySet<string>>): void {
  for (const [url, methods] of [...routes]) {
    const others = fastify.supportedMethods.filter((method) => !methods.has(method)) as HTTPMethods[];
    if (others.length === 0) continue;
    const allow = [...methods].join(', ');
    fastify.route({
      method: others,
      url,
      config: { roles: 'anyone' },
      // Before the body: nothing that comes with a method nobody takes is worth reading.
      onRequest: (request, _reply, done) => {
        done(
          new Problem('method-not-allowed', {
            detail: `This address takes ${allow}, not ${request.method}.`,
            headers: { Allow: allow },
          }),
        );
      },
      handler: () => undefined,
    });
  }
}

/** Refuses what the route's rules tell without reading the body: parameters, media types, ids that cannot be. */
function refusalOf(request: FastifyRequest): Problem | undefined {
  if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
    return new Problem('malformed-request', { detail: 'A request of HTTP/1.1 has to have a Host header.' });
  const { ours, query, produces = ['application/json'] } = request.routeOptions.config;
  if (ours !== true) return undefined;
  if (request.originalUrl.length > URL_LENGTH_MAX) return urlTooLong(request.originalUrl.length);
  const [path, parameters] = cutAt(request.originalUrl, '?');
  if (path.includes('%00'))
    return new Problem('invalid-path', { detail: 'The character U+0000 cannot be part of an id.' });
  if (!isDecodable(parameters)) {
    return new Problem('invalid-query', { detail: 'The query has a percent-encoding that is not valid UTF-8.' });
  }
  if (query !== true && parameters !== '') return refuseParameters(request);
  if (!isAcceptable(request.headers.accept, produces)) {
    return new Problem('not-acceptable', { detail: `This address answers in ${produces.join(' or ')}.` });
  }
  return refuseBody(request);
}

/**
 * Whether Accept allows one of the media types. Parameters of a media range other than the weight do not exclude a type:
 * `application/json; charset=utf-8` means JSON.
 */
function isAcceptable(accept: string | undefined, produces: readonly string[]): boolean {
  if (accept === undefined) return true;
  const ranges = accept.replace(/;(?!\s*q\s*=)[^;,="]*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^;,]*))?/gi, '');
  return accepts({ headers: { accept: ranges } } as IncomingMessage).type([...produces]) !== false;
}

function cutAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** The parser would take what it cannot decode for the text itself, and look for that. */
function isDecodable(parameters: string): boolean {
  try {
    decodeURIComponent(parameters);
    return true;
  } catch {
    return false;
  }
}

function refuseParameters(request: FastifyRequest): Problem {
  const errors = Object.keys(request.query as object).map((parameter) => ({
    parameter,
    detail: 'is not a parameter of this resource, which has none',
  }));
  return new Problem('invalid-query', { detail: 'This resource takes no query parameters.', errors });
}

function logResponse(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  request.log.info({
    project: request.principal?.projectId,
    method: request.method,
    // The pattern, not the address: ids are the client's data.
    route: request.routeOptions.url,
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    items: reply.itemCount,
  });
  done();
}

/** Unique across processes by the random start, cheap by the counter. */
function requestIds(): () => string {
  const start = randomBytes(6).toString('hex');
  let count = 0;
  return () => `${start}-${(count++).toString(36)}`;
}

/** What Node.js could not read as HTTP at all; there is no request to answer through. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = problemOfParser(error.code);
  const body = JSON.stringify(problemBody(problem, '', '', ''));
  socket.end(
    `HTTP/1.1 ${String(problem.status)} ${problem.title}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${String(Buffer.byteLength(body))}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function problemOfParser(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Problem('headers-too-large', {
      detail: `The request line and the headers are over ${String(HEADERS_LENGTH_MAX)} bytes.`,
    });
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Problem('request-timeout', { detail: 'The request did not arrive in time.' });
  return new Problem('malformed-request', { detail: 'This is not an HTTP request.' });
}
