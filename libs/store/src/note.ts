import type { Queryable } from '#database';

/** Writes down what came of a write, in its transaction. */
export type Note<Result> = (tx: Queryable, result: Result) => Promise<void>;
