import type { Database } from '#database';
import { PROJECT_CLASSES, type DatabaseState, type MetricsStore } from '#jobs';
import { endsWithin } from '#platform';
import type { Metrics } from '#telemetry';

/** However often it is scraped, a process reads the database at most once in this time. */
const READ_EVERY_MS = 15_000;
/** The longest time that a scrape waits for a read that it has begun; then it has the values of the last one. */
const WAIT_MS = 1_000;

/**
 * The metrics that are read from the database, over a connection of their own that is open only meanwhile: they are needed most while
 * requests wait for every other one.
 */
export class DatabaseMetrics {
  private state: DatabaseState | null = null;
  private readAtMs = -Infinity;
  private triedAtMs = -Infinity;
  private reading: Promise<void> | null = null;

  constructor(
    private readonly metrics: Metrics,
    private readonly store: MetricsStore,
    private readonly database: Database,
  ) {
    metrics.beforeScrape(() => this.collect());
  }

  private async collect(): Promise<void> {
    if (performance.now() - this.triedAtMs >= READ_EVERY_MS && this.reading === null) {
      this.triedAtMs = performance.now();
      this.reading = this.read().finally(() => (this.reading = null));
    }
    if (this.reading !== null) await endsWithin(this.reading, WAIT_MS);
    this.metrics.databaseAge.set((performance.now() - this.readAtMs) / 1_000);
    if (this.state !== null) this.set(this.state);
  }

  /** An error shows as the age of the values; what fails in the database is in the log of the requests. */
  private async read(): Promise<void> {
    try {
      this.state = await this.database.aside((on) => this.store.read(on, this.database.isDistributed));
      this.readAtMs = performance.now();
    } catch {
      return;
    }
  }

  private set(state: DatabaseState): void {
    const { metrics } = this;
    for (const project_class of PROJECT_CLASSES) {
      const { jobs, projects, oldestAtMs } = state.queues[project_class];
      metrics.jobsQueued.set({ project_class }, jobs);
      metrics.projectsQueued.set({ project_class }, projects);
      metrics.oldestJob.set(
        { project_class },
        oldestAtMs === null ? 0 : Math.max(0, (Date.now() - oldestAtMs) / 1_000),
      );
    }
    metrics.deadLetters.set(state.deadLetters);
    metrics.databaseBytes.set(state.sizeBytes);
    metrics.indexPending.set(state.pendingObjects);
    metrics.indexMostPending.set(state.mostPendingObjects);
    metrics.indexBuilding.set(state.buildingProjects);
    metrics.encryptionPending.set(state.encryptionProjects);
  }
}
