import type { Queryable } from '#database';

/** Stores the receipt of a write in the transaction of the write. */
export type Note<Result> = (tx: Queryable, result: Result) => Promise<void>;
