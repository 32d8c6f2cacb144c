import type { Bucket } from './bucket.js';

export const OPS = ['count', 'sum', 'avg', 'min', 'max', 'p50', 'p95'] as const;
export type Op = (typeof OPS)[number];

/** How objects are grouped. */
export type Dimension =
  | { kind: 'time'; bucket: Bucket; timeZone: string }
  | { kind: 'subject' }
  /** One group for each value of a key. */
  | { kind: 'key'; key: string };

/** An aggregate over the objects that a filter matches. */
export interface Aggregate {
  op: Op;
  /** The key whose numeric values are computed; null only for a count of objects. */
  key: string | null;
  /** Null for one result over all objects. */
  by: Dimension | null;
  /** A second level of grouping, below `by`. */
  series: Dimension | null;
}

/** The result of one group. */
export interface GroupResult {
  /** A JSON number with all digits; null where no value exists. */
  value: string | null;
  /** The number of values; without a key the number of objects. */
  count: number;
}
