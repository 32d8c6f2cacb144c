import { describeError } from '#platform';
import type { SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { Logger } from 'pino';

const MINUTE_MS = 60_000;

/** An exporter that logs, once a minute, that spans could not be sent, and when they are sent again. OpenTelemetry itself says nothing. */
export class ReportedExporter implements SpanExporter {
  private isFailing = false;
  private nextLineAtMs = 0;

  constructor(
    private readonly exporter: SpanExporter,
    private readonly log: Logger,
  ) {}

  export(...[spans, onEnd]: Parameters<SpanExporter['export']>): void {
    this.exporter.export(spans, (result) => {
      if (result.error === undefined) this.succeed();
      else this.fail(result.error, spans.length);
      onEnd(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.exporter.forceFlush?.();
  }

  private fail(error: Error, spans: number): void {
    const now = performance.now();
    if (now < this.nextLineAtMs) return;
    this.nextLineAtMs = now + MINUTE_MS;
    this.isFailing = true;
    const reason = describeError(error.cause ?? error);
    this.log.warn(`${String(spans)} spans could not be sent to OTEL_EXPORTER_OTLP_ENDPOINT: ${reason}`);
  }

  private succeed(): void {
    if (!this.isFailing) return;
    this.isFailing = false;
    this.log.info('spans are sent to OTEL_EXPORTER_OTLP_ENDPOINT again');
  }
}
