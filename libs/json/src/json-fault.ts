import { skipSpace } from './json-text.js';

const BARE = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y;

/** What may come next. */
type Expected = 'value' | 'value or end' | 'name' | 'name or end' | 'colon' | 'comma or end' | 'nothing';

/**
 * Where a text ceases to be JSON, which `JSON.parse` tells of some faults only: not of NaN, of a comma before a bracket, of
 * Python's quotes. Undefined for a text that is JSON.
 */
export function faultIn(text: string): number | undefined {
  const closers: ('}' | ']')[] = [];
  let expected = 'value' as Expected;
  let at = skipSpace(text, 0);
  const goOn = (end: number, next: Expected): void => {
    at = skipSpace(text, end);
    expected = next;
  };
  const afterValue = (): Expected => (closers.length === 0 ? 'nothing' : 'comma or end');
  while (at < text.length) {
    const c = text.charAt(at);
    if (expected.endsWith('end') && c === closers.at(-1)) {
      closers.pop();
      goOn(at + 1, afterValue());
    } else if (expected === 'colon' && c === ':') goOn(at + 1, 'value');
    else if (expected === 'comma or end' && c === ',') goOn(at + 1, closers.at(-1) === '}' ? 'name' : 'value');
    else if (expected.startsWith('name') && c === '"') {
      const { end, isWhole } = readString(text, at);
      if (!isWhole) return end;
      goOn(end, 'colon');
    } else if (!expected.startsWith('value')) return at;
    else if (c === '{' || c === '[') {
      closers.push(c === '{' ? '}' : ']');
      goOn(at + 1, c === '{' ? 'name or end' : 'value or end');
    } else {
      const { end, isWhole } = c === '"' ? readString(text, at) : readBare(text, at);
      if (!isWhole) return end;
      goOn(end, afterValue());
    }
  }
  return expected === 'nothing' ? undefined : text.length;
}

/** To the end of what can be read, and whether that is all of it. */
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
