import { valuePaths } from '#filter';
import { canonicalNumber } from '#json';
import { compareNumberTexts, indexNumber } from './index-number.js';
import { compareTexts } from './index-text.js';
import { DIGITS_MAX, isLongText, isLongTextSql, TermKind } from './term-kind.js';

/** The kinds of values that sort a list, in ascending order: booleans, numbers, text, and values that are too long to compare. */
type SortKind =
  typeof TermKind.false | typeof TermKind.true | typeof TermKind.number | typeof TermKind.text | typeof TermKind.long;

/** The value of an object that decides its place in a sorted list. */
export interface SortValue {
  kind: SortKind;
  /** A number or a text; empty for other kinds. */
  value: string;
}

/** Negative where the first value is lower. */
export function compareSortValues(left: SortValue, right: SortValue): number {
  if (left.kind !== right.kind) return left.kind - right.kind;
  if (left.value === right.value) return 0;
  return left.kind === TermKind.number
    ? compareNumberTexts(left.value, right.value)
    : compareTexts(left.value, right.value);
}

/** A sort value as a key of a cursor: a letter for its kind, and the value. */
export function sortValueKey({ kind, value }: SortValue): string {
  switch (kind) {
    case TermKind.false:
      return 'f';
    case TermKind.true:
      return 't';
    case TermKind.number:
      return `n${canonicalNumber(value) ?? '0'}`;
    case TermKind.text:
      return `s${value}`;
    case TermKind.long:
      return 'l';
  }
}

/** @param key as `sortValueKey` writes it */
export function parseSortKey(key: string): SortValue {
  const value = key.slice(1);
  switch (key.charAt(0)) {
    case 'f':
      return { kind: TermKind.false, value: '' };
    case 't':
      return { kind: TermKind.true, value: '' };
    case 'n':
      return indexNumber(value) === null ? LONG : { kind: TermKind.number, value };
    case 's':
      return isLongText(value) ? LONG : { kind: TermKind.text, value };
    default:
      return LONG;
  }
}

const LONG: SortValue = { kind: TermKind.long, value: '' };

/** The columns of a sort value in SQL; `kind` is NULL where an object has none. */
export interface SortValueRow {
  kind: SortKind;
  number: string | null;
  text: string | null;
}

export function sortValueOf({ kind, number, text }: SortValueRow): SortValue {
  return { kind, value: number ?? text ?? '' };
}

/** By which values objects are sorted. */
export interface SortKey {
  /** The key of the values; dots lead to members of nested objects. */
  key: string;
  /** Which value decides the place of an object that has several: the lowest one in an ascending list. */
  place: 'lowest' | 'highest';
}

/**
 * A subquery with the value that decides the place of `objects AS o`. No row for an object without a value.
 * @param values receives the values of its parameters
 */
export function sortValueSql({ key, place }: SortKey, values: unknown[]): string {
  // In lax mode, the elements of a scalar are the scalar itself.
  const elements = valuePaths({ key, isLiteral: false }).filter((path) => path.endsWith('[*]'));
  const paths = elements.map((path) => `"${path.replace(/["\\]/g, '\\$&')}"`);
  const parameter = `$${String(values.push(`{${paths.join()}}`))}::jsonpath[]`;
  const order = place === 'lowest' ? 'ASC' : 'DESC';
  const digits = `length(btrim(replace(ltrim(v.value #>> '{}', '-'), '.', ''), '0'))`;
  return `
    SELECT kind, CASE WHEN kind = ${String(TermKind.number)} THEN value::numeric END AS number,
      CASE WHEN kind = ${String(TermKind.text)} THEN (value #>> '{}') COLLATE "C" END AS text
    FROM (
      SELECT v.value, CASE jsonb_typeof(v.value)
        WHEN 'boolean' THEN CASE WHEN v.value = 'true' THEN ${String(TermKind.true)} ELSE ${String(TermKind.false)} END
        WHEN 'number' THEN CASE WHEN ${digits} > ${String(DIGITS_MAX)} THEN ${String(TermKind.long)} ELSE ${String(TermKind.number)} END
        WHEN 'string' THEN
          CASE WHEN ${isLongTextSql("v.value #>> '{}'")} THEN ${String(TermKind.long)} ELSE ${String(TermKind.text)} END
        END AS kind
      FROM unnest(${parameter}) AS p(path), jsonb_path_query(o.data, p.path) AS v(value)
    ) AS typed WHERE kind IS NOT NULL
    ORDER BY kind ${order}, number ${order}, text ${order} LIMIT 1`;
}
