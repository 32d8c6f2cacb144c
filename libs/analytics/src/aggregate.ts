import type { Bucket } from './bucket.js';

export const OPS = ['count', 'sum', 'avg', 'min', 'max', 'p50', 'p95'] as const;
export type Op = (typeof OPS)[number];

/** What objects are put together by. */
export type Dimension =
  | { kind: 'time'; bucket: Bucket; timeZone: string }
  | { kind: 'subject' }
  /** Each value of a key. */
  | { kind: 'key'; key: string };

/** What is to be computed of the objects that a filter finds. */
export interface Aggregate {
  op: Op;
  /** The key whose numeric values are computed; null only for a count of objects. */
  key: string | null;
  /** Null for all in one. */
  by: Dimension | null;
  /** One more level below `by`. */
  series: Dimension | null;
}

/** What is computed of one group. */
export interface Computed {
  /** A JSON number to the last digit; null where there was nothing to compute. */
  value: string | null;
  /** How many values, or objects where no key was asked for. */
  count: number;
}
