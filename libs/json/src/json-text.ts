/**
 * Reads JSON as text, so that values can be cut from it unchanged: `JSON.parse` loses repeated names, digits beyond a double
 * and the position of each value. Every function but `scanJson` expects text that `JSON.parse` accepts; for other text it may
 * return anything or throw a SyntaxError, but it terminates.
 */

import { parseNumber } from './number-text.js';

/** The deepest nesting of a body; it bounds recursion. */
export const JSON_DEPTH_MAX = 64;

/** PostgreSQL's `numeric`: digits before and after the decimal point (its documentation, table 8.2). */
const NUMERIC_DIGITS_BEFORE_MAX = 131_072;
const NUMERIC_DIGITS_AFTER_MAX = 16_383;

const QUOTE = 34;
const BACKSLASH = 92;

export interface JsonScan {
  /** The number of members of all objects in the text, repeated names included. */
  names: number;
  depth: number;
  /** The text may have a number or an escape that PostgreSQL cannot store, which `inspectJson` finds out. */
  needsInspection: boolean;
}

/**
 * Decides in one pass, about 1 ns a character, whether the slower `inspectJson` is needed. False positives are possible, false
 * negatives are not.
 */
export function scanJson(text: string): JsonScan {
  let names = 0;
  let level = 0;
  let depth = 0;
  let digits = 0;
  let needsInspection = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      for (i++; i < text.length; i++) {
        const s = text.charCodeAt(i);
        if (s === QUOTE) break;
        if (s === BACKSLASH) {
          i++;
          if (text.charCodeAt(i) === 117 && isUnstorableEscape(text, i + 1)) needsInspection = true;
        }
      }
      digits = 0;
    } else if (c >= 48 && c <= 57) {
      if (++digits > NUMERIC_DIGITS_AFTER_MAX) needsInspection = true;
    } else {
      if (c === 58) names++;
      else if (c === 123 || c === 91) depth = Math.max(depth, ++level);
      else if (c === 125 || c === 93) level--;
      // The letter of an exponent; those of `true` and `false` follow no digit.
      else if ((c | 32) === 101 && digits > 0) needsInspection = true;
      digits = 0;
    }
  }
  return { names, depth, needsInspection };
}

/** Whether an escape is \u0000 or either half of a surrogate pair. */
function isUnstorableEscape(text: string, at: number): boolean {
  const first = text.charCodeAt(at) | 32;
  return first === 100 || text.startsWith('0000', at);
}

/** The number of members of all objects in a parsed value; fewer than in its text where names were repeated. */
export function countNames(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let names = 0;
  if (Array.isArray(value)) {
    for (const element of value) names += countNames(element);
    return names;
  }
  for (const name in value) names += 1 + countNames((value as Record<string, unknown>)[name]);
  return names;
}

export interface JsonSpan {
  /** Index of the value's first character. */
  start: number;
  /** Index after its last one. */
  end: number;
}

export interface JsonMember extends JsonSpan {
  name: string;
  /** The name as written, quotes included. */
  nameText: string;
}

/** Index of the first character at or after `i` that is not white space. */
export function skipSpace(text: string, i: number): number {
  for (;;) {
    const c = text.charCodeAt(i);
    if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return i;
    i++;
  }
}

/** Index after the value that starts at `start`. */
export function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return endOfString(text, start);
  if (first !== 123 && first !== 91) {
    // A number or a literal ends before a comma, a bracket or white space.
    for (let i = start + 1; ; i++) {
      const c = text.charCodeAt(i);
      if (!(c > 32 && c !== 44 && c !== 93 && c !== 125)) return i;
    }
  }
  let level = 0;
  for (let i = start; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) i = endOfString(text, i) - 1;
    else if (c === 123 || c === 91) level++;
    else if ((c === 125 || c === 93) && --level === 0) return i + 1;
  }
  throw new SyntaxError('unterminated value');
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) return i + 1;
    if (c === BACKSLASH) i++;
  }
  throw new SyntaxError('unterminated string');
}

/** The members of the object that starts at `start`, in the order written, repeats included. */
export function* membersOf(text: string, start: number): Generator<JsonMember> {
  let i = skipSpace(text, start + 1);
  while (text.charAt(i) !== '}') {
    const nameEnd = endOfString(text, i);
    const nameText = text.slice(i, nameEnd);
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = endOfValue(text, valueStart);
    yield { name: nameOf(nameText), nameText, start: valueStart, end };
    i = skipSpace(text, end);
    if (text.charAt(i) === ',') i = skipSpace(text, i + 1);
  }
}

export interface FoundMember {
  /** The value of the last member of this name; undefined when there is none. */
  value: JsonSpan | undefined;
  /** Index after the object. */
  end: number;
}

/** Finds one member of the object that starts at `start` without allocating anything for the others. */
export function findMember(text: string, start: number, name: string): FoundMember {
  let value: JsonSpan | undefined;
  let i = skipSpace(text, start + 1);
  while (text.charCodeAt(i) !== 125) {
    const nameEnd = endOfString(text, i);
    const length = nameEnd - i - 2;
    // A name with escapes is longer than the name that it represents.
    const isWanted =
      length === name.length
        ? text.startsWith(name, i + 1)
        : length > name.length && nameOf(text.slice(i, nameEnd)) === name;
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = endOfValue(text, valueStart);
    if (isWanted) value = { start: valueStart, end };
    i = skipSpace(text, end);
    if (text.charCodeAt(i) === 44) i = skipSpace(text, i + 1);
  }
  return { value, end: i + 1 };
}

/** The text of the value of a member. @throws Error where the object at `start` has no such member, which validation rules out */
export function memberText(text: string, start: number, name: string): string {
  const { value } = findMember(text, start, name);
  if (value === undefined) throw new Error(`a validated object has no member ${name}`);
  return text.slice(value.start, value.end);
}

function nameOf(nameText: string): string {
  return nameText.includes('\\') ? (JSON.parse(nameText) as string) : nameText.slice(1, -1);
}

/** The elements of the array that starts at `start`. */
export function* elementsOf(text: string, start: number): Generator<JsonSpan> {
  let i = skipSpace(text, start + 1);
  while (text.charAt(i) !== ']') {
    const end = endOfValue(text, i);
    yield { start: i, end };
    i = skipSpace(text, end);
    if (text.charAt(i) === ',') i = skipSpace(text, i + 1);
  }
}

/** How many errors are listed; a body can have millions. */
const ERRORS_LISTED_MAX = 100;

export interface JsonInspection {
  /** The values that PostgreSQL cannot store unchanged; the first 100. */
  errors: { pointer: string; detail: string }[];
  errorCount: number;
  /** Whether an object has a name twice. */
  hasRepeats: boolean;
  /** The number of characters that PostgreSQL writes for numbers with an exponent: `1e400` becomes 401. */
  expandedLength: number;
}

/**
 * Finds the values that PostgreSQL cannot store unchanged, with a pointer to each.
 * @param allowsRepeats whether the object at this pointer may have a name twice; its values are then scalars
 */
export function inspectJson(text: string, allowsRepeats: (pointer: string) => boolean): JsonInspection {
  const inspector = new Inspector(text, allowsRepeats);
  inspector.inspect(skipSpace(text, 0), '');
  return inspector.found;
}

class Inspector {
  readonly found: JsonInspection = { errors: [], errorCount: 0, hasRepeats: false, expandedLength: 0 };

  constructor(
    private readonly text: string,
    private readonly allowsRepeats: (pointer: string) => boolean,
  ) {}

  inspect(start: number, pointer: string): void {
    const first = this.text.charAt(start);
    if (first === '{') this.inspectMembers(start, pointer);
    else if (first === '[') {
      let index = 0;
      for (const element of elementsOf(this.text, start)) this.inspect(element.start, `${pointer}/${String(index++)}`);
    } else if (first === '"') this.inspectString(this.text.slice(start, endOfString(this.text, start)), pointer);
    else if (first === '-' || (first >= '0' && first <= '9')) {
      this.inspectNumber(this.text.slice(start, endOfValue(this.text, start)), pointer);
    }
  }

  private inspectMembers(start: number, pointer: string): void {
    /** For each name, whether its last value is an object or a list. */
    const seen = new Map<string, boolean>();
    for (const member of membersOf(this.text, start)) {
      const at = pointer + pointerPart(member.name);
      const wasNested = seen.get(member.name);
      if (wasNested !== undefined) {
        this.found.hasRepeats = true;
        if (!this.allowsRepeats(pointer)) this.addError(at, 'appears twice in this object');
        else if (wasNested)
          this.addError(at, 'must be text, a number, true, false or null, because its name appears twice');
      }
      seen.set(member.name, /[{[]/.test(this.text.charAt(member.start)));
      this.inspectString(member.nameText, at);
      this.inspect(member.start, at);
    }
  }

  /** Only an escape can represent what valid UTF-8 cannot. */
  private inspectString(token: string, pointer: string): void {
    if (!token.includes('\\u')) return;
    const value = JSON.parse(token) as string;
    if (value.includes('\0')) this.addError(pointer, 'contains U+0000, which cannot be stored');
    else if (!value.isWellFormed()) this.addError(pointer, 'contains an unpaired surrogate, which is not a character');
  }

  private inspectNumber(token: string, pointer: string): void {
    if (token.length <= NUMERIC_DIGITS_AFTER_MAX && !/[eE]/.test(token)) return;
    const parts = parseNumber(token);
    if (parts === null) throw new SyntaxError('not a JSON number');
    const { whole, fraction, exponent } = parts;
    const significant = (whole + fraction).replace(/^0+/, '').length;
    const before = significant === 0 ? 0 : significant - fraction.length + exponent;
    const after = fraction.length - exponent;
    if (before > NUMERIC_DIGITS_BEFORE_MAX || after > NUMERIC_DIGITS_AFTER_MAX || Math.abs(exponent) > 1e9) {
      const [most, least] = [String(NUMERIC_DIGITS_BEFORE_MAX), String(NUMERIC_DIGITS_AFTER_MAX)];
      this.addError(
        pointer,
        `must be a number of at most ${most} digits before the decimal point and ${least} after it`,
      );
    } else if (/[eE]/.test(token)) {
      this.found.expandedLength += Math.max(before, 1) + Math.max(after, 0);
    }
  }

  private addError(pointer: string, detail: string): void {
    if (++this.found.errorCount <= ERRORS_LISTED_MAX) this.found.errors.push({ pointer, detail });
  }
}

/** Whether a parsed value is an object, not a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The longest name in a pointer, in characters; no valid name is longer. */
const POINTER_NAME_MAX = 255;

/**
 * A reference token of a JSON Pointer, escaped, with its slash (RFC 6901, section 3). A name over 255 characters is cut to
 * 255 and an ellipsis: with up to 100 pointers in a response, the names of a body could exceed the longest string of V8.
 */
export function pointerPart(name: string | number): string {
  return '/' + shortened(String(name)).replaceAll('~', '~0').replaceAll('/', '~1');
}

function shortened(name: string): string {
  if (name.length <= POINTER_NAME_MAX) return name;
  // A character takes at most two UTF-16 units.
  const characters = [...name.slice(0, 2 * POINTER_NAME_MAX + 1)];
  return characters.length <= POINTER_NAME_MAX ? name : `${characters.slice(0, POINTER_NAME_MAX).join('')}…`;
}
