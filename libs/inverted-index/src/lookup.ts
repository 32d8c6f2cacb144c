import { SEALED_PREFIX } from '#encryption';
import type { JsonText, ValueFilter } from '#filter';
import { indexNumber, numberOrder } from './index-number.js';
import type { SortValue } from './sort-value.js';
import { isLongText, TermKind } from './term-kind.js';

/**
 * The blocks that a condition needs of each segment:
 *
 * - `plain`: the block of a kind without values;
 * - `point`: the block that may have one value;
 * - `range`: the blocks with values from `low` to `high`, null for no bound, and the one after them. With `isSingle` only of segments where
 *   no object has several values at the path, or only of the others;
 * - `anyKey`: like `point`, of every key with a dot, or of every key without one;
 * - `sorted`: the first `limit` blocks in the order of their sort values, and where `from` is not null, from the block with this value on;
 *   and as many of the kinds after that of `from`. At most one of the conditions that are read at once.
 */
export type BlockRequest =
  | { type: 'plain'; path: string; kind: TermKind }
  | { type: 'point'; path: string; kind: ValueKind; value: string }
  | RangeRequest
  | { type: 'anyKey'; kind: TermKind; value: string | null; isDotted: boolean }
  | SortedRequest;

export interface RangeRequest {
  type: 'range';
  path: string;
  kind: ValueKind;
  low: string | null;
  high: string | null;
  isSingle?: boolean;
}

export interface SortedRequest {
  type: 'sorted';
  path: string;
  isAscending: boolean;
  from: SortValue | null;
  limit: number;
}

type ValueKind = typeof TermKind.number | typeof TermKind.text;

export type Accepts = (value: string) => boolean;

/** The entries of some blocks that pass a test. */
export interface Lookup {
  request: BlockRequest;
  /** Null: every entry. */
  accepts: Accepts | null;
  /** Whether an object with such an entry certainly matches; otherwise it may. */
  isExact: boolean;
}

const LAST_CODE_POINT = 0x10ffff;

export function lookupsOfTest(path: string, isLiteral: boolean, test: ValueFilter['test']): Lookup[] {
  switch (test.op) {
    case 'exists': {
      // The path of a member has a dot.
      const kinds = isLiteral || !path.includes('.') ? [TermKind.key] : [TermKind.key, TermKind.member];
      return kinds.map((kind) => plain(path, kind, true));
    }
    case 'eq':
      return equalTo(path, test.value);
    case 'in':
      return test.values.flatMap((value) => equalTo(path, value));
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

function equalTo(path: string, value: JsonText): Lookup[] {
  return termsOf(value).map((term) => {
    if (term.value === null) return plain(path, term.kind, isScalarWord(term.kind));
    const { kind, value: wanted } = term;
    return { request: { type: 'point', path, kind, value: wanted }, accepts: (one) => one === wanted, isExact: true };
  });
}

/** A key with a dot has the terms of members of objects too, so that its matches are not certain. */
export function anyKeyLookups(value: JsonText): Lookup[] {
  return termsOf(value).flatMap(({ kind, value: wanted }) => {
    const accepts = wanted === null ? null : (one: string): boolean => one === wanted;
    const isExact = wanted !== null || isScalarWord(kind);
    return [false, true].map((isDotted): Lookup => {
      return { request: { type: 'anyKey', kind, value: wanted, isDotted }, accepts, isExact: isExact && !isDotted };
    });
  });
}

/** Whether a term of the kind has one value only. */
function isScalarWord(kind: TermKind): boolean {
  return kind === TermKind.null || kind === TermKind.true || kind === TermKind.false;
}

/** The terms that an object with this value may have in segments of this version and of earlier ones. */
function termsOf(value: JsonText): ValueTerm[] {
  const term = termOf(value);
  const text = term.kind === TermKind.long && value.startsWith('"') ? (JSON.parse(value) as string) : '';
  // Earlier versions had no encrypted values: a text that begins like one was a text like others.
  return text.startsWith(SEALED_PREFIX) ? [{ kind: TermKind.text, value: text }, term] : [term];
}

/** `value` is null for kinds without values. */
type ValueTerm = { kind: ValueKind; value: string } | { kind: TermKind; value: null };

/** The term of a JSON value. */
export function termOf(value: JsonText): ValueTerm {
  switch (value.charAt(0)) {
    case '"': {
      const text = JSON.parse(value) as string;
      return isLongText(text) ? { kind: TermKind.long, value: null } : { kind: TermKind.text, value: text };
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
