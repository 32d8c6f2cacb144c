import { MissingDataKeyError } from '#platform';
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { discardRest } from './discard-rest.js';
import { requestOrigin } from './origin.js';
import { chargedItemsOf, Problem, type ProblemSlug } from './problems.js';
import { databaseProblem } from './database-problem.js';

/** Errors of Fastify by their code; others are mapped by status. */
const BY_FASTIFY_CODE: Readonly<Record<string, { slug: ProblemSlug; detail: string }>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { slug: 'unsupported-media-type', detail: 'Send the body as application/json.' },
  FST_ERR_BAD_URL: {
    slug: 'invalid-path',
    detail: 'The URL cannot be parsed: the percent-encoding of its path is not valid UTF-8, or its host is not valid.',
  },
  FST_ERR_MAX_PARAM_LENGTH: { slug: 'uri-too-long', detail: 'An id in the path is longer than 255 characters.' },
};

export const NOT_FOUND = {
  slug: 'not-found',
  detail: 'No resource exists at this URL; GET /api/v1/ lists the resources.',
} as const;

const BY_STATUS: Readonly<Record<number, { slug: ProblemSlug; detail: string }>> = {
  400: { slug: 'malformed-request', detail: 'The request cannot be parsed.' },
  404: NOT_FOUND,
  414: { slug: 'uri-too-long', detail: 'The URL is too long.' },
  415: BY_FASTIFY_CODE.FST_ERR_CTP_INVALID_MEDIA_TYPE as { slug: ProblemSlug; detail: string },
  503: { slug: 'unavailable', detail: 'The server is shutting down; retry the request.' },
};

/** Sends every error as application/problem+json (RFC 9457). */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest(), http.getResponse());
  }
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // A disconnect of the client is not a server error. This response is not received, but its status is logged.
  const problem = request.raw.readableAborted
    ? new Problem('malformed-request', {
        detail: 'The connection was closed before the end of the body.',
        cause: error,
      })
    : toProblem(error);
  // A request that was rejected because its project uses its share is no fault; the log of requests has its status. A client that
  // floods the server would otherwise write a stack for each of its requests.
  const isOverload = error instanceof Problem && error.slug === 'unavailable' && error.cause === undefined;
  if (problem.status >= 500 && !isOverload) {
    const fields = { trace_id: request.trace?.traceId, route: request.routeOptions.url };
    request.log.error({ ...fields, err: problem.cause ?? error }, problem.message);
    if (problem.slug === 'internal') {
      const { id: request_id, method, principal } = request;
      const context = { ...fields, request_id, method, project: principal?.projectId };
      request.server.telemetry.errors?.report(problem.cause ?? error, context);
    }
  }
  request.server.telemetry.metrics?.problems.inc({ problem: problem.slug, status: problem.status });
  if (reply.sent) {
    // The response has begun: only closing the connection shows the client that it is incomplete.
    reply.raw.destroy();
    return;
  }
  reply.chargedItems = chargedItemsOf(error, problem);
  // Fastify would close the connection whenever a body was not parsed; `discardRest` decides.
  if (reply.hasHeader('connection') && !reply.raw.hasHeader('connection')) reply.removeHeader('connection');
  discardRest(request.raw, reply.raw);
  // Fastify runs no hooks for a request target such as `*`.
  if (!reply.hasHeader('x-request-id'))
    reply.headers(request.server.securityHeaders).header('X-Request-Id', request.id);
  const common = problemBody(problem, requestOrigin(request), {
    instance: request.originalUrl,
    request_id: request.id,
  });
  const role = request.principal?.role;
  const body = role === 'admin' || role === 'analyst' ? { ...common, ...problem.readerExtra } : common;
  reply.code(problem.status).headers(problem.headers).type('application/problem+json').send(JSON.stringify(body));
}

/** The members of a problem that every role may read. @param request absent where the request could not be parsed */
export function problemBody(
  problem: Problem,
  origin: string,
  request?: { instance: string; request_id: string },
): object {
  return {
    type: `${origin}/problems#${problem.slug}`,
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    ...request,
    ...(problem.errors.length > 0 ? { errors: problem.errors, error_count: problem.errorCount } : {}),
    ...problem.extra,
  };
}

/** The problem for any error. Internals of unexpected errors are not revealed. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const fromDatabase = databaseProblem(error);
  if (fromDatabase !== undefined) return fromDatabase;
  if (error instanceof MissingDataKeyError) return new Problem('unavailable', { detail: error.message, cause: error });
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  const status = error instanceof HttpException ? error.getStatus() : statusCode;
  const entry = BY_FASTIFY_CODE[String(code)] ?? BY_STATUS[Number(status)];
  if (entry !== undefined) return new Problem(entry.slug, { detail: entry.detail, cause: error });
  return new Problem('internal', {
    detail: 'The server failed; the error has been logged. Quote the request_id when you report it.',
    cause: error,
  });
}
