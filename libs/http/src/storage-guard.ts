import type { FastifyInstance } from 'fastify';
import { Problem } from './problems.js';
import { isReadRequest } from './route.js';

/** The methods that store data. DELETE makes space that later writes reuse. */
const STORING: readonly string[] = ['POST', 'PUT', 'PATCH'];

/**
 * Rejects the requests that store data with 507 while the database's disk has less free space than its reserve. Register it
 * after the authentication; it rejects before the body is read.
 */
export function guardStorage(fastify: FastifyInstance, disk: { readonly isLow: boolean }): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { isApiRoute } = request.routeOptions.config;
    const stores = isApiRoute === true && STORING.includes(request.method) && !isReadRequest(request);
    if (stores && disk.isLow) done(insufficientStorage());
    else done();
  });
}

export function insufficientStorage(): Problem {
  const detail =
    'The disk of the database is nearly full (DISK_RESERVE_BYTES); nothing was stored. Reads and deletes still work; retry later.';
  return new Problem('insufficient-storage', { detail });
}
