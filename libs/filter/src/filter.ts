/** One JSON scalar as text, to the last digit: `"shoe"`, `42`, `0.10`, `true`, `null`. */
export type JsonScalarText = string;

/** What an object has to fulfil. */
export type Filter =
  | { kind: 'and'; of: readonly Filter[] }
  | { kind: 'or'; of: readonly Filter[] }
  /** Has a pair with this key, or this value, or both in one pair; null stands for any. */
  | { kind: 'pair'; key: string | null; value: JsonScalarText | null }
  | { kind: 'batch'; batchId: string }
  | { kind: 'subject'; subject: string }
  /** Observed at or after `from`, before `until`; RFC 3339, null is open. */
  | { kind: 'observed'; from: string | null; until: string | null };

/** True for a filter without conditions. */
export function isEverything(filter: Filter): boolean {
  return filter.kind === 'and' && filter.of.length === 0;
}
