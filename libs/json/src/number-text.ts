/** The grammar of a JSON number (RFC 8259, section 6), as part of a regular expression. */
export const NUMBER_PATTERN = '-?(?:0|[1-9]\\d*)(?:\\.\\d+)?(?:[eE][+-]?\\d+)?';

const NUMBER = new RegExp(`^${NUMBER_PATTERN}$`);

/** A JSON number by its parts: sign, whole digits, digits of the fraction, and exponent. */
export interface NumberParts {
  isNegative: boolean;
  whole: string;
  fraction: string;
  exponent: number;
}

/** The parts of a JSON number; null for any other text. */
export function parseNumber(text: string): NumberParts | null {
  if (!NUMBER.test(text)) return null;
  const isNegative = text.startsWith('-');
  const [significand = '', exponent = '0'] = text.slice(isNegative ? 1 : 0).split(/[eE]/);
  const [whole = '', fraction = ''] = significand.split('.');
  return { isNegative, whole, fraction, exponent: Number(exponent) };
}

/**
 * The canonical form of a JSON number, `123e-2`: equal for texts of equal value. Read from the text, because a double would
 * round it. Undefined for any other text.
 */
export function canonicalNumber(text: string): string | undefined {
  const parts = parseNumber(text);
  if (parts === null) return undefined;
  const { isNegative, whole, fraction, exponent } = parts;
  const digits = whole + fraction;
  // Not a regular expression for trailing zeros, which takes quadratic time on a long run of them before another digit.
  let end = digits.length;
  while (digits.charAt(end - 1) === '0') end--;
  if (end === 0) return '0e0';
  const scale = exponent - fraction.length + digits.length - end;
  return `${isNegative ? '-' : ''}${digits.slice(0, end).replace(/^0+/, '')}e${String(scale)}`;
}

/** Whether a text is a JSON number above zero. */
export function isPositive(text: string): boolean {
  const number = canonicalNumber(text);
  return number !== undefined && number !== '0e0' && !number.startsWith('-');
}

/** Whether a text is a JSON number without a fraction, such as 5, 5.0 or 5e3. */
export function isWhole(text: string): boolean {
  return canonicalNumber(text)?.includes('e-') === false;
}

/** PostgreSQL's `numeric`: digits before and after the decimal point (its documentation, table 8.2). */
export const NUMERIC_DIGITS_BEFORE_MAX = 131_072;
export const NUMERIC_DIGITS_AFTER_MAX = 16_383;

/**
 * The number of digits that PostgreSQL writes for a JSON number, without an exponent: 401 for 1e400.
 * @returns null for a number that its `numeric` cannot hold
 */
export function numericDigits(number: string): number | null {
  const exponentAt = number.search(/[eE]/);
  const significand = number.slice(0, exponentAt === -1 ? undefined : exponentAt).replace('-', '');
  const exponent = exponentAt === -1 ? 0 : Number(number.slice(exponentAt + 1));
  const pointAt = significand.indexOf('.');
  const fractionLength = pointAt === -1 ? 0 : significand.length - pointAt - 1;
  const significant = significand.replace('.', '').replace(/^0+/, '').length;
  const before = significant === 0 ? 0 : significant - fractionLength + exponent;
  const after = fractionLength - exponent;
  if (before > NUMERIC_DIGITS_BEFORE_MAX || after > NUMERIC_DIGITS_AFTER_MAX || Math.abs(exponent) > 1e9) return null;
  return Math.max(before, 1) + Math.max(after, 0);
}
