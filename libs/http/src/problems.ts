/**
 * The problems that the API responds with (RFC 9457): slug, status and title. docs/problems.md explains each of them under a
 * heading of the same slug; a test keeps the table and the page equal.
 */
export const PROBLEMS = {
  'malformed-request': { status: 400, title: 'Malformed request' },
  'invalid-body': { status: 400, title: 'Invalid request body' },
  'invalid-query': { status: 400, title: 'Invalid query parameter' },
  'invalid-header': { status: 400, title: 'Invalid header' },
  'invalid-cursor': { status: 400, title: 'Invalid cursor' },
  'invalid-path': { status: 400, title: 'Invalid path' },
  'idempotency-key-reused': { status: 400, title: 'Idempotency-Key reused' },
  unauthenticated: { status: 401, title: 'Unauthorized' },
  forbidden: { status: 403, title: 'Forbidden' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'not-acceptable': { status: 406, title: 'Not acceptable' },
  'request-timeout': { status: 408, title: 'Request timeout' },
  conflict: { status: 409, title: 'Conflict' },
  'job-not-failed': { status: 409, title: 'Job has not failed' },
  'delivery-not-failed': { status: 409, title: 'Delivery has not failed' },
  'batch-not-empty': { status: 409, title: 'Batch not empty' },
  'project-not-empty': { status: 409, title: 'Project not empty' },
  'max-affected-exceeded': { status: 409, title: 'Too many objects match' },
  'key-not-active': { status: 409, title: 'Key not active' },
  'last-operator-key': { status: 409, title: 'Last operator key' },
  'idempotency-in-progress': { status: 409, title: 'Idempotency-Key in use' },
  'changes-expired': { status: 410, title: 'Changes no longer kept' },
  'precondition-failed': { status: 412, title: 'Precondition failed' },
  'too-large': { status: 413, title: 'Content too large' },
  'uri-too-long': { status: 414, title: 'URI too long' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  'precondition-required': { status: 428, title: 'Precondition required' },
  'rate-limited': { status: 429, title: 'Rate limit exceeded' },
  'quota-exceeded': { status: 429, title: 'Quota exceeded' },
  'headers-too-large': { status: 431, title: 'Request header fields too large' },
  internal: { status: 500, title: 'Internal server error' },
  unavailable: { status: 503, title: 'Service unavailable' },
  'insufficient-storage': { status: 507, title: 'Insufficient storage' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemSlug = keyof typeof PROBLEMS;

/** An error in the input: its location, and what is wrong there, to follow the location: "must be …". */
export type InputError =
  | { /** JSON Pointer (RFC 6901) into the body. */ pointer: string; detail: string }
  | { /** Name of the query parameter. */ parameter: string; detail: string }
  | { /** Name of the header. */ header: string; detail: string };

/** Seconds after which a client may retry: space is freed, and limits are raised, by people, who take longer than a server. */
const RETRY_AFTER: Partial<Record<ProblemSlug, string>> = {
  unavailable: '5',
  'insufficient-storage': '60',
  'quota-exceeded': '3600',
};

/** How many errors a response lists; `error_count` has the number of all. */
export const ERRORS_LISTED_MAX = 100;

/** Collects errors: the first 100 are listed, all are counted. */
export class ValidationErrors {
  readonly listed: InputError[] = [];
  count = 0;
  /** Whether the rest of the input was not validated, so that it may have more errors. */
  isCountMinimum = false;

  constructor(...errors: readonly InputError[]) {
    for (const error of errors) this.add(error);
  }

  /** No more errors are listed; further ones are only counted. */
  get isFull(): boolean {
    return this.listed.length >= ERRORS_LISTED_MAX;
  }

  add(error: InputError): void {
    this.count++;
    if (!this.isFull) this.listed.push(error);
  }

  addAll({ listed, count }: ValidationErrors): void {
    this.listed.push(...listed.slice(0, ERRORS_LISTED_MAX - this.listed.length));
    this.count += count;
  }

  problem(slug: 'invalid-body' | 'invalid-query' | 'invalid-header' | 'conflict'): Problem {
    let detail = validationSummary(this.listed, this.count);
    if (this.isCountMinimum) {
      detail = this.count === 1 ? `${detail} The rest of the body was not validated.` : `At least ${detail}`;
    }
    const extra = this.isCountMinimum ? { error_count_is: 'at_least' } : {};
    return new Problem(slug, { detail, errors: this.listed, errorCount: this.count, extra });
  }
}

/** The `detail` of validation errors: the text of a single one with its location, otherwise their number. */
export function validationSummary(errors: readonly InputError[], count = errors.length): string {
  const [first] = errors;
  if (first === undefined || count !== 1) return `${String(count)} validation errors.`;
  return `${locationOf(first)} ${first.detail}.`;
}

function locationOf(error: InputError): string {
  if ('parameter' in error) return error.parameter;
  if ('header' in error) return error.header;
  return error.pointer === '' ? 'The body' : error.pointer;
}

interface ProblemOptions {
  /** What is wrong with this request; public, so without internals. */
  detail: string;
  errors?: readonly InputError[];
  /** The number of errors, where `errors` does not hold all of them; default its length. */
  errorCount?: number;
  headers?: Readonly<Record<string, string>>;
  /** Further members of the response. */
  extra?: Readonly<Record<string, unknown>>;
  /** Further members for the roles that may read what the project stores; a job, which its producer may read, has none of them. */
  readerExtra?: Readonly<Record<string, unknown>>;
  /** Logged, never sent. */
  cause?: unknown;
}

/** An error response. `detail` is public, `cause` is logged only. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly title: string;
  readonly errors: readonly InputError[];
  readonly errorCount: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly readerExtra: Readonly<Record<string, unknown>>;

  constructor(
    readonly slug: ProblemSlug,
    options: ProblemOptions,
  ) {
    super(options.detail, { cause: options.cause });
    ({ status: this.status, title: this.title } = PROBLEMS[slug]);
    this.errors = (options.errors ?? []).slice(0, ERRORS_LISTED_MAX);
    this.errorCount = options.errorCount ?? options.errors?.length ?? 0;
    const retryAfter = RETRY_AFTER[slug];
    this.headers = { ...(retryAfter === undefined ? {} : { 'Retry-After': retryAfter }), ...options.headers };
    this.extra = options.extra ?? {};
    this.readerExtra = options.readerExtra ?? {};
  }
}

const objectsRead = new WeakMap<object, number>();

/** Records how many objects of a request were read before an error: reading and validating them is most of the work of a write. */
export function setObjectsRead(error: unknown, count: number): void {
  if (error instanceof Error) objectsRead.set(error, count);
}

/** The number of items that a request that failed costs: the objects that were read; 1 where the server failed. */
export function chargedItemsOf(error: unknown, { status }: Problem): number {
  const count = error instanceof Error && status < 500 ? objectsRead.get(error) : undefined;
  return Math.max(1, count ?? 1);
}
