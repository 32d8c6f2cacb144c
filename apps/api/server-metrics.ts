import type { RequestSlots } from '#http';
import type { ByteBudget } from '#platform';
import type { Metrics } from '#telemetry';

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
