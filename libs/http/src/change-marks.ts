import type { ChangeNotifier } from '#database';
import type { FastifyInstance } from 'fastify';
import { isReadRequest } from './route.js';

/** Marks the project of each successful write as changed, after its response. A write that changed no objects does no harm. */
export function markChanges(fastify: FastifyInstance, notifier: ChangeNotifier): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const projectId = request.principal?.projectId;
    if (projectId != null && reply.statusCode < 300 && !isReadRequest(request)) notifier.mark(projectId);
    done();
  });
}
