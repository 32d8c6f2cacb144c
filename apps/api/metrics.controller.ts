import { Http, Rules, type HttpContext } from '#http';
import type { Config } from '#platform';
import { Telemetry, type Metrics } from '#telemetry';
import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';

/** Whether the server has the route. With several processes it would have the metrics of any of them. */
export function servesMetrics({ metrics }: Telemetry, { http }: Config): boolean {
  return metrics !== null && http.processes === 1;
}

/** Only a part of a server that `servesMetrics`. */
@ApiTags('operations')
@Controller()
export class MetricsController {
  constructor(private readonly telemetry: Telemetry) {}

  @Get('metrics')
  @Rules({ roles: ['operator'], takesMetricsToken: true, produces: ['text/plain'] })
  @ApiOperation({
    summary: 'Read the metrics of this process, in the text format of Prometheus',
    description:
      'For operators, and for scrapers that send METRICS_TOKEN as the bearer. The list of metrics is in the guide to operations.',
  })
  @ApiProduces('text/plain')
  @ApiOkResponse({ description: 'The metrics.', content: { 'text/plain': { schema: { type: 'string' } } } })
  async getMetrics(@Http() { reply }: HttpContext): Promise<string> {
    const metrics = this.telemetry.metrics as Metrics;
    const text = await metrics.text();
    reply.type(metrics.contentType).header('Cache-Control', 'no-store');
    return text;
  }
}
