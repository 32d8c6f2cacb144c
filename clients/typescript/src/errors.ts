import type { components } from './schema.js';

type ProblemDto = components['schemas']['ProblemDto'];

/** The body of an error response (RFC 9457). Only the server itself sends all members; a proxy may have sent the response. */
export type Problem = Pick<ProblemDto, 'type' | 'title' | 'status' | 'detail'> & Partial<ProblemDto>;

/** One error of a request with its place: a JSON Pointer into the body, or the name of a query parameter or header. */
export type ProblemError = NonNullable<ProblemDto['errors']>[number];

/** An error response of the server, or a request that had no response. The message is its title and detail. */
export class StowageError extends Error {
  override readonly name = 'StowageError';

  constructor(
    readonly problem: Problem,
    /** The response, whose body has been read; undefined for the problem of a job, and without a response. */
    readonly response?: Response,
    options?: ErrorOptions,
  ) {
    super(problem.detail === '' ? problem.title : `${problem.title}: ${problem.detail}`, options);
  }

  /** The HTTP status; 0 without a response. */
  get status(): number {
    return this.problem.status;
  }

  /** The name of the problem, such as `not-found`: the fragment of its type. Empty for a response of a proxy, and without a response. */
  get slug(): string {
    return this.problem.type.split('#')[1] ?? '';
  }

  /** The validation errors; empty for other problems. */
  get errors(): readonly ProblemError[] {
    return this.problem.errors ?? [];
  }
}

/** The error for a response whose status is not 2xx. Reads the body. */
export async function errorOf(response: Response): Promise<StowageError> {
  const { status, statusText } = response;
  const base = {
    type: 'about:blank',
    title: statusText === '' ? `HTTP ${String(status)}` : statusText,
    status,
    detail: '',
  };
  const isProblem = response.headers.get('Content-Type')?.startsWith('application/problem+json') === true;
  const problem = isProblem ? parseProblem(await response.text().catch(() => '')) : undefined;
  return new StowageError({ ...base, ...problem }, response);
}

/** The error for a request without a complete response. @param cause the error of `fetch` */
export function connectionError(url: string, cause: unknown): StowageError {
  const origin = URL.canParse(url) ? ` from ${new URL(url).origin}` : '';
  const detail = `No response${origin}. Check that the server runs, then try again.`;
  return new StowageError({ type: 'about:blank', title: 'The server does not respond', status: 0, detail }, undefined, {
    cause,
  });
}

/** @returns undefined for a body that was cut off */
function parseProblem(text: string): Partial<Problem> | undefined {
  try {
    return JSON.parse(text) as Partial<Problem>;
  } catch {
    return undefined;
  }
}
