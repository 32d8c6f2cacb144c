import { ExactNumber, type ExactPair, type ExactValue } from './exact-json.js';
import { indexNumber, type IndexNumber } from './index-number.js';
import { isLongText, PATH_BYTES_MAX, TermKind } from './term-kind.js';

/** Receives the terms of one object; the same term may come several times. */
export type TermVisitor = (path: string, kind: TermKind, value: TermValue) => void;

/** The value of a term of the kind `number` or `text`; null for other kinds. */
export type TermValue = IndexNumber | null;

/**
 * An object with more terms is not indexed: it stays among the pending objects, which every query reads. A list of numbers of
 * 64 MiB would otherwise become millions of entries.
 */
export const TERMS_MAX = 10_000;

/** The most that one value of a list or an object adds to the number of terms. */
export const TERMS_PER_VALUE = 2;

/**
 * Calls `visit` for every term of an object:
 *
 * - its keys, and the paths of members of objects under them (`owner.city`). A list has the paths of its elements, so that
 *   `owner.city` also leads into a list of objects under `owner`;
 * - its values at each path: scalars, and the scalars that are elements of a list. Deeper lists are structures only.
 *
 * @returns false where the object has more than `TERMS_MAX` terms; some of them have been visited
 */
export function visitTerms(pairs: readonly ExactPair[], visit: TermVisitor): boolean {
  const state: Visit = { visit, terms: 0 };
  for (const { key, value } of pairs) {
    if (!visitPath(state, key, TermKind.key, value)) return false;
  }
  return true;
}

interface Visit {
  visit: TermVisitor;
  terms: number;
}

function visitPath(state: Visit, path: string, kind: TermKind, value: ExactValue): boolean {
  // A code unit of UTF-16 has at most three bytes in UTF-8.
  if (path.length * 3 > PATH_BYTES_MAX && Buffer.byteLength(path) > PATH_BYTES_MAX) return true;
  if ((state.terms += TERMS_PER_VALUE) > TERMS_MAX) return false;
  state.visit(path, kind, null);
  return visitValue(state, path, value, true);
}

function visitValue(state: Visit, path: string, value: ExactValue, mayBeList: boolean): boolean {
  const { visit } = state;
  switch (typeof value) {
    case 'string':
      visitText(visit, path, value);
      return true;
    case 'number':
      visit(path, TermKind.number, value);
      return true;
    case 'boolean':
      visit(path, value ? TermKind.true : TermKind.false, null);
      return true;
    default:
  }
  if (value === null) {
    visit(path, TermKind.null, null);
    return true;
  }
  if (value instanceof ExactNumber) {
    const number = indexNumber(value.text);
    visit(path, number === null ? TermKind.long : TermKind.number, number);
    return true;
  }
  visit(path, TermKind.structure, null);
  if (isList(value)) {
    if (!mayBeList) return true;
    for (const element of value) {
      if (++state.terms > TERMS_MAX || !visitValue(state, path, element, false)) return false;
    }
    return true;
  }
  for (const [name, member] of Object.entries(value)) {
    // A filter cannot name it: a dot in its key is a step to a member.
    if (name.includes('.')) continue;
    if (!visitPath(state, `${path}.${name}`, TermKind.member, member)) return false;
  }
  return true;
}

function visitText(visit: TermVisitor, path: string, text: string): void {
  const isLong = isLongText(text);
  visit(path, isLong ? TermKind.long : TermKind.text, isLong ? null : text);
}

function isList(
  value: readonly ExactValue[] | { readonly [name: string]: ExactValue },
): value is readonly ExactValue[] {
  return Array.isArray(value);
}
