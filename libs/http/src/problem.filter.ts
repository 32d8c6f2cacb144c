import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { drain } from './drain.js';
import { requestOrigin } from './origin.js';
import { Problem, type ProblemSlug } from './problems.js';
import { databaseProblem } from './database-problem.js';

/** Fastify's own refusals, by code; what is not here goes by its status. */
const BY_FASTIFY_CODE: Readonly<Record<string, { slug: ProblemSlug; detail: string }>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { slug: 'unsupported-media-type', detail: 'Send the body as application/json.' },
  FST_ERR_CTP_BODY_TOO_LARGE: {
    slug: 'too-large',
    detail: 'The body is over BODY_LIMIT_BYTES; see /api/v1/limits.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    slug: 'malformed-request',
    detail: 'The body has not the length that Content-Length says.',
  },
  FST_ERR_BAD_URL: { slug: 'invalid-path', detail: 'The address has a percent-encoding that is not valid UTF-8.' },
  FST_ERR_MAX_PARAM_LENGTH: { slug: 'uri-too-long', detail: 'An id in the address is too long.' },
};

const NOT_FOUND = {
  slug: 'not-found',
  detail: 'There is nothing at this address; /api/v1/ lists what there is.',
} as const;

const BY_STATUS: Readonly<Record<number, { slug: ProblemSlug; detail: string }>> = {
  400: { slug: 'malformed-request', detail: 'The request could not be read.' },
  // @fastify/static refuses paths such as /docs/%00 and /docs//x with 403; routes of ours throw a Problem.
  403: NOT_FOUND,
  404: NOT_FOUND,
  413: BY_FASTIFY_CODE.FST_ERR_CTP_BODY_TOO_LARGE as { slug: ProblemSlug; detail: string },
  414: { slug: 'uri-too-long', detail: 'The address is too long.' },
  415: BY_FASTIFY_CODE.FST_ERR_CTP_INVALID_MEDIA_TYPE as { slug: ProblemSlug; detail: string },
  503: { slug: 'unavailable', detail: 'The server is stopping; try again.' },
};

/** Writes every error as application/problem+json (RFC 9457); the one place where one is written. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest(), http.getResponse());
  }
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // A client that hangs up is no fault of ours or the database's; nobody reads the answer, but the log tells it apart.
  const problem = request.raw.readableAborted
    ? new Problem('malformed-request', { detail: 'The body broke off.', cause: error })
    : toProblem(error);
  if (problem.status >= 500) request.log.error({ err: problem.cause ?? error }, problem.message);
  if (reply.sent) {
    // The answer is under way: breaking the connection off is the only way left to say that it is not whole.
    reply.raw.destroy();
    return;
  }
  // Fastify would close the connection whenever a body was not parsed. The rest of one is drained, so it can go on.
  if (reply.hasHeader('connection') && !reply.raw.hasHeader('connection')) reply.removeHeader('connection');
  if (!request.raw.complete) {
    // Also where the client asked to close it after the answer: closed under a body that still comes, it is reset, and the
    // answer lost. The client closes it itself when it has read.
    if (!reply.raw.hasHeader('connection')) reply.raw.shouldKeepAlive = true;
    drain(request.raw);
  }
  // Also where the router refused before any hook ran.
  reply.header('X-Request-Id', request.id);
  const body = problemBody(problem, request.originalUrl, request.id, requestOrigin(request));
  reply.code(problem.status).headers(problem.headers).type('application/problem+json').send(JSON.stringify(body));
}

export function problemBody(problem: Problem, instance: string, requestId: string, origin: string): object {
  return {
    type: `${origin}/problems#${problem.slug}`,
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    instance,
    request_id: requestId,
    ...(problem.errors.length > 0 ? { errors: problem.errors, error_count: problem.errorCount } : {}),
    ...problem.extra,
  };
}

/** What is said of any error: for one that is no problem of the client's, nothing of the inside. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const fromDatabase = databaseProblem(error);
  if (fromDatabase !== undefined) return fromDatabase;
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  const status = error instanceof HttpException ? error.getStatus() : statusCode;
  const entry = BY_FASTIFY_CODE[String(code)] ?? BY_STATUS[Number(status)];
  if (entry !== undefined) return new Problem(entry.slug, { detail: entry.detail, cause: error });
  return new Problem('internal', {
    detail: 'The fault is ours and has been logged; quote the request_id when you report it.',
    cause: error,
  });
}
