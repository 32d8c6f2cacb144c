import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { SourceError } from './load-source.js';
import type { ClientSettings } from './client-settings.js';
import { exchange, type HttpReply } from './http-exchange.js';
import type { ProblemAnswer } from './problem-answer.js';
import { UsageError } from './usage-error.js';

/** How often a request is sent that finds the server busy, limited, or gone: half a minute in all, a restart and more. */
const ATTEMPTS_MAX = 6;
const WAIT_MS = 1_000;
const RETRY_AFTER_MAX_MS = 120_000;
/** Not now, or (of a proxy) nobody there. */
const STATUSES_TO_RETRY: readonly number[] = [429, 502, 503, 504];
/** What the key or the address decides, the same for every file. */
const STATUSES_OF_SETTINGS: readonly number[] = [401, 403, 404, 405];

export interface ApiRequest {
  method: string;
  /** Below /api/v1. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  /** Opens the body from its beginning, for each attempt anew. */
  body?: () => Promise<Readable>;
  /** The body can be opened again; default true. */
  isRepeatable?: boolean;
}

export interface ApiReply<Body = ProblemAnswer> {
  status: number;
  statusLine: string;
  location: string | undefined;
  /** The answer's JSON; an empty one stands for an answer that is none of ours. */
  body: Body;
}

/** Sends requests until they are answered. @throws UsageError when the server cannot be reached, or the key is no good */
export class ApiClient {
  private hasAnswered = false;

  constructor(
    private readonly settings: ClientSettings,
    private readonly say: (line: string) => void,
  ) {}

  async send<Body>(request: ApiRequest, signal: AbortSignal): Promise<ApiReply<Partial<Body>>> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === ATTEMPTS_MAX || request.isRepeatable === false;
      let reason: string;
      let waitMs = WAIT_MS * 2 ** (attempt - 1);
      try {
        const answer = await this.sendOnce(request, signal);
        this.hasAnswered = true;
        const reply = replyOf(answer);
        const isElsewhere = reply.status >= 300 && reply.status < 400;
        if (isElsewhere || STATUSES_OF_SETTINGS.includes(reply.status)) throw this.refusal(reply);
        if (!STATUSES_TO_RETRY.includes(reply.status)) return reply as ApiReply<Partial<Body>>;
        if (isLast) throw this.refusal(reply);
        reason = reply.body.detail ?? reply.statusLine;
        waitMs = retryAfterMs(answer) ?? waitMs;
      } catch (error) {
        if (signal.aborted || error instanceof UsageError || error instanceof SourceError) throw error;
        reason = causeOf(error);
        // A server that has never answered is just not there.
        if (!this.hasAnswered) throw new UsageError(`cannot reach ${this.settings.origin}: ${reason}`);
        if (isLast) throw this.lost(request, reason);
      }
      this.say(`waiting ${String(Math.ceil(waitMs / 1000))} s: ${reason}`);
      await sleep(waitMs, undefined, { signal });
    }
  }

  /** What to say of an answer that ends everything. */
  refusal({ status, statusLine, body }: ApiReply<object>): UsageError {
    const { origin } = this.settings;
    const { title, detail = '' } = body as ProblemAnswer;
    if (title !== undefined) return new UsageError(`${origin} answers ${String(status)}: ${title}: ${detail}`);
    return new UsageError(`${origin} answers ${statusLine}, which is not the answer of a Stowage server`);
  }

  private async sendOnce({ method, path, headers, body }: ApiRequest, signal: AbortSignal): Promise<HttpReply> {
    const { origin, key } = this.settings;
    return exchange({
      method,
      origin,
      path: `/api/v1${path}`,
      headers: { 'X-Api-Key': key, Accept: 'application/json', ...headers },
      body: await body?.(),
      signal,
    });
  }

  private lost({ isRepeatable }: ApiRequest, reason: string): UsageError {
    const text = `lost ${this.settings.origin}: ${reason}`;
    if (isRepeatable !== false) return new UsageError(text);
    return new UsageError(`${text}; what came from standard input cannot be sent again: run it once more`);
  }
}

function replyOf({ status, statusLine, headers, text }: HttpReply): ApiReply {
  const isJson = /^application\/(?:problem\+)?json\b/.test(headers['content-type'] ?? '');
  return { status, statusLine, location: headers.location, body: isJson ? (JSON.parse(text) as ProblemAnswer) : {} };
}

function retryAfterMs({ headers: { 'retry-after': text = '' } }: HttpReply): number | undefined {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? Math.min(ms, RETRY_AFTER_MAX_MS) : undefined;
}

/** Of several addresses that were tried, the first says it. */
function causeOf(error: unknown): string {
  const { errors: [first] = [error] } = error as { errors?: unknown[] };
  return first instanceof Error ? first.message : String(first);
}
