import { ERRORS_LISTED_MAX, type InputError, type Problem } from '#http';
import type { NewObjectRow } from '#store';

/** A validated object with its place in the request. */
export interface CheckedObject extends NewObjectRow {
  /** The index in a list, or the number of a line. */
  place: number;
}

/** Objects, some at a time. */
export type Chunks = AsyncIterable<CheckedObject[]> | Iterable<CheckedObject[]>;

/** The objects of a batch that somebody sends, in the order sent. */
export interface BatchSource {
  /** How often it can be read, and how fast: a stream once, `slow` for as long as its client sends. */
  readonly reading: 'again' | 'once' | 'slow';
  /** How many objects were sent; undefined where only its end tells. */
  readonly count: number | undefined;
  /**
   * Checked objects, some at a time. Throws a Problem, or `BadInput` where the rest has to be read, or all of it otherwise,
   * to say what is wrong.
   */
  chunks(): Chunks;
  /** JSON Pointer to the object at a place. */
  pointerOf(place: number): string;
  /** What was left out so far, where the batch may be stored in part. */
  readonly rejected: Rejected;
}

/** Thrown at the first mistake, so that the writer can let go of the database before it is found out what is wrong. */
export class BadInput extends Error {
  override name = 'BadInput';

  /** @param readOn throws a Problem that tells all mistakes, or gives the batch again where there is none after all */
  constructor(readonly readOn: () => BatchSource | Promise<BatchSource>) {
    super('a mistake in the input');
  }
}

/** Mistakes, the first 100 of them in full, and how many objects have any. */
export class Rejected {
  readonly errors: InputError[] = [];
  errorCount = 0;
  objects = 0;

  copy(): Rejected {
    const copy = new Rejected();
    copy.errors.push(...this.errors);
    copy.errorCount = this.errorCount;
    copy.objects = this.objects;
    return copy;
  }

  /** Adds the mistakes of one object. */
  add(errors: readonly InputError[], errorCount = errors.length): void {
    this.errors.push(...errors.slice(0, ERRORS_LISTED_MAX - this.errors.length));
    this.errorCount += errorCount;
    this.objects++;
  }
}

/** The mistakes of one object, each with its place in the whole; what says no place is about the object itself. */
export function errorsOf(problem: Problem, parent: string): InputError[] {
  if (problem.errors.length === 0) {
    // What JsonBody says of a body is true of a line, which is always its first.
    const detail = problem.message.replace(/^The body /, '').replace(' at line 1, column ', ' at column ');
    return [{ pointer: parent, detail }];
  }
  return problem.errors.map((error) => ({
    pointer: parent + ('pointer' in error ? error.pointer : ''),
    detail: error.detail,
  }));
}

/** JSON Pointer to an object in a list. */
export function objectPointer(place: number): string {
  return `/objects/${String(place)}`;
}
