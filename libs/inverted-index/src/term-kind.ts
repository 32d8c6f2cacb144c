import { SEALED_PREFIX } from '#encryption';

/**
 * What a term of a path is about. The numbers are stored in `index_blocks.kind`.
 *
 * A path is the key of a pair, or for a member of an object under it the key and the names of the members, joined by dots.
 */
export const TermKind = {
  /** The object has a pair with this key. */
  key: 0,
  null: 1,
  false: 2,
  true: 3,
  number: 4,
  text: 5,
  /** A number or text that is too long for an index, or an encrypted value: only the object itself shows its value. */
  long: 6,
  /** A list or an object as a whole; its parts have terms of their own. */
  structure: 7,
  /** The path leads to a member of an object, not to a pair. */
  member: 8,
} as const;

export type TermKind = (typeof TermKind)[keyof typeof TermKind];

/**
 * The longest path and the longest text in an index, in bytes. A key of 255 characters has at most 1,020. An entry of a
 * PostgreSQL btree has at most 2,704.
 */
export const PATH_BYTES_MAX = 1_020;
export const TEXT_BYTES_MAX = 1_000;

/**
 * Whether the index has no entry with this text. An encrypted value is such a text, because it would take room and nobody looks for it.
 * So is every text that begins like one.
 */
export function isLongText(text: string): boolean {
  // A code unit of UTF-16 has at most three bytes in UTF-8.
  if (text.length * 3 > TEXT_BYTES_MAX && Buffer.byteLength(text) > TEXT_BYTES_MAX) return true;
  return text.startsWith(SEALED_PREFIX);
}

/** The same in SQL. @param text an expression of the type text */
export function isLongTextSql(text: string): string {
  return `(octet_length(${text}) > ${String(TEXT_BYTES_MAX)} OR starts_with(${text}, '${SEALED_PREFIX}'))`;
}

/** The most significant digits of a number in an index. */
export const DIGITS_MAX = 200;
