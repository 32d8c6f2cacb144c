import { WorkScope } from '#database';
import type { FastifyInstance } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    workScope?: WorkScope;
  }
}

/** The share that operators' requests count against; projects have numbers from 1. */
const OPERATORS = 0;

/**
 * Runs the handler of each authenticated request in a scope, by which its project's share of the database connections is
 * found. Register it after the authentication and before every hook that uses the database.
 */
export function scopeRequests(fastify: FastifyInstance): void {
  fastify.addHook('preHandler', (request, reply, done) => {
    if (request.principal === undefined) {
      done();
      return;
    }
    const scope = new WorkScope(request.principal.projectId ?? OPERATORS);
    request.workScope = scope;
    reply.raw.once('close', () => {
      scope.end();
    });
    scope.run(done);
  });
}
