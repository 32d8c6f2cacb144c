import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { StartupError, type Config } from '#platform';
import type { Logger } from 'pino';
import { hasToken } from './metrics-token.js';
import type { Metrics } from './metrics.js';

/** A scraper needs one. */
const CONNECTIONS_MAX = 20;
const TIMEOUT_MS = 10_000;

/**
 * Serves `GET /metrics` on a port of its own: a worker has no other, and one of a server need not be reachable for clients. It also has
 * `/health/live`, which needs no token, because a worker that hangs is restarted by it.
 */
export class MetricsServer {
  private constructor(
    private readonly server: Server,
    /** The URL to scrape. */
    readonly url: string,
  ) {}

  /**
   * Each of several processes of a server takes one of as many ports, from METRICS_PORT on.
   * @returns null without METRICS_PORT
   * @throws StartupError when none of them can be used
   */
  static async start(
    metrics: Metrics,
    { metrics: settings, http }: Config,
    log: Logger,
  ): Promise<MetricsServer | null> {
    const { host, port: first, token } = settings;
    if (first === null) return null;
    const ports = Array.from({ length: first === 0 ? 1 : http.processes }, (_, index) => first + index);
    let cause: unknown;
    for (const port of ports) {
      const server = createServer({ headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS }, (request, response) => {
        void respond({ metrics, token, log }, request, response);
      });
      server.maxConnections = CONNECTIONS_MAX;
      // Otherwise the processes of a server would share the port, and each scrape would reach another one.
      server.listen({ port, host, exclusive: true });
      try {
        await once(server, 'listening');
      } catch (error) {
        cause = error;
        continue;
      }
      const { port: used } = server.address() as AddressInfo;
      return new MetricsServer(server, `http://${host.includes(':') ? `[${host}]` : host}:${String(used)}/metrics`);
    }
    const { code } = cause as NodeJS.ErrnoException;
    throw new StartupError(`METRICS_PORT ${ports.join(', ')} on ${host} cannot be used (${String(code)})`, { cause });
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }
}

interface Source {
  metrics: Metrics;
  token: string | null;
  log: Logger;
}

/** Never fails: an error that nothing catches would end the process. */
async function respond(
  { metrics, token, log }: Source,
  { method, url, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const end = (status: number, text: string, fields: Record<string, string> = {}): void => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...fields }).end(text);
  };
  const path = url?.replace(/\?.*/, '');
  if (path !== '/metrics' && path !== '/health/live') end(404, 'The metrics are at /metrics.\n');
  else if (method !== 'GET' && method !== 'HEAD') end(405, 'Only GET is supported.\n', { Allow: 'GET, HEAD' });
  else if (path === '/health/live') end(200, 'ok\n');
  else if (token !== null && !hasToken(headers.authorization, token))
    end(401, 'Send METRICS_TOKEN as `Authorization: Bearer <token>`.\n', { 'WWW-Authenticate': 'Bearer' });
  else {
    try {
      end(200, await metrics.text(), { 'Content-Type': metrics.contentType });
    } catch (err) {
      log.error({ err }, 'the metrics could not be read');
      end(500, 'The metrics could not be read; the log has the error.\n');
    }
  }
}
