import { ClientGoneError, WorkScope } from '#database';
import type { Config } from '#platform';
import type { FastifyInstance } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for authenticated requests, before their handler runs. */
    workScope?: WorkScope;
  }
}

/** The share that operators' requests count against; projects have numbers from 1. */
const OPERATORS = 0;

/**
 * Runs the handler of each authenticated request in a scope, by which its project's share of the database connections is
 * found. The queries of a GET request are cancelled after QUERY_TIMEOUT_MS, and when its client has left before the response.
 * A write whose client has left is dropped while it has not started; otherwise it ends as if the client were there.
 * Register it after the authentication and before every hook that uses the database.
 */
export function scopeRequests(fastify: FastifyInstance, { queryTimeoutMs }: Config['database']): void {
  const ofRead = { timeoutMs: queryTimeoutMs };
  fastify.addHook('preHandler', (request, reply, done) => {
    if (request.principal === undefined) {
      done();
      return;
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const scope = new WorkScope(request.principal.projectId ?? OPERATORS, isRead ? ofRead : undefined);
    request.workScope = scope;
    reply.raw.once('close', () => {
      if (reply.raw.headersSent) scope.end();
      else if (isRead || !scope.hasStarted) scope.cancel(new ClientGoneError('the client has closed the connection'));
    });
    scope.run(done);
  });
  fastify.addHook('onSend', (request, _reply, _payload, done) => {
    request.workScope?.endDeadline();
    done();
  });
}
