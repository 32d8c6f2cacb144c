import type { RequestSlots } from '#http';
import type { ByteBudget } from '#platform';
import type { Metrics } from '#telemetry';
import type { FastifyInstance } from 'fastify';

/** Serves the metrics to operators, and to scrapers with METRICS_TOKEN. */
export function serveMetrics(fastify: FastifyInstance, metrics: Metrics): void {
  fastify.route({
    method: 'GET',
    url: '/metrics',
    config: { roles: ['operator'], takesMetricsToken: true, isApiRoute: true, produces: ['text/plain'] },
    handler: async (_request, reply) => {
      const text = await metrics.text();
      return reply.type(metrics.contentType).header('Cache-Control', 'no-store').send(text);
    },
  });
}

/** Sets the gauges that only a server has. */
export function collectServerMetrics(metrics: Metrics, slots: RequestSlots, budget: ByteBudget): void {
  metrics.beforeScrape(() => {
    const { used, total, waiting } = slots.state;
    metrics.slots.set({ state: 'used' }, used);
    metrics.slots.set({ state: 'total' }, total);
    metrics.requestsWaiting.set({ for: 'slot' }, waiting);
    metrics.requestsWaiting.set({ for: 'memory' }, budget.waitingCount);
    metrics.memoryBudget.set({ state: 'used' }, budget.usedBytes);
    metrics.memoryBudget.set({ state: 'total' }, budget.totalBytes);
  });
}
