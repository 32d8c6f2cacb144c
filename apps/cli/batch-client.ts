import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchFile } from './batch-file.js';
import type { ClientSettings } from './client-settings.js';
import { UsageError } from './usage-error.js';

/** How often a request is sent that finds the server busy, limited, or gone for a moment. */
const ATTEMPTS_MAX = 5;
const RETRY_AFTER_MS = 1_000;
const RETRY_AFTER_MAX_MS = 120_000;
const STATUSES_TO_RETRY: readonly number[] = [429, 503];
/** What the key or the address decides, the same for every file. */
const STATUSES_OF_SETTINGS: readonly number[] = [401, 403, 404, 405];

/** What became of a batch; `mistakes` are lines to follow the file's name. */
export type Outcome = { kind: 'stored' } | { kind: 'already' } | { kind: 'rejected'; mistakes: string[] };

/** The members of problem+json that are read here; none is sure to be there, for a proxy may have answered. */
interface ProblemBody {
  title?: string;
  detail?: string;
  errors?: { pointer?: string; parameter?: string; detail?: string }[];
  error_count?: number;
}

interface Reply {
  status: number;
  /** The number and its words, for an answer that says no more. */
  statusLine: string;
  retryAfter: string;
  /** The answer's JSON; an empty one stands for an answer that is none of ours. */
  body: ProblemBody & { body_limit_bytes?: number };
}

/** Posts batches to a server. @throws UsageError when the server cannot be reached, or the key may not post */
export class BatchClient {
  /** Not known before the server has answered once. */
  private bodyLimitBytes: number | undefined;

  constructor(
    private readonly settings: ClientSettings,
    private readonly say: (line: string) => void,
  ) {}

  /**
   * Asks for the limits, and whether the key may post, before anything large is sent: a server that refuses a body
   * half-way hangs up, and its answer may be lost on the way.
   */
  async open(stop: AbortSignal): Promise<void> {
    const limits = await this.send('GET', '/limits', undefined, stop);
    if (limits.body.body_limit_bytes === undefined) throw this.refusal(limits);
    this.bodyLimitBytes = limits.body.body_limit_bytes;
    const post = await this.send('POST', '/batches', Buffer.alloc(0), stop);
    if (STATUSES_OF_SETTINGS.includes(post.status)) throw this.refusal(post);
  }

  /** Stores the batch; one that is there already, whole, is no mistake. */
  async post({ bytes, objectCount }: BatchFile, stop: AbortSignal): Promise<Outcome> {
    const limit = this.bodyLimitBytes ?? Infinity;
    if (bytes.length > limit) {
      const figures = `${bytes.length.toLocaleString('en')} bytes, and BODY_LIMIT_BYTES is ${limit.toLocaleString('en')}`;
      return { kind: 'rejected', mistakes: [`Over a limit: the batch has ${figures}; see /api/v1/limits.`] };
    }
    const reply = await this.send('POST', '/batches', bytes, stop);
    if (reply.status < 300) return { kind: 'stored' };
    if (reply.status < 400 || STATUSES_OF_SETTINGS.includes(reply.status)) throw this.refusal(reply);
    if (reply.status === 409 && isWholeConflict(reply.body, objectCount)) return { kind: 'already' };
    return { kind: 'rejected', mistakes: mistakesOf(reply) };
  }

  private async send(method: string, path: string, body: Buffer | undefined, stop: AbortSignal): Promise<Reply> {
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      let waitMs = RETRY_AFTER_MS;
      try {
        const reply = await this.sendOnce(method, path, body, stop);
        if (!STATUSES_TO_RETRY.includes(reply.status)) return reply;
        if (attempt === ATTEMPTS_MAX) throw this.refusal(reply);
        reason = reply.body.detail ?? reply.statusLine;
        waitMs = retryAfterMs(reply);
      } catch (error) {
        if (stop.aborted || error instanceof UsageError) throw error;
        reason = causeOf(error);
        // Once more is safe even when the first was stored: its ids exist then, which counts as stored. But a server
        // that has never answered is just not there.
        if (this.bodyLimitBytes === undefined || attempt === ATTEMPTS_MAX) {
          throw new UsageError(`cannot reach ${this.settings.origin}: ${reason}`);
        }
      }
      this.say(`waiting ${String(Math.ceil(waitMs / 1000))} s: ${reason}`);
      await sleep(waitMs, undefined, { signal: stop });
    }
  }

  private async sendOnce(method: string, path: string, body: Buffer | undefined, stop: AbortSignal): Promise<Reply> {
    const response = await fetch(`${this.settings.origin}/api/v1${path}`, {
      method,
      headers: { 'X-Api-Key': this.settings.key, ...(body && { 'Content-Type': 'application/json' }) },
      body: (body ?? null) as Uint8Array<ArrayBuffer> | null,
      // Followed, it would turn the POST into a GET.
      redirect: 'manual',
      signal: stop,
    });
    const { status, statusText, headers } = response;
    const text = await response.text();
    const isJson = /^application\/(?:problem\+)?json\b/.test(headers.get('content-type') ?? '');
    return {
      status,
      statusLine: `${String(status)} ${statusText}`.trim(),
      retryAfter: headers.get('retry-after') ?? '',
      body: isJson ? (JSON.parse(text) as Reply['body']) : {},
    };
  }

  private refusal({ status, statusLine, body: { title, detail = '' } }: Reply): UsageError {
    const { origin } = this.settings;
    if (title !== undefined) return new UsageError(`${origin} answers ${String(status)}: ${title}: ${detail}`);
    return new UsageError(`${origin} answers ${statusLine}, which is not the answer of a Stowage server`);
  }
}

/** The batch's own id exists and so does the id of each of its objects: it was stored before. */
function isWholeConflict(
  { errors = [], error_count: count = errors.length }: ProblemBody,
  objectCount: number,
): boolean {
  return errors[0]?.pointer === '/batch_id' && count === objectCount + 1;
}

function mistakesOf({ statusLine, body }: Reply): string[] {
  const { title = statusLine, detail, errors = [], error_count: count = errors.length } = body;
  if (errors.length === 0) return [detail === undefined ? title : `${title}: ${detail}`];
  const mistakes = errors.map((error) => `${error.pointer ?? error.parameter ?? ''}: ${error.detail ?? title}`);
  const more = count - errors.length;
  return more > 0 ? [...mistakes, `and ${String(more)} more, which the server does not list`] : mistakes;
}

function retryAfterMs({ retryAfter }: Reply): number {
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
  return ms > 0 ? Math.min(ms, RETRY_AFTER_MAX_MS) : RETRY_AFTER_MS;
}

/** fetch says "fetch failed"; what failed is its cause, or the first of several addresses that were tried. */
function causeOf(error: unknown): string {
  const { cause = error } = error as Error;
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  return first instanceof Error ? first.message : String(first);
}
