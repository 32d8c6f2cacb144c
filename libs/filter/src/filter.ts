/** A JSON value as text, with all digits: `"shoe"`, `42`, `0.10`, `null`, `["a"]`. Text has no unnecessary escapes. */
export type JsonText = string;

/**
 * A condition on an object. The tree is closed: a plan or a translation handles every kind. It is exact: nothing but the tree
 * decides which objects match.
 */
export type Filter =
  | { kind: 'and'; of: readonly Filter[] }
  | { kind: 'or'; of: readonly Filter[] }
  | { kind: 'not'; of: Filter }
  | ValueFilter
  | { kind: 'batch'; batchId: string }
  | { kind: 'subject'; subject: string }
  /** `subject` begins with this text. */
  | { kind: 'subject_prefix'; prefix: string }
  /** `observed_at` is in [from, until); RFC 3339, null is unbounded. */
  | { kind: 'observed'; from: string | null; until: string | null };

/**
 * At least one value of the key passes the test. The values of a key are those of all its pairs and, of a value that is an
 * array, also its elements; see `keyPaths` for a key with dots.
 */
export interface ValueFilter {
  kind: 'value';
  /** Null: any key. */
  key: string | null;
  /** Whether a dot in the key is only a character of it, not also a step into a nested value. */
  isLiteral: boolean;
  test: ValueTest;
}

/**
 * A test of one value. Numbers compare with numbers by value, text with text by code point; a value of another type fails.
 * Each bound of a range is a filter of its own, because another value of the key may meet it.
 */
export type ValueTest =
  | { op: 'exists' }
  | { op: 'eq'; value: JsonText }
  | { op: 'in'; values: readonly JsonText[] }
  /** The value is a number or a text. */
  | { op: 'gt' | 'gte' | 'lt' | 'lte'; value: JsonText }
  /** The value is a text that begins with this one, or contains it. */
  | { op: 'prefix' | 'contains'; text: string };

/** The objects that have this key, literally. */
export function hasKey(key: string): ValueFilter {
  return { kind: 'value', key, isLiteral: true, test: { op: 'exists' } };
}

/** All of these conditions, without an `and` inside an `and`. */
export function allOf(filters: readonly Filter[]): Filter {
  const of = filters.flatMap(conjunctsOf);
  return of.length === 1 && of[0] !== undefined ? of[0] : { kind: 'and', of };
}

/** The conditions that have to hold together: those of an `and`, or the filter itself. */
export function conjunctsOf(filter: Filter): readonly Filter[] {
  return filter.kind === 'and' ? filter.of : [filter];
}

/** True for a filter without conditions, which matches every object. */
export function isEverything(filter: Filter): boolean {
  return conjunctsOf(filter).length === 0;
}
