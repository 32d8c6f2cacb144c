/**
 * json: reads JSON as text. It keeps what `JSON.parse` loses: every digit of a number, repeated names, and the position of each
 * value.
 * Imports nothing.
 */
export { endOfStringBytes, endOfValueBytes, skipSpaceBytes, TOO_LONG } from './json-bytes.js';
export { findSyntaxError } from './json-syntax-error.js';
export {
  countNames,
  elementsOf,
  endOfValue,
  findMember,
  inspectJson,
  isObject,
  JSON_VALUES_MAX,
  JSON_DEPTH_MAX,
  VALUE_DEPTH_MAX,
  VALUE_DEPTH_RULE,
  isNestedWithin,
  membersOf,
  memberText,
  pointerPart,
  skipSpace,
  scanJson,
  type FoundMember,
  type JsonInspection,
  type JsonMember,
  type JsonScan,
  type JsonSpan,
} from './json-text.js';
export { applyPatch, parsePatch, type PatchOperation } from './json-patch.js';
export { jsonbText } from './jsonb-text.js';
export { parseTree, treeText, type JsonTree } from './json-tree.js';
export { canonicalNumber, isPositive, isWhole, NUMBER_PATTERN, numericDigits, parseNumber } from './number-text.js';
