import { productVersion } from '#platform';
import type { Logger } from 'pino';
import { ReportedExporter } from './reported-exporter.js';
import { Tracing } from './tracing.js';

/**
 * Loads OpenTelemetry, which reads the other variables OTEL_* itself: sampler, limits, headers, name of the service. Its defaults for invalid
 * ones are silent, so the configuration has rejected those that decide what is traced.
 * @param serviceName unless OTEL_SERVICE_NAME is set
 */
export async function startTracing(serviceName: string, log: Logger): Promise<Tracing> {
  const [api, { BasicTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const own = resources.resourceFromAttributes({ 'service.name': serviceName, 'service.version': productVersion() });
  const provider = new BasicTracerProvider({
    resource: own.merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new ReportedExporter(new OTLPTraceExporter(), log))],
  });
  return new Tracing(api, provider.getTracer('stowage'), () => provider.shutdown());
}
