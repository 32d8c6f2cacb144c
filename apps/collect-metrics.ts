import { Database, DiskReserve, ReadDatabase } from '#database';
import { Indexer } from '#inverted-index';
import { JobRunner, MetricsStore } from '#jobs';
import type { Metrics } from '#telemetry';
import type { INestApplicationContext } from '@nestjs/common';
import { DatabaseMetrics } from './database-metrics.js';

/** Sets the gauges that a server and a worker have in common, just before each scrape. */
export function collectMetrics(app: INestApplicationContext, metrics: Metrics): void {
  const [database, runner, indexer, disk] = [
    app.get(Database),
    app.get(JobRunner),
    app.get(Indexer),
    app.get(DiskReserve),
  ];
  const replica = app.get(ReadDatabase);
  metrics.beforeScrape(() => {
    for (const [pool, { used, idle, max, waiting }] of Object.entries(database.poolStates)) {
      metrics.databaseConnections.set({ pool, state: 'used' }, used);
      metrics.databaseConnections.set({ pool, state: 'idle' }, idle);
      metrics.databaseConnectionsMax.set({ pool }, max);
      metrics.databaseWaiting.set({ pool }, waiting);
    }
    metrics.jobsRunning.set(runner.runningJobs);
    metrics.jobConcurrency.set(runner.concurrency);
    metrics.indexPendingAge.set(indexer.oldestPendingMs / 1_000);
    metrics.diskLow.set(disk.isLow ? 1 : 0);
    const { replicaState } = replica;
    // A metric without labels has the value 0 until it is set.
    metrics.replicaUsable.remove();
    metrics.replicaLag.remove();
    if (replicaState === null) return;
    metrics.replicaUsable.set(replicaState.status === 'current' ? 1 : 0);
    if (replicaState.lagMs !== null) metrics.replicaLag.set(replicaState.lagMs / 1_000);
  });
  new DatabaseMetrics(metrics, app.get(MetricsStore), database);
}
