import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Of requests and jobs, in seconds: an object by its id takes a millisecond, a large batch seconds. */
const DURATION_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Rendering takes some milliseconds of the main thread, so it is done once for scrapes that arrive together. */
const RENDER_EVERY_MS = 1_000;

/** Sets gauges just before they are read. It must not throw. */
type Collector = () => void | Promise<void>;

/**
 * The metrics of a process. This is the list of all: docs/operations/monitoring.md has each of them, and a test compares the two. A label has
 * few values, which the server chooses: routes are patterns, and no label names a project, a key or an object.
 */
export class Metrics {
  private readonly registry = new Registry();
  private readonly collectors: Collector[] = [];
  private rendered: { text: Promise<string>; atMs: number } | undefined;

  readonly requestSeconds = this.histogram(
    'stowage_http_request_duration_seconds',
    'Time until the response was sent, by method, route pattern and class of the status.',
    ['method', 'route', 'status'],
  );
  readonly problems = this.counter(
    'stowage_http_problems_total',
    'Responses with an error, by the problem and its status: 401, 403, 429, 503, 507 are refusals.',
    ['problem', 'status'],
  );
  readonly itemsWritten = this.counter(
    'stowage_items_written_total',
    'Objects that were stored, by requests and by jobs.',
    ['via'],
  );
  readonly connections = this.gauge('stowage_http_connections', 'Open connections of clients.');
  readonly slots = this.gauge('stowage_request_slots', 'Requests that may use the database at a time.', ['state']);
  readonly requestsWaiting = this.gauge(
    'stowage_requests_waiting',
    'Requests that wait, for their turn to use the database or for memory.',
    ['for'],
  );
  readonly memoryBudget = this.gauge(
    'stowage_memory_budget_bytes',
    'Memory of bodies and large responses: what is used, and MEMORY_BUDGET_BYTES.',
    ['state'],
  );
  readonly canaryUses = this.counter('stowage_canary_uses_total', 'Requests with a canary key.');
  readonly webhookEventsDropped = this.counter(
    'stowage_webhook_events_dropped_total',
    'Events that this process did not queue, because 1,000 wait for their webhook.',
  );
  readonly webhookAttempts = this.counter(
    'stowage_webhook_attempts_total',
    'Attempts of this process to send an event: delivered, rejected (a status other than 2xx), unreachable (no response).',
    ['result'],
  );
  readonly webhookDeliveriesFailed = this.counter(
    'stowage_webhook_deliveries_failed_total',
    'Deliveries that this process has given up, after the last attempt or because their webhook was not enabled for too long.',
  );

  readonly jobAttempts = this.counter(
    'stowage_job_attempts_total',
    'Attempts of jobs that ended in this process, by operation and state of the job afterwards.',
    ['operation', 'state'],
  );
  readonly jobSeconds = this.histogram('stowage_job_duration_seconds', 'Time of an attempt of a job, by operation.', [
    'operation',
  ]);
  readonly jobsRunning = this.gauge('stowage_jobs_running', 'Jobs that run in this process.');
  readonly jobConcurrency = this.gauge(
    'stowage_job_concurrency',
    'Jobs that this process runs at a time; 0 where it runs none.',
  );
  readonly deadLettersTotal = this.counter(
    'stowage_dead_letters_total',
    'Jobs that finally failed because of server errors in this process.',
  );
  readonly deadLetters = this.gauge(
    'stowage_dead_letters',
    'Stored jobs that finally failed because of server errors, among the 10,000 jobs that ended last.',
  );
  readonly jobsQueued = this.gauge(
    'stowage_jobs_queued',
    'Queued jobs, at most 10,000 of each of 1,000 projects, by class of project: operator, light (under 100 queued jobs), heavy.',
    ['project_class'],
  );
  readonly projectsQueued = this.gauge('stowage_job_projects', 'Projects with queued jobs, by class of project.', [
    'project_class',
  ]);
  readonly oldestJob = this.gauge(
    'stowage_job_oldest_queued_seconds',
    'Time since the oldest queued job was accepted, by class of project; 0 without one.',
    ['project_class'],
  );

  readonly databaseConnections = this.gauge(
    'stowage_database_connections',
    'Connections of this process to the database, by pool and state.',
    ['pool', 'state'],
  );
  readonly databaseConnectionsMax = this.gauge(
    'stowage_database_connections_max',
    'Connections that a pool may hold.',
    ['pool'],
  );
  readonly databaseWaiting = this.gauge(
    'stowage_database_waiting',
    'Statements and transactions that wait for a connection of a pool.',
    ['pool'],
  );
  readonly databaseBytes = this.gauge('stowage_database_size_bytes', 'Size of the database on its disk.');
  readonly databaseAge = this.gauge(
    'stowage_database_metrics_age_seconds',
    'Age of the metrics that are read from the database; +Inf before the first time.',
  );
  readonly slowStatements = this.counter(
    'stowage_slow_statements_total',
    'Statements that took longer than SLOW_STATEMENT_MS.',
  );
  readonly diskLow = this.gauge('stowage_disk_low', '1 while writes are rejected because the disk is nearly full.');
  readonly replicaUsable = this.gauge(
    'stowage_replica_usable',
    '1 while the read replica is read, 0 while it is behind or unavailable; missing without one.',
  );
  readonly replicaLag = this.gauge(
    'stowage_replica_lag_seconds',
    'How old the data of the read replica may be; missing without one, and while it is unknown.',
  );

  readonly indexPending = this.gauge(
    'stowage_index_pending_objects',
    'Objects that are not in a segment of the index yet, at most 200,000.',
  );
  readonly indexMostPending = this.gauge(
    'stowage_index_pending_objects_max',
    'Such objects of the project that has the most; beyond 5,000 its filters do not use the index.',
  );
  readonly indexPendingAge = this.gauge(
    'stowage_index_oldest_pending_seconds',
    'Time since this process first saw pending objects of a project that were not indexed since; 0 without some.',
  );
  readonly indexBuilding = this.gauge(
    'stowage_index_building_projects',
    'Projects whose objects are still to be indexed after an upgrade or a repair.',
  );

  readonly encryptionPending = this.gauge(
    'stowage_encryption_pending_projects',
    'Projects whose stored values are still to be encrypted or decrypted.',
  );
  readonly encryptionUnopened = this.counter(
    'stowage_encryption_unopened_total',
    'Encrypted values that were read and could not be decrypted, because they were damaged or moved.',
  );
  readonly retentionObjects = this.counter(
    'stowage_retention_objects_total',
    'Objects that this process has deleted because they were older than the retention of their project.',
  );
  readonly retentionFailures = this.counter(
    'stowage_retention_failures_total',
    'Runs of the retention in this process that could not delete the objects of a project.',
  );

  readonly build = this.gauge('stowage_build_info', 'Always 1; the versions of Stowage and Node.js.', [
    'version',
    'node',
  ]);
  readonly startTime = this.gauge('process_start_time_seconds', 'When the process was started, in Unix time.');
  readonly cpuSeconds = this.counter('process_cpu_seconds_total', 'Processor time of the process.');
  readonly residentBytes = this.gauge('process_resident_memory_bytes', 'Resident memory of the process.');
  readonly heapBytes = this.gauge('nodejs_heap_size_used_bytes', 'Used heap of the main thread.');
  readonly workerThreads = this.gauge('nodejs_worker_threads', 'Worker threads of the process.');
  readonly eventLoopLag = this.gauge(
    'nodejs_eventloop_lag_seconds',
    'Delay of the event loop in the last 10 to 20 seconds: mean, p99 and max.',
    ['quantity'],
  );

  /** Has gauges set before each scrape. */
  beforeScrape(collector: Collector): void {
    this.collectors.push(collector);
  }

  /** All metrics in Prometheus' text format. */
  text(): Promise<string> {
    const now = performance.now();
    if (this.rendered === undefined || now - this.rendered.atMs > RENDER_EVERY_MS)
      this.rendered = { text: this.render(), atMs: now };
    return this.rendered.text;
  }

  /** The media type of the text. */
  get contentType(): string {
    return this.registry.contentType;
  }

  private async render(): Promise<string> {
    await Promise.all(this.collectors.map(async (collect) => collect()));
    return this.registry.metrics();
  }

  private counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  private gauge<L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  private histogram<L extends string>(name: string, help: string, labelNames: L[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets: DURATION_BUCKETS, registers: [this.registry] });
  }
}
