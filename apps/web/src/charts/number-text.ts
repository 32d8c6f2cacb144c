import { toJson } from '../api/json.js';

const ROUNDED = new Intl.NumberFormat('en', { maximumSignificantDigits: 6 });
const WHOLE = new Intl.NumberFormat('en');

/** A number for a person: whole numbers in full, others with six significant digits. */
export function numberText(value: unknown): string {
  if (value === undefined || value === null) return '';
  const text = toJson(value);
  const number = Number(text);
  if (!Number.isFinite(number)) return text;
  // A text keeps the digits that a number would lose.
  if (/^-?\d+$/.test(text)) return WHOLE.format(text as Intl.StringNumericLiteral);
  return Math.abs(number) >= 1e6 ? WHOLE.format(Math.round(number)) : ROUNDED.format(number);
}

/** A number with all its digits. */
export function exactText(value: unknown): string {
  return value === undefined || value === null ? '' : toJson(value);
}
