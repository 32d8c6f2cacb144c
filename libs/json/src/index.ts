/**
 * json: reads JSON as text. It keeps what `JSON.parse` loses: every digit of a number, repeated names, and the position of each
 * value.
 * Imports nothing.
 */
export { findSyntaxError } from './json-syntax-error.js';
export {
  countNames,
  elementsOf,
  endOfString,
  endOfValue,
  findMember,
  inspectJson,
  isObject,
  JSON_DEPTH_MAX,
  membersOf,
  memberText,
  pointerPart,
  skipSpace,
  scanJson,
  TOO_LONG,
  type FoundMember,
  type JsonInspection,
  type JsonMember,
  type JsonSpan,
} from './json-text.js';
export { canonicalNumber, isPositive, isWhole, NUMBER_PATTERN, parseNumber } from './number-text.js';
