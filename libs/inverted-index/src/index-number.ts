import { canonicalNumber } from '#json';
import { DIGITS_MAX } from './term-kind.js';

/**
 * A number of the index: a JavaScript number where that is exact, otherwise its canonical text. Equal numbers have equal
 * representations, so it can be the key of a Map.
 */
export type IndexNumber = number | string;

/** A decimal number with this many significant digits survives the conversion to a double and back (IEEE 754). */
const DOUBLE_DIGITS = 15;
/** The exponents of canonical texts that are converted; a double has about 308. */
const DOUBLE_EXPONENT = 120;

/** Returns null for a number with too many digits for the index. @param text a JSON number */
export function indexNumber(text: string): IndexNumber | null {
  const canonical = canonicalNumber(text);
  if (canonical === undefined) throw new Error(`not a number: "${text}"`);
  const at = canonical.indexOf('e');
  const digits = canonical.startsWith('-') ? at - 1 : at;
  if (digits > DIGITS_MAX) return null;
  const isExact = digits <= DOUBLE_DIGITS && Math.abs(Number(canonical.slice(at + 1))) <= DOUBLE_EXPONENT;
  return isExact ? Number(canonical) : canonical;
}

/** The longest text of a number without an exponent that has at most 15 digits for certain. */
const PLAIN_LENGTH_MAX = 15;

/** Whether the text of a number converts to a double without loss, which is found out more quickly than by `indexNumber`. */
function isPlain(text: string): boolean {
  return text.length <= PLAIN_LENGTH_MAX && !text.includes('e');
}

/** A function that compares the texts of numbers of the index with a bound, which may have too many digits for the index. */
export function numberOrder(bound: string): (text: string) => number {
  const number: IndexNumber = indexNumber(bound) ?? bound;
  return (text) => {
    if (typeof number === 'number' && isPlain(text)) return Number(text) - number;
    return compareNumbers(indexNumber(text) ?? text, number);
  };
}

/** Orders the texts of numbers by their value. */
export function compareNumberTexts(left: string, right: string): number {
  if (isPlain(left) && isPlain(right)) return Number(left) - Number(right);
  return compareNumbers(indexNumber(left) ?? left, indexNumber(right) ?? right);
}

/** Orders numbers by their value. */
export function compareNumbers(left: IndexNumber, right: IndexNumber): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  const [a, b] = [parts(left), parts(right)];
  if (a.sign !== b.sign) return a.sign - b.sign;
  const order = a.magnitude - b.magnitude;
  if (order !== 0) return a.sign * order;
  if (a.digits === b.digits) return 0;
  return a.digits < b.digits ? -a.sign : a.sign;
}

/** The sign, the position of the first digit, and the digits, which compare as text because the first one is not zero. */
function parts(number: IndexNumber): { sign: number; magnitude: number; digits: string } {
  const canonical = canonicalNumber(String(number)) ?? '0e0';
  if (canonical === '0e0') return { sign: 0, magnitude: 0, digits: '' };
  const isNegative = canonical.startsWith('-');
  const at = canonical.indexOf('e');
  const digits = canonical.slice(isNegative ? 1 : 0, at);
  return { sign: isNegative ? -1 : 1, magnitude: digits.length + Number(canonical.slice(at + 1)), digits };
}
