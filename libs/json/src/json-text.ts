/**
 * Reads JSON as text, so that values can be cut from it unchanged: `JSON.parse` loses repeated names, digits beyond a double
 * and the position of each value. Every function but `scanJson` expects text that `JSON.parse` accepts; for other text it may
 * return anything or throw a SyntaxError, but it terminates.
 */

import { NUMERIC_DIGITS_AFTER_MAX, NUMERIC_DIGITS_BEFORE_MAX, numericDigits } from './number-text.js';

/** The deepest nesting of a body; it bounds recursion. */
export const JSON_DEPTH_MAX = 64;
/** The deepest nesting of a stored value: `[]` is 1 deep, `[{}]` is 2 deep. */
export const VALUE_DEPTH_MAX = 16;
/**
 * The most lists and objects, and the most members, in a text that is parsed at once. `JSON.parse` takes 25 ms for 100,000
 * nested lists, and 130 ms for the 500,000 that fit into 1 MiB.
 */
export const JSON_VALUES_MAX = 100_000;

export const VALUE_DEPTH_RULE = `must nest at most ${String(VALUE_DEPTH_MAX)} levels deep`;

const QUOTE = 34;
const BACKSLASH = 92;

export interface JsonScan {
  /** The number of members of all objects in the text, repeated names included. */
  names: number;
  depth: number;
  /** The number of lists and objects. */
  containers: number;
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
  let containers = 0;
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
      else if (c === 123 || c === 91) {
        containers++;
        depth = Math.max(depth, ++level);
      } else if (c === 125 || c === 93) level--;
      // The letter of an exponent; those of `true` and `false` follow no digit.
      else if ((c | 32) === 101 && digits > 0) needsInspection = true;
      digits = 0;
    }
  }
  return { names, depth, containers, needsInspection };
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

/** Index after the value that starts at `start`. @throws SyntaxError for a value that does not end */
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
  // Strings mostly have no escapes, and a search is several times as fast as a look at each character.
  const quote = text.indexOf('"', start + 1);
  if (text.charCodeAt(quote - 1) !== BACKSLASH && quote !== -1) return quote + 1;
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
 * Finds the values that PostgreSQL cannot store unchanged, with a pointer to each, in one pass over the text.
 * @param allowsRepeats whether the object at this pointer may have a name twice. `JSON.parse` keeps the last value only, so the
 *   depth of the others is limited here, to VALUE_DEPTH_MAX
 */
export function inspectJson(text: string, allowsRepeats: (pointer: string) => boolean): JsonInspection {
  const inspector = new Inspector(text, allowsRepeats);
  inspector.inspect(skipSpace(text, 0), null);
  return inspector.found;
}

/** Where a value is. It becomes a JSON Pointer only for an error, because a body has many more values than errors. */
interface Place {
  /** Null for a member or element of the whole text. */
  parent: Place | null;
  /** The name of the member, or the index of the element. */
  part: string | number;
}

function pointerTo(place: Place | null): string {
  return place === null ? '' : pointerTo(place.parent) + pointerPart(place.part);
}

class Inspector {
  readonly found: JsonInspection = { errors: [], errorCount: 0, hasRepeats: false, expandedLength: 0 };

  constructor(
    private readonly text: string,
    private readonly allowsRepeats: (pointer: string) => boolean,
  ) {}

  /** Inspects the value that starts at `start`. @returns the index after it */
  inspect(start: number, place: Place | null): number {
    const first = this.text.charCodeAt(start);
    if (first === 123) return this.inspectMembers(start, place);
    if (first === 91) return this.inspectElements(start, place);
    if (first === QUOTE) return this.inspectString(start, place);
    if (first === 45 || (first >= 48 && first <= 57)) return this.inspectNumber(start, place);
    return endOfValue(this.text, start);
  }

  private inspectElements(start: number, parent: Place | null): number {
    // One place for all elements: it is read before the next one begins.
    const place = { parent, part: 0 };
    let i = skipSpace(this.text, start + 1);
    while (this.text.charCodeAt(i) !== 93) {
      i = skipSpace(this.text, this.inspect(i, place));
      if (this.text.charCodeAt(i) === 44) i = skipSpace(this.text, i + 1);
      place.part++;
    }
    return i + 1;
  }

  private inspectMembers(start: number, parent: Place | null): number {
    /** For each name, the start of its last value. */
    const seen = new Map<string, number>();
    const place = { parent, part: '' };
    let mayRepeat: boolean | undefined;
    let i = skipSpace(this.text, start + 1);
    while (this.text.charCodeAt(i) !== 125) {
      const nameEnd = endOfString(this.text, i);
      const name = nameOf(this.text.slice(i, nameEnd));
      place.part = name;
      const valueStart = skipSpace(this.text, skipSpace(this.text, nameEnd) + 1);
      const earlier = seen.get(name);
      if (earlier !== undefined) {
        this.found.hasRepeats = true;
        mayRepeat ??= this.allowsRepeats(pointerTo(parent));
        if (!mayRepeat) this.addError(place, 'appears twice in this object');
        else if (this.isTooDeep(earlier)) this.addError(place, VALUE_DEPTH_RULE);
      }
      seen.set(name, valueStart);
      this.inspectString(i, place);
      i = skipSpace(this.text, this.inspect(valueStart, place));
      if (this.text.charCodeAt(i) === 44) i = skipSpace(this.text, i + 1);
    }
    return i + 1;
  }

  private isTooDeep(start: number): boolean {
    const first = this.text.charCodeAt(start);
    if (first !== 123 && first !== 91) return false;
    return scanJson(this.text.slice(start, endOfValue(this.text, start))).depth > VALUE_DEPTH_MAX;
  }

  /** Only an escape can represent what valid UTF-8 cannot. */
  private inspectString(start: number, place: Place | null): number {
    const end = endOfString(this.text, start);
    const token = this.text.slice(start, end);
    if (!token.includes('\\u')) return end;
    const value = JSON.parse(token) as string;
    if (value.includes('\0')) this.addError(place, 'contains U+0000, which cannot be stored');
    else if (!value.isWellFormed()) this.addError(place, 'contains an unpaired surrogate, which is not a character');
    return end;
  }

  private inspectNumber(start: number, place: Place | null): number {
    let exponentAt = -1;
    let end = start + 1;
    for (; ; end++) {
      const c = this.text.charCodeAt(end);
      if (!(c > 32 && c !== 44 && c !== 93 && c !== 125)) break;
      if ((c | 32) === 101) exponentAt = end;
    }
    if (exponentAt === -1 && end - start <= NUMERIC_DIGITS_AFTER_MAX) return end;
    const digits = numericDigits(this.text.slice(start, end));
    if (digits === null) {
      const [most, least] = [String(NUMERIC_DIGITS_BEFORE_MAX), String(NUMERIC_DIGITS_AFTER_MAX)];
      this.addError(place, `must be a number of at most ${most} digits before the decimal point and ${least} after it`);
    } else if (exponentAt !== -1) {
      this.found.expandedLength += digits;
    }
    return end;
  }

  private addError(place: Place | null, detail: string): void {
    if (++this.found.errorCount <= ERRORS_LISTED_MAX) this.found.errors.push({ pointer: pointerTo(place), detail });
  }
}

/** Whether a parsed value nests at most `levels` deep. */
export function isNestedWithin(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return false;
  if (Array.isArray(value)) {
    for (const element of value) if (!isNestedWithin(levels - 1, element)) return false;
    return true;
  }
  for (const name in value) if (!isNestedWithin(levels - 1, (value as Record<string, unknown>)[name])) return false;
  return true;
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
