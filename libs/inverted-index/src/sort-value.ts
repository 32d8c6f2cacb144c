import { valuePaths } from '#filter';
import { compareNumberTexts, indexNumber } from './index-number.js';
import { DIGITS_MAX, TermKind, TEXT_BYTES_MAX } from './term-kind.js';

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

/** By code point, as PostgreSQL's collation "C": JavaScript orders surrogates before U+E000 to U+FFFF. */
function compareTexts(left: string, right: string): number {
  if (/[\ud800-\uffff]/.test(left + right)) return Buffer.compare(Buffer.from(left), Buffer.from(right));
  return left < right ? -1 : 1;
}

/** A sort value as JSON; null for one that is too long. */
export function sortValueText({ kind, value }: SortValue): string {
  switch (kind) {
    case TermKind.false:
      return 'false';
    case TermKind.true:
      return 'true';
    case TermKind.number:
      return value;
    case TermKind.text:
      return JSON.stringify(value);
    case TermKind.long:
      return 'null';
  }
}

/** @param json a scalar, as `sortValueText` writes it */
export function parseSortValue(json: string): SortValue {
  switch (json) {
    case 'false':
      return { kind: TermKind.false, value: '' };
    case 'true':
      return { kind: TermKind.true, value: '' };
    case 'null':
      return LONG;
  }
  if (!json.startsWith('"')) return indexNumber(json) === null ? LONG : { kind: TermKind.number, value: json };
  const text = JSON.parse(json) as string;
  return Buffer.byteLength(text) > TEXT_BYTES_MAX ? LONG : { kind: TermKind.text, value: text };
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
  const paths = valuePaths({ key, isLiteral: false }).map((path) => `"${path.replace(/["\\]/g, '\\$&')}"`);
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
          CASE WHEN octet_length(v.value #>> '{}') > ${String(TEXT_BYTES_MAX)} THEN ${String(TermKind.long)} ELSE ${String(TermKind.text)} END
        END AS kind
      FROM unnest(${parameter}) AS p(path), jsonb_path_query(o.data, p.path) AS v(value)
    ) AS typed WHERE kind IS NOT NULL
    ORDER BY kind ${order}, number ${order}, text ${order} LIMIT 1`;
}
