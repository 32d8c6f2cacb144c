/**
 * Every kind of problem the API answers with (RFC 9457): slug, status and title.
 * `docs/problems.md` explains each under a heading of the same slug; a test keeps the two equal.
 */
export const PROBLEMS = {
  'malformed-request': { status: 400, title: 'The request could not be read' },
  'invalid-body': { status: 400, title: 'The body is not valid' },
  'invalid-query': { status: 400, title: 'A query parameter is not valid' },
  'invalid-header': { status: 400, title: 'A header is not valid' },
  'invalid-cursor': { status: 400, title: 'The cursor does not fit this request' },
  'invalid-path': { status: 400, title: 'The address is not valid' },
  'idempotency-key-reused': { status: 400, title: 'The Idempotency-Key belongs to another request' },
  unauthenticated: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'This key may not do that' },
  'not-found': { status: 404, title: 'There is no such thing here' },
  'method-not-allowed': { status: 405, title: 'This address does not take that method' },
  'not-acceptable': { status: 406, title: 'No such representation' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'The id exists already' },
  'job-not-failed': { status: 409, title: 'Only a failed job can be tried again' },
  'batch-not-empty': { status: 409, title: 'The batch still has objects' },
  'idempotency-in-progress': { status: 409, title: 'The first request with this Idempotency-Key still runs' },
  'precondition-failed': { status: 412, title: 'The thing has changed since you read it' },
  'too-large': { status: 413, title: 'Over a limit' },
  'uri-too-long': { status: 414, title: 'The address is too long' },
  'unsupported-media-type': { status: 415, title: 'This media type is not taken here' },
  'precondition-required': { status: 428, title: 'If-Match is required here' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  unavailable: { status: 503, title: 'Not available right now' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** One mistake in the input: where it is, and what is wrong there. */
export type InputError =
  | { /** JSON Pointer (RFC 6901) into the body. */ pointer: string; detail: string }
  | { /** Name of the query parameter. */ parameter: string; detail: string }
  | { /** Name of the header. */ header: string; detail: string };

/** Seconds after which a client may try again what is not available now. */
const RETRY_AFTER = { 'Retry-After': '5' };

/** At most so many mistakes are listed; `error_count` tells how many there are. */
export const ERRORS_LISTED_MAX = 100;

/** Mistakes as they are found: all of them are counted, the first ones listed. */
export class ValidationErrors {
  readonly listed: InputError[] = [];
  count = 0;

  constructor(...mistakes: readonly InputError[]) {
    for (const mistake of mistakes) this.add(mistake);
  }

  /** No more errors are listed; further ones are only counted. */
  get isFull(): boolean {
    return this.listed.length >= ERRORS_LISTED_MAX;
  }

  add(mistake: InputError): void {
    this.count++;
    if (!this.isFull) this.listed.push(mistake);
  }

  addAll({ listed, count }: ValidationErrors): void {
    this.listed.push(...listed.slice(0, ERRORS_LISTED_MAX - this.listed.length));
    this.count += count;
  }

  /** The refusal of what has them. */
  problem(slug: 'invalid-body' | 'invalid-query' | 'conflict'): Problem {
    return new Problem(slug, { detail: validationSummary(this.count), errors: this.listed, errorCount: this.count });
  }
}

interface ProblemOptions {
  /** What went wrong this time, for the client: never anything of the inside. */
  detail: string;
  errors?: readonly InputError[];
  /** How many mistakes there are in all, where `errors` does not hold every one; default its length. */
  errorCount?: number;
  headers?: Readonly<Record<string, string>>;
  /** More members of the answer, for problems that carry a figure. */
  extra?: Readonly<Record<string, unknown>>;
  /** Only logged. */
  cause?: unknown;
}

/** The one way to refuse a request. `detail` is public, `cause` is only logged. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly title: string;
  readonly errors: readonly InputError[];
  readonly errorCount: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(
    readonly slug: ProblemSlug,
    options: ProblemOptions,
  ) {
    super(options.detail, { cause: options.cause });
    ({ status: this.status, title: this.title } = PROBLEMS[slug]);
    this.errors = (options.errors ?? []).slice(0, ERRORS_LISTED_MAX);
    this.errorCount = options.errorCount ?? options.errors?.length ?? 0;
    this.headers = { ...(slug === 'unavailable' ? RETRY_AFTER : {}), ...options.headers };
    this.extra = options.extra ?? {};
  }
}

/** Says in one sentence how many mistakes follow. */
export function validationSummary(errors: number): string {
  return errors === 1 ? 'There is one mistake; see errors.' : `There are ${String(errors)} mistakes; see errors.`;
}
