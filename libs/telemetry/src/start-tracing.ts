import { productVersion } from '#platform';
import { Tracing } from './tracing.js';

/**
 * Loads OpenTelemetry, which reads the other variables OTEL_* itself: sampler, limits, headers, name of the service.
 * @param serviceName unless OTEL_SERVICE_NAME is set
 */
export async function startTracing(serviceName: string): Promise<Tracing> {
  const [api, { BasicTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const own = resources.resourceFromAttributes({ 'service.name': serviceName, 'service.version': productVersion() });
  const provider = new BasicTracerProvider({
    resource: own.merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  return new Tracing(api, provider.getTracer('stowage'), () => provider.shutdown());
}
