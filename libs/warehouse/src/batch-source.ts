import { ERRORS_LISTED_MAX, type Problem, type InputError } from '#platform';

/** An object that was checked and can be stored. */
export interface CheckedObject {
  /** Where it stands in what was sent: the index in a list, the number of a line. */
  place: number;
  objectId: string;
  subject: string | null;
  /** null for when it arrives. */
  observedAt: string | null;
  /** A JSON list of pairs: the client's own text wherever that is one. */
  data: string;
}

/** The objects of a batch that somebody sends, in the order sent. */
export interface BatchSource {
  /** It can be read only once, and for as long as its client sends. */
  readonly isStream: boolean;
  /** How many objects were sent; undefined where only its end tells. */
  readonly count: number | undefined;
  /**
   * Checked objects, some at a time; can be read once where it is a stream. Throws a Problem, or `BadInput` where there is
   * more to read before all mistakes are known.
   */
  chunks(): AsyncIterable<CheckedObject[]> | Iterable<CheckedObject[]>;
  /** JSON Pointer to the object at a place. */
  pointerOf(place: number): string;
  /** What was left out so far, where the batch may be stored in part. */
  readonly rejected: Rejected;
}

/** Thrown at the first mistake, so that the writer can let go of the database before the rest is read for more of them. */
export class BadInput extends Error {
  override name = 'BadInput';

  constructor(readonly readOn: () => Promise<Problem>) {
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
