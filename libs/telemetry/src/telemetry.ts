import { type Config, createLog, describeError, endsWithin } from '#platform';
import type { Logger } from 'pino';
import type { ErrorReporter } from './error-reporter.js';
import { MetricsServer } from './metrics-server.js';
import { Metrics } from './metrics.js';
import { measureProcess } from './process-metrics.js';
import type { Tracing } from './tracing.js';

/** A receiver that does not respond must not hold up the stop, which may take 10 seconds. */
const STOP_MS = 2_000;

interface Parts {
  metrics: Metrics | null;
  tracing: Tracing | null;
  errors: ErrorReporter | null;
  metricsUrl: string | null;
}

/** What a process reports about itself. */
export class Telemetry {
  /** Null with METRICS=false. */
  readonly metrics: Metrics | null;
  /** Null without OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly tracing: Tracing | null;
  /** Null without SENTRY_DSN. */
  readonly errors: ErrorReporter | null;
  /** Where `/metrics` is on METRICS_PORT; null without it. */
  readonly metricsUrl: string | null;
  private readonly stops: (() => void | Promise<void>)[] = [];

  private constructor(
    /** JSON lines on standard error. */
    readonly log: Logger,
    { metrics, tracing, errors, metricsUrl }: Parts,
  ) {
    this.metrics = metrics;
    this.tracing = tracing;
    this.errors = errors;
    this.metricsUrl = metricsUrl;
  }

  /** For a command, which reports nothing. */
  static off(): Telemetry {
    return new Telemetry(createLog('silent'), { metrics: null, tracing: null, errors: null, metricsUrl: null });
  }

  /**
   * For a server or a worker, which stops it last. What is off is not loaded.
   * @param serviceName the name of this kind of process in traces
   * @throws StartupError when METRICS_PORT cannot be used
   */
  static async start(config: Config, serviceName: string, say: (line: string) => void): Promise<Telemetry> {
    const log = createLog(config.log.level);
    const metrics = config.metrics.isOn ? new Metrics() : null;
    const server = metrics && (await MetricsServer.start(metrics, config, log));
    try {
      const { isOn } = config.tracing;
      const tracing = isOn ? await (await import('./start-tracing.js')).startTracing(serviceName, log) : null;
      const errors = config.errors.dsn === null ? null : await startReporter(config.errors.dsn, log);
      const telemetry = new Telemetry(log, { metrics, tracing, errors, metricsUrl: server?.url ?? null });
      if (metrics !== null) telemetry.stops.push(measureProcess(metrics));
      for (const part of [server, tracing, errors]) if (part != null) telemetry.stops.push(() => part.stop());
      if (server !== null) say(`metrics are at ${server.url}`);
      return telemetry;
    } catch (error) {
      await server?.stop();
      throw error;
    }
  }

  /** Sends what waits to be sent, for at most `STOP_MS`. An error of a receiver does not matter to the stop. */
  async stop(): Promise<void> {
    await endsWithin(Promise.allSettled(this.stops.splice(0).map(async (stop) => stop())), STOP_MS);
  }
}

async function startReporter(dsn: string, log: Logger): Promise<ErrorReporter> {
  const { ErrorReporter } = await import('./error-reporter.js');
  return ErrorReporter.start(dsn, (reason) => {
    log.warn(`an error could not be reported to SENTRY_DSN: ${describeError(reason)}`);
  });
}
