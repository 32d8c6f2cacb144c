import type { Metrics } from '#telemetry';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isReadRequest } from './route.js';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

type Series = ReturnType<Metrics['requestSeconds']['labels']>;

/** Measures each request. A series is looked up once: to find it by its labels takes longer than to add to it. */
export function measureRequests(fastify: FastifyInstance, metrics: Metrics): void {
  const ofRequests = metrics.itemsWritten.labels('request');
  /** By the configuration of the route, which is one object for each route; then by method and class of the status. */
  const series = new WeakMap<object, Map<string, Series[]>>();

  const seriesOf = (request: FastifyRequest, statusClass: number): Series => {
    const { config, url } = request.routeOptions;
    let byMethod = series.get(config);
    if (byMethod === undefined) series.set(config, (byMethod = new Map<string, Series[]>()));
    const method = METHODS.has(request.method) ? request.method : 'other';
    let byStatus = byMethod.get(method);
    if (byStatus === undefined) byMethod.set(method, (byStatus = []));
    return (byStatus[statusClass] ??= metrics.requestSeconds.labels(
      method,
      request.is404 || url === undefined ? 'unknown' : url,
      `${String(statusClass)}xx`,
    ));
  };

  fastify.addHook('onResponse', (request: FastifyRequest, reply: FastifyReply, done) => {
    seriesOf(request, Math.floor(reply.statusCode / 100)).observe(reply.elapsedTime / 1_000);
    if (reply.itemCount !== undefined && reply.statusCode < 300 && !isReadRequest(request))
      ofRequests.inc(reply.itemCount);
    done();
  });
  metrics.beforeScrape(
    () =>
      new Promise<void>((resolve) => {
        fastify.server.getConnections((error, count) => {
          if (error === null) metrics.connections.set(count);
          resolve();
        });
      }),
  );
}
