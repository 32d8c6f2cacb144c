/** Sends a request, as `fetch` does. */
export type Fetch = (request: Request) => Promise<Response>;

/** A longer Retry-After is not waited for: a quota, for example, is full until objects are deleted. */
const RETRY_AFTER_MAX_MS = 120_000;

const RETRYABLE_STATUSES: readonly number[] = [429, 503];

const REPEATABLE_METHODS: readonly string[] = ['GET', 'HEAD', 'PUT', 'DELETE'];

/**
 * Repeats a request that the server rejected with 429 or 503, after the time in Retry-After. Only requests that may be repeated:
 * those that are idempotent by their method, and those with an Idempotency-Key.
 * @param retries how often at most
 */
export function withRetries(send: Fetch, retries: number): Fetch {
  return async (request) => {
    const isRepeatable = REPEATABLE_METHODS.includes(request.method) || request.headers.has('Idempotency-Key');
    for (let left = isRepeatable ? retries : 0; left > 0; left--) {
      // A request can be sent once: the body of the original stays unread.
      const response = await send(request.clone());
      const waitMs = retryAfterMs(response);
      if (waitMs === undefined) return response;
      await response.body?.cancel();
      await sleep(waitMs, request.signal);
    }
    return send(request);
  };
}

/** The time after which to repeat a request, in milliseconds; undefined where it should not be repeated. */
function retryAfterMs({ status, headers }: Response): number | undefined {
  const text = headers.get('Retry-After');
  if (!RETRYABLE_STATUSES.includes(status) || text === null) return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return waitMs <= RETRY_AFTER_MAX_MS ? Math.max(0, waitMs) : undefined;
}

/** @throws the reason of the signal when it is aborted */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as `fetch` does
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
