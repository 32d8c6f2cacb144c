import { skipSpace } from './json-text.js';
import { NUMBER_PATTERN } from './number-text.js';

const BARE = new RegExp(`true|false|null|${NUMBER_PATTERN}`, 'y');
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;

/** What the grammar allows next. */
type Expected = 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'comma or end' | 'nothing';

/**
 * The index of the first syntax error of a text; undefined for valid JSON. `JSON.parse` reports a position for some errors
 * only: not for NaN, a trailing comma or single quotes.
 */
export function findSyntaxError(text: string): number | undefined {
  const closers: ('}' | ']')[] = [];
  let expected = 'value' as Expected;
  let at = skipSpace(text, 0);
  const moveTo = (end: number, next: Expected): void => {
    at = skipSpace(text, end);
    expected = next;
  };
  const afterValue = (): Expected => (closers.length === 0 ? 'nothing' : 'comma or end');
  while (at < text.length) {
    const c = text.charAt(at);
    if (expected.endsWith('end') && c === closers.at(-1)) {
      closers.pop();
      moveTo(at + 1, afterValue());
    } else if (expected === 'colon' && c === ':') moveTo(at + 1, 'value');
    else if (expected === 'comma or end' && c === ',') moveTo(at + 1, closers.at(-1) === '}' ? 'name' : 'value');
    else if (expected.startsWith('name') && c === '"') {
      const { end, isWhole } = readString(text, at);
      if (!isWhole) return end;
      moveTo(end, 'colon');
    } else if (!expected.startsWith('value')) return at;
    else if (c === '{' || c === '[') {
      closers.push(c === '{' ? '}' : ']');
      moveTo(at + 1, c === '{' ? 'name or end' : 'value or end');
    } else {
      const { end, isWhole } = c === '"' ? readString(text, at) : readBare(text, at);
      if (!isWhole) return end;
      moveTo(end, afterValue());
    }
  }
  return expected === 'nothing' ? undefined : text.length;
}

/** How far a token is valid, and whether it is complete. */
interface Reading {
  end: number;
  isWhole: boolean;
}

function readString(text: string, start: number): Reading {
  for (let at = start + 1; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 34) return { end: at + 1, isWhole: true };
    if (c < 32) return { end: at, isWhole: false };
    if (c !== 92) continue;
    ESCAPE.lastIndex = at;
    if (!ESCAPE.test(text)) return { end: at, isWhole: false };
    at = ESCAPE.lastIndex - 1;
  }
  return { end: text.length, isWhole: false };
}

function readBare(text: string, start: number): Reading {
  BARE.lastIndex = start;
  return BARE.test(text) ? { end: BARE.lastIndex, isWhole: true } : { end: start, isWhole: false };
}
