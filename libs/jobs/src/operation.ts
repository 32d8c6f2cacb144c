import { JsonBody, type NdjsonBody } from '#http';
import { type Queryable } from '#database';

/** What came of an operation; its route answers with it, and a job keeps it. */
export interface Outcome {
  status: number;
  /** JSON as it goes out: numbers in it keep every digit. */
  text: string;
  headers?: Readonly<Record<string, string>>;
  /** How many objects it is about, for the log. */
  items?: number;
}

/**
 * Writes down, in the transaction of the effect itself and as its last statement, what came of it: so that the effect and
 * the note of it are there together or not at all. Throws when the effect must not be, and is rolled back with it.
 */
export type Receipt = (tx: Queryable, outcome: Outcome) => Promise<void>;

/** When a request arrived; a job that runs later, or again, has that of the request it was. */
export interface Arrival {
  /** In microseconds since 1970. */
  at: number;
  /** A sequence number, which tells it from all others of the same microsecond, in this process or another. */
  id: string;
}

/** What a write is about, apart from its body. All but its arrival, which a job's number tells, has to survive JSON. */
export interface WriteInput {
  /** The ids in the address, by the names of its parameters. */
  params: Readonly<Record<string, string>>;
  /** The query's options, checked. */
  query: Readonly<Record<string, unknown>>;
  ifMatch?: string | undefined;
  arrival: Arrival;
  /** Where the API is as the client sees it, for the URLs in the answer. */
  base: string;
}

/** One call of an operation. */
export interface Write extends WriteInput {
  projectId: number;
  body: JsonBody | NdjsonBody;
  receipt?: Receipt | undefined;
}

/**
 * A write that its route runs at once, and that a worker can run later from what was kept of the request.
 * `run` throws a Problem for what the client has to mend, and anything else for a fault that may pass.
 */
export interface Operation {
  /** Kept with the job, so it never changes. */
  readonly name: string;
  run(write: Write): Promise<Outcome>;
}

/** An id in the address that the route has; in the address of a job's request, too. */
export function paramOf({ params }: Pick<WriteInput, 'params'>, name: string): string {
  const value = params[name];
  if (value === undefined) throw new Error(`the route has no parameter ${name}`);
  return value;
}

/** The body of a write whose route takes nothing but JSON. */
export function jsonBodyOf({ body }: Pick<Write, 'body'>): JsonBody {
  if (body instanceof JsonBody) return body;
  throw new Error('a route that takes JSON got something else');
}
