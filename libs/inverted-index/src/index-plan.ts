import type { Filter, JsonText, ValueFilter } from '#filter';
import { indexNumber, numberOrder } from './index-number.js';
import type { SortValue } from './sort-value.js';
import { PATH_BYTES_MAX, TermKind, TEXT_BYTES_MAX } from './term-kind.js';

/**
 * The blocks that a condition needs of each segment:
 *
 * - `plain`: the block of a kind without values;
 * - `point`: the block that may have one value;
 * - `range`: the blocks with values from `low` to `high`, null for no bound, and the one after them;
 * - `anyKey`: like `point`, of every key with a dot, or of every key without one;
 * - `sorted`: the first `limit` blocks in the order of their sort values, and where `from` is not null, from the block with this value on;
 *   and as many of the kinds after that of `from`. At most one of the conditions that are read at once.
 */
export type BlockRequest =
  | { type: 'plain'; path: string; kind: TermKind }
  | { type: 'point'; path: string; kind: ValueKind; value: string }
  | { type: 'range'; path: string; kind: ValueKind; low: string | null; high: string | null }
  | { type: 'anyKey'; kind: TermKind; value: string | null; isDotted: boolean }
  | SortedRequest;

export interface SortedRequest {
  type: 'sorted';
  path: string;
  isAscending: boolean;
  from: SortValue | null;
  limit: number;
}

export type ValueKind = typeof TermKind.number | typeof TermKind.text;

/** The entries of some blocks that pass a test. */
export interface Lookup {
  request: BlockRequest;
  /** Null: every entry. */
  accepts: ((value: string) => boolean) | null;
  /** Whether an object with such an entry certainly matches; otherwise it may. */
  isExact: boolean;
}

/**
 * A filter as a combination of look-ups. `unknown` is a condition that the index does not decide: every object may match, and none
 * certainly does.
 */
export type IndexPlan =
  | { kind: 'and' | 'or'; of: readonly IndexPlan[] }
  | { kind: 'not'; of: IndexPlan }
  | { kind: 'lookups'; of: readonly Lookup[] }
  | { kind: 'unknown' };

const LAST_CODE_POINT = 0x10ffff;

const UNKNOWN: IndexPlan = { kind: 'unknown' };

export function indexPlan(filter: Filter): IndexPlan {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return { kind: filter.kind, of: filter.of.map(indexPlan) };
    case 'not':
      return { kind: 'not', of: indexPlan(filter.of) };
    case 'value':
      return valuePlan(filter);
    default:
      return UNKNOWN;
  }
}

/** Whether the index narrows the objects at all. */
export function isUseful(plan: IndexPlan): boolean {
  switch (plan.kind) {
    case 'and':
      return plan.of.some(isUseful);
    case 'or':
      return plan.of.every(isUseful);
    case 'not':
      return isUseful(plan.of);
    case 'lookups':
      return true;
    case 'unknown':
      return false;
  }
}

/** The look-ups of a plan, in its order. */
export function lookupsOf(plan: IndexPlan): readonly Lookup[] {
  switch (plan.kind) {
    case 'and':
    case 'or':
      return plan.of.flatMap(lookupsOf);
    case 'not':
      return lookupsOf(plan.of);
    case 'lookups':
      return plan.of;
    case 'unknown':
      return [];
  }
}

/** The most look-ups of a required condition. */
const REQUIRED_LOOKUPS_MAX = 4;

/**
 * The look-ups of each condition that every match must meet, by their index. A condition on any key, or with many look-ups, is left out:
 * to find out whether a segment has one of their blocks costs as much as to read them.
 * @param lookups those of the plan
 */
export function requiredOf(plan: IndexPlan, lookups: readonly Lookup[]): number[][] {
  if (plan.kind === 'and') return plan.of.flatMap((part) => requiredOf(part, lookups));
  if (plan.kind !== 'lookups' || plan.of.length === 0 || plan.of.length > REQUIRED_LOOKUPS_MAX) return [];
  if (plan.of.some(({ request }) => request.type === 'anyKey')) return [];
  return [plan.of.map((lookup) => lookups.indexOf(lookup))];
}

function valuePlan({ key, isLiteral, test }: ValueFilter): IndexPlan {
  if (key === null) {
    if (test.op === 'eq') return { kind: 'lookups', of: anyKeyLookups(test.value) };
    if (test.op === 'in') return { kind: 'lookups', of: test.values.flatMap(anyKeyLookups) };
    return UNKNOWN;
  }
  if (Buffer.byteLength(key) > PATH_BYTES_MAX) return UNKNOWN;
  // Members of objects have the same path as a key with dots.
  const isExact = !(isLiteral && key.includes('.')) || test.op === 'exists';
  const lookups = lookupsOfTest(key, isLiteral, test);
  return { kind: 'lookups', of: isExact ? lookups : lookups.map((lookup) => ({ ...lookup, isExact: false })) };
}

function lookupsOfTest(path: string, isLiteral: boolean, test: ValueFilter['test']): Lookup[] {
  switch (test.op) {
    case 'exists': {
      const kinds = isLiteral ? [TermKind.key] : [TermKind.key, TermKind.member];
      return kinds.map((kind) => plain(path, kind, true));
    }
    case 'eq':
      return [equalTo(path, test.value)];
    case 'in':
      return test.values.map((value) => equalTo(path, value));
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return [comparison(path, test.op, test.value), plain(path, TermKind.long, false)];
    case 'prefix': {
      const { text } = test;
      const request = { type: 'range', path, kind: TermKind.text, low: text, high: afterPrefix(text) } as const;
      return [
        { request, accepts: (value) => value.startsWith(text), isExact: true },
        plain(path, TermKind.long, false),
      ];
    }
    case 'contains': {
      const request = { type: 'range', path, kind: TermKind.text, low: null, high: null } as const;
      const { text } = test;
      return [{ request, accepts: (value) => value.includes(text), isExact: true }, plain(path, TermKind.long, false)];
    }
  }
}

function plain(path: string, kind: TermKind, isExact: boolean): Lookup {
  return { request: { type: 'plain', path, kind }, accepts: null, isExact };
}

function equalTo(path: string, value: JsonText): Lookup {
  const term = termOf(value);
  if (term.value === null) return plain(path, term.kind, isScalarWord(term.kind));
  const { kind, value: wanted } = term;
  return { request: { type: 'point', path, kind, value: wanted }, accepts: (one) => one === wanted, isExact: true };
}

/** A key with a dot has the terms of members of objects too, so that its matches are not certain. */
function anyKeyLookups(value: JsonText): Lookup[] {
  const { kind, value: wanted } = termOf(value);
  const accepts = wanted === null ? null : (one: string): boolean => one === wanted;
  const isExact = wanted !== null || isScalarWord(kind);
  return [false, true].map((isDotted) => {
    return { request: { type: 'anyKey', kind, value: wanted, isDotted }, accepts, isExact: isExact && !isDotted };
  });
}

/** Whether a term of the kind has one value only. */
function isScalarWord(kind: TermKind): boolean {
  return kind === TermKind.null || kind === TermKind.true || kind === TermKind.false;
}

/** The term of a JSON value; `value` is null for kinds without values. */
export function termOf(value: JsonText): { kind: ValueKind; value: string } | { kind: TermKind; value: null } {
  switch (value.charAt(0)) {
    case '"': {
      const text = JSON.parse(value) as string;
      return Buffer.byteLength(text) > TEXT_BYTES_MAX
        ? { kind: TermKind.long, value: null }
        : { kind: TermKind.text, value: text };
    }
    case '[':
    case '{':
      return { kind: TermKind.structure, value: null };
    case 't':
      return { kind: TermKind.true, value: null };
    case 'f':
      return { kind: TermKind.false, value: null };
    case 'n':
      return { kind: TermKind.null, value: null };
    default: {
      const number = indexNumber(value);
      return number === null ? { kind: TermKind.long, value: null } : { kind: TermKind.number, value: String(number) };
    }
  }
}

function comparison(path: string, op: 'gt' | 'gte' | 'lt' | 'lte', bound: JsonText): Lookup {
  const isText = bound.startsWith('"');
  const value = isText ? (JSON.parse(bound) as string) : bound;
  const order = isText ? textOrder(value) : numberOrder(value);
  const accepts = {
    gt: (one: string): boolean => order(one) > 0,
    gte: (one: string): boolean => order(one) >= 0,
    lt: (one: string): boolean => order(one) < 0,
    lte: (one: string): boolean => order(one) <= 0,
  }[op];
  const isLower = op === 'gt' || op === 'gte';
  const kind = isText ? TermKind.text : TermKind.number;
  const request = { type: 'range', path, kind, low: isLower ? value : null, high: isLower ? null : value } as const;
  return { request, accepts, isExact: true };
}

/** By code point, as PostgreSQL's collation "C". */
function textOrder(bound: string): (value: string) => number {
  const bytes = Buffer.from(bound);
  return (value) => Buffer.compare(Buffer.from(value), bytes);
}

/** The first text that follows all texts with a prefix; null where there is none. */
function afterPrefix(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === LAST_CODE_POINT) points.pop();
  const last = points.pop();
  if (last === undefined) return null;
  // There are no characters from U+D800 to U+DFFF.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
}
