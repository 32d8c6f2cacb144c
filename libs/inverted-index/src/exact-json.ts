import { elementsOf, membersOf } from '#json';

/** A number whose digits a double may not hold. */
export class ExactNumber {
  constructor(readonly text: string) {}
}

/** A parsed JSON value; a number that may not be exact is an `ExactNumber`. */
export type ExactValue =
  string | number | boolean | null | ExactNumber | readonly ExactValue[] | { readonly [name: string]: ExactValue };

/**
 * Text that may have a number with more than 15 significant digits, or with an exponent of three digits. It may also be text in
 * quotes, which then is only parsed more slowly.
 */
const MAY_LOSE_DIGITS = /[\d.]{16}|[eE][+-]?\d{3}/;

/** A pair of an object's `data`. */
export interface ExactPair {
  key: string;
  value: ExactValue;
}

/** Parses the `data` of several objects, each a JSON list of pairs. */
export function parsePairs(datas: readonly string[]): (readonly ExactPair[])[] {
  const text = `[${datas.join()}]`;
  if (!MAY_LOSE_DIGITS.test(text)) return JSON.parse(text) as (readonly ExactPair[])[];
  return datas.map((data) => {
    const isExact = !MAY_LOSE_DIGITS.test(data);
    return (isExact ? JSON.parse(data) : parseExact(data, 0, data.length)) as readonly ExactPair[];
  });
}

function parseExact(text: string, start: number, end: number): ExactValue {
  const first = text.charAt(start);
  if (first === '[')
    return Array.from(elementsOf(text, start), (element) => parseExact(text, element.start, element.end));
  if (first === '{') {
    const value: Record<string, ExactValue> = Object.create(null) as Record<string, ExactValue>;
    for (const member of membersOf(text, start)) value[member.name] = parseExact(text, member.start, member.end);
    return value;
  }
  const token = text.slice(start, end);
  const isNumber = first === '-' || (first >= '0' && first <= '9');
  return isNumber && MAY_LOSE_DIGITS.test(token) ? new ExactNumber(token) : (JSON.parse(token) as ExactValue);
}
