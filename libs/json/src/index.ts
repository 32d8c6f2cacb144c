/**
 * json: reads JSON as text, to the letter. `JSON.parse` says whether a text is JSON and what it means to JavaScript; this
 * lib says what else it holds (every digit, repeated names) and where.
 * Imports nothing.
 */
export { faultIn } from './json-fault.js';
export {
  countNames,
  elementsOf,
  endOfValue,
  findMember,
  inspectJson,
  isObject,
  JSON_DEPTH_MAX,
  membersOf,
  memberText,
  pointerPart,
  skipSpace,
  surveyJson,
  type JsonInspection,
  type JsonMember,
  type JsonSpan,
} from './json-text.js';
export { canonicalNumber, isPositive, isWhole } from './number-text.js';
