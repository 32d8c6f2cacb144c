/** A JSON scalar as text, with all digits: `"shoe"`, `42`, `0.10`, `true`, `null`. */
export type JsonScalarText = string;

/** A condition on an object. */
export type Filter =
  | { kind: 'and'; of: readonly Filter[] }
  | { kind: 'or'; of: readonly Filter[] }
  /** The object has a pair with this key and this value; null matches any. */
  | { kind: 'pair'; key: string | null; value: JsonScalarText | null }
  | { kind: 'batch'; batchId: string }
  | { kind: 'subject'; subject: string }
  /** `observed_at` is in [from, until); RFC 3339, null is unbounded. */
  | { kind: 'observed'; from: string | null; until: string | null };

/** The conditions that have to hold together: those of an `and`, or the filter itself. */
export function conjunctsOf(filter: Filter): readonly Filter[] {
  return filter.kind === 'and' ? filter.of : [filter];
}

/** True for a filter without conditions, which matches every object. */
export function isEverything(filter: Filter): boolean {
  return conjunctsOf(filter).length === 0;
}
