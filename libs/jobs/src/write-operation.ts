import type { Actor } from '#audit';
import { JsonBody, type RequestStream, type Preconditions, type Role } from '#http';
import { type Queryable } from '#database';

/** A write request without its HTTP connection: everything that an operation needs to run now, or later as a job. */
export interface WriteRequest {
  projectId: number;
  /** Role of the key that sent the request; a response to a producer holds no stored data. */
  role: Role;
  /** Who sent the request, for the audit log. */
  actor: Actor;
  /** Path parameters by name, percent-decoded. */
  params: Readonly<Record<string, string>>;
  /** Validated query parameters. */
  query: Readonly<Record<string, unknown>>;
  body: JsonBody | RequestStream;
  /** Checked when the operation runs; those of a job when the job runs. */
  preconditions: Preconditions;
  /** When the request arrived, in microseconds since 1970. A job has the time of its request. */
  receivedAtMicros: number;
  /** Sequence number of the request, unique in the project; for a job, its number. */
  requestSeq: string;
  /** URL of the API as the client sees it, for URLs in the response. */
  baseUrl: string;
  /** Frees the slot of the request, for an operation that waits for a limit of its own; absent for a job. */
  releaseSlot?: () => void;
}

/** The successful result of an operation: the response of its route, or the result of its job. */
export interface WriteResponse {
  status: number;
  /** JSON text, so that numbers keep every digit. */
  text: string;
  headers?: Readonly<Record<string, string>>;
  /** Number of objects the response is about, for the access log. */
  items?: number;
  /** Number of objects that the request contained, which the rate limits count; default `items`. */
  chargedItems?: number;
  /** Ids of objects for the log, where neither the path of the request nor `Location` has them. */
  ids?: readonly string[];
}

/**
 * Records the response in the transaction that stores the effect, as its last statement but that of the audit log, so that effect
 * and receipt are committed together or not at all. It throws where the effect must not be committed, which rolls the
 * transaction back.
 */
export type Receipt = (tx: Queryable, response: WriteResponse) => Promise<void>;

/** A write that a route runs at once and a worker runs later from the stored request. */
export interface WriteOperation {
  /** Stored with each job, so it never changes. */
  readonly name: string;
  /**
   * @param receipt called once in the transaction of the effect; an operation that stores nothing need not call it
   * @throws Problem for errors of the client; any other error is a server error, after which the operation may be retried
   */
  run(request: WriteRequest, receipt?: Receipt): Promise<WriteResponse>;
}

/** A path parameter. @throws Error where the route has no such parameter */
export function pathParam({ params }: Pick<WriteRequest, 'params'>, name: string): string {
  const value = params[name];
  if (value === undefined) throw new Error(`the route has no path parameter ${name}`);
  return value;
}

/** The body of a request whose route accepts only JSON. */
export function jsonBody({ body }: Pick<WriteRequest, 'body'>): JsonBody {
  if (body instanceof JsonBody) return body;
  throw new Error('the body of a route that accepts only JSON is not JSON');
}
