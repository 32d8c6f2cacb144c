import { setTimeout as sleep } from 'node:timers/promises';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { SourceError } from './load-source.js';
import type { ClientSettings } from './client-settings.js';
import { ResponseTooLarge, sendHttpRequest, type HttpResponse } from './http-request.js';
import type { ProblemBody } from './problem-response.js';
import { UsageError } from './usage-error.js';

/** With waits of 1, 2, 4, 8 and 16 seconds in between: longer than a server takes to restart. */
const ATTEMPTS_MAX = 6;
const FIRST_WAIT_MS = 1_000;
const RETRY_AFTER_MAX_MS = 120_000;
/** The server is busy or limits the rate, or a proxy cannot reach it. */
const RETRYABLE_STATUSES: readonly number[] = [429, 502, 503, 504];
/** The key or the address is wrong, which is the same for every source. */
const SETTINGS_STATUSES: readonly number[] = [401, 403, 404, 405];

export interface ApiRequest {
  method: string;
  /** Below /api/v1. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  /** Opens the body from its beginning, once for each attempt. */
  openBody?: () => Promise<Readable>;
  /** The body can be opened more than once; default true. */
  isRepeatable?: boolean;
  /** Return the body of a response with the status 200 as a stream. */
  isStreamed?: boolean;
}

export interface ApiResponse<Body = ProblemBody> {
  status: number;
  statusLine: string;
  location: string | undefined;
  /** The JSON of the response; an empty object when it is not JSON. */
  body: Body;
  /** The body of a response to a request with `isStreamed`. */
  stream?: IncomingMessage;
}

/**
 * Sends requests and retries them.
 * @throws UsageError when the server cannot be reached, does not accept the key or is not Stowage
 */
export class ApiClient {
  private hasResponded = false;

  constructor(
    private readonly settings: ClientSettings,
    private readonly printMessage: (line: string) => void,
  ) {}

  /** Retries up to ATTEMPTS_MAX times; a request over the rate limit is retried as often as needed. */
  async send<Body>(request: ApiRequest, signal: AbortSignal): Promise<ApiResponse<Partial<Body>>> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === ATTEMPTS_MAX || request.isRepeatable === false;
      let reason: string;
      let waitMs = FIRST_WAIT_MS * 2 ** (attempt - 1);
      try {
        const httpResponse = await this.sendOnce(request, signal);
        this.hasResponded = true;
        const response = this.parseResponse(httpResponse);
        if (isRedirect(response.status) || SETTINGS_STATUSES.includes(response.status))
          throw this.toUsageError(response);
        const isRetryable = RETRYABLE_STATUSES.includes(response.status) && !hasSlug(response, 'quota-exceeded');
        if (!isRetryable) return response as ApiResponse<Partial<Body>>;
        if (isLast) throw this.toUsageError(response);
        reason = response.body.detail ?? response.statusLine;
        const retryAfter = retryAfterMs(httpResponse);
        waitMs = retryAfter ?? waitMs;
        // The server accepts it in the next minute; other requests of the key may use that minute, too.
        if (hasSlug(response, 'rate-limited') && retryAfter !== undefined) attempt--;
      } catch (error) {
        if (signal.aborted || error instanceof UsageError || error instanceof SourceError) throw error;
        if (error instanceof ResponseTooLarge) throw this.notStowage(error.message);
        reason = reasonOf(error);
        // A server that has never responded is not running: retrying would only delay the message.
        if (!this.hasResponded) {
          const { origin } = this.settings;
          throw new UsageError(`cannot reach ${origin}: ${reason}${schemeAdvice(origin, error)}`);
        }
        if (isLast) throw this.connectionLost(request, reason);
      }
      this.printMessage(`retrying in ${String(Math.ceil(waitMs / 1000))} s: ${reason}`);
      await sleep(waitMs, undefined, { signal });
    }
  }

  /** The error for a response that no other source would change. */
  toUsageError({ status, statusLine, location, body }: ApiResponse<object>): UsageError {
    const { origin } = this.settings;
    const { title, detail = '' } = body as ProblemBody;
    if (title !== undefined) return new UsageError(`${origin} responded ${String(status)}: ${title}: ${detail}`);
    if (isRedirect(status) && location !== undefined) {
      return new UsageError(
        `${origin} redirects to ${location}; set STOWAGE_URL or --url to the address of the server`,
      );
    }
    return this.notStowage(`responded ${statusLine}`);
  }

  /** @param response what the server did */
  private notStowage(response: string): UsageError {
    return new UsageError(`${this.settings.origin} ${response}; it is not a Stowage server`);
  }

  private async sendOnce(request: ApiRequest, signal: AbortSignal): Promise<HttpResponse> {
    const { method, path, headers, openBody, isStreamed = false } = request;
    const { origin, key } = this.settings;
    return sendHttpRequest({
      method,
      origin,
      path: `/api/v1${path}`,
      headers: { 'X-Api-Key': key, Accept: 'application/json', ...headers },
      body: await openBody?.(),
      signal,
      isStreamed,
    });
  }

  /** @throws UsageError for JSON that is invalid or no object, unless the response is that of a proxy which says to retry */
  private parseResponse({ status, statusLine, headers, text, stream }: HttpResponse): ApiResponse {
    const response = { status, statusLine, location: headers.location };
    if (stream !== undefined) return { ...response, body: {}, stream };
    if (!/^application\/(?:problem\+)?json\b/.test(headers['content-type'] ?? '')) return { ...response, body: {} };
    const body = parseObject(text);
    if (body === null && !RETRYABLE_STATUSES.includes(status))
      throw this.notStowage(`responded ${statusLine} with invalid JSON`);
    return { ...response, body: body ?? {} };
  }

  private connectionLost({ isRepeatable }: ApiRequest, reason: string): UsageError {
    const message = `lost the connection to ${this.settings.origin}: ${reason}`;
    if (isRepeatable !== false) return new UsageError(message);
    return new UsageError(`${message}; standard input cannot be sent again: run the command again`);
  }
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** Both problems have the status 429, but a quota is full until objects are deleted or an operator raises it. */
function hasSlug({ body }: ApiResponse, slug: 'rate-limited' | 'quota-exceeded'): boolean {
  return body.type?.endsWith(`#${slug}`) === true;
}

/** Returns null for text that is not a JSON object. */
function parseObject(text: string): ProblemBody | null {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

function retryAfterMs({ headers: { 'retry-after': text = '' } }: HttpResponse): number | undefined {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? Math.min(ms, RETRY_AFTER_MAX_MS) : undefined;
}

/** Errors of a handshake with a server that does not speak TLS, in all versions of Node.js. */
const NO_TLS = /^(?:EPROTO$|ERR_SSL_)/;
/** Errors of a request to a server that expects a handshake: it closes the connection, or sends a TLS alert. */
const NO_HTTP = /^(?:ECONNRESET$|EPIPE$|HPE_)/;

/** What to check where the server may speak the other scheme. */
function schemeAdvice(origin: string, error: unknown): string {
  const { code = '' } = error as { code?: string };
  if (origin.startsWith('https:')) {
    return NO_TLS.test(code) ? '; if the server speaks HTTP, STOWAGE_URL or --url must begin with http://' : '';
  }
  return NO_HTTP.test(code) ? '; if the server speaks HTTPS, STOWAGE_URL or --url must begin with https://' : '';
}

/** An AggregateError has one error for each address that was tried; the first one is reported. */
function reasonOf(error: unknown): string {
  const { errors: [first] = [error] } = error as { errors?: unknown[] };
  if (!(first instanceof Error)) return String(first);
  const { code = '', message } = first as NodeJS.ErrnoException;
  if (!NO_TLS.test(code)) return message;
  // The message of OpenSSL also names the functions and files of its source.
  const [, reason = code] = /:SSL routines:[^:]*:([^:]+)/.exec(message) ?? [];
  return `the TLS handshake failed (${reason})`;
}
