import { productVersion, safeError } from '#platform';
import type * as Sentry from '@sentry/core';
import type { ServerRuntimeClient } from '@sentry/core/server';

/** Reports of a process in a minute: an error of every request must not flood the receiver. Further ones are only logged. */
const REPORTS_PER_MINUTE = 30;
const MINUTE_MS = 60_000;
const SEND_TIMEOUT_MS = 5_000;
const FLUSH_MS = 1_500;

/** What a report has besides the error. */
export interface ErrorContext {
  request_id?: string | undefined;
  trace_id?: string | undefined;
  method?: string;
  /** The pattern, not the path. */
  route?: string | undefined;
  job_id?: string;
  operation?: string;
  project?: number | null | undefined;
}

/** Sends errors of the server by Sentry's protocol. */
export class ErrorReporter {
  private reports = 0;
  private windowEndsAtMs = 0;

  private constructor(
    private readonly sentry: typeof Sentry,
    private readonly client: ServerRuntimeClient,
  ) {}

  /** Loads the client. @param dsn the address of a project at the receiver */
  static async start(dsn: string, onDropped: (reason: unknown) => void): Promise<ErrorReporter> {
    const [sentry, server] = await Promise.all([import('@sentry/core'), import('@sentry/core/server')]);
    const client = new server.ServerRuntimeClient({
      dsn,
      release: `stowage@${productVersion()}`,
      platform: 'node',
      runtime: { name: 'node', version: process.version },
      integrations: [],
      stackParser: sentry.createStackParser(server.nodeStackLineParser()),
      sendClientReports: false,
      transport: (options) =>
        sentry.createTransport(options, async ({ body }) => {
          try {
            const signal = AbortSignal.timeout(SEND_TIMEOUT_MS);
            const response = await fetch(options.url, { method: 'POST', body: Buffer.from(body), signal });
            await response.arrayBuffer();
            return { statusCode: response.status };
          } catch (error) {
            onDropped(error);
            throw error;
          }
        }),
    });
    client.init();
    return new ErrorReporter(sentry, client);
  }

  /** Reports an error. The quoted parts of its message are left out, because they may be data of a client. */
  report(error: unknown, context: ErrorContext): void {
    if (!this.hasRoom()) return;
    const scope = new this.sentry.Scope();
    for (const [name, value] of Object.entries(context)) if (value != null) scope.setTag(name, String(value));
    this.client.captureException(reportedError(error), {}, scope);
  }

  /** Sends what waits. */
  async stop(): Promise<void> {
    await this.client.close(FLUSH_MS);
  }

  private hasRoom(): boolean {
    const now = performance.now();
    if (now >= this.windowEndsAtMs) {
      this.windowEndsAtMs = now + MINUTE_MS;
      this.reports = 0;
    }
    return ++this.reports <= REPORTS_PER_MINUTE;
  }
}

/** An error with the name, the code, the stack and the message of this one, and nothing else: that of a database quotes rows. */
function reportedError(error: unknown): Error {
  const { type, message, code, stack = '' } = safeError(error);
  const reported = new Error(typeof code === 'string' ? `${code}: ${message}` : message);
  reported.name = type;
  // Its first line has the message.
  reported.stack = `${type}: ${reported.message}\n${stack}`;
  return reported;
}
