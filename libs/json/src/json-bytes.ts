/**
 * Finds the ends of values in JSON that has not been decoded: every character with a meaning is one byte in UTF-8. The bytes
 * may be any; each function terminates.
 */

/** A value goes on after the byte at which the search stopped. */
export const TOO_LONG = -1;

// Not imported from one file for all of the lib: imported constants make these loops up to half slower.
const QUOTE = 34;
const BACKSLASH = 92;

/** Index of the first byte at or after `i` that is not white space; at most `maxEnd`. */
export function skipSpaceBytes(bytes: Uint8Array, i: number, maxEnd: number): number {
  while (i < maxEnd) {
    const c = bytes[i];
    if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return i;
    i++;
  }
  return i;
}

/**
 * Index after the value that starts at `start`.
 * @param maxBytes how much of the value is searched for its end
 * @returns TOO_LONG for a longer value
 * @throws SyntaxError for a value that does not end
 */
export function endOfValueBytes(bytes: Uint8Array, start: number, maxBytes: number): number {
  const maxEnd = Math.min(bytes.length, start + maxBytes);
  const first = bytes[start];
  if (first === QUOTE) return endOfStringBytes(bytes, start, maxBytes);
  if (first !== 123 && first !== 91) return endOfBareBytes(bytes, start, maxEnd);
  let level = 0;
  for (let i = start; i < maxEnd; i++) {
    const c = bytes[i];
    if (c === QUOTE) {
      // Not a call of endOfStringBytes, which makes this loop half as fast.
      for (i++; i < maxEnd && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
    } else if (c === 123 || c === 91) level++;
    else if ((c === 125 || c === 93) && --level === 0) return i + 1;
  }
  return orSyntaxError(bytes, maxEnd, 'unterminated value');
}

/** Index after the string whose opening quote is at `start`. @throws SyntaxError */
export function endOfStringBytes(bytes: Uint8Array, start: number, maxBytes: number): number {
  const maxEnd = Math.min(bytes.length, start + maxBytes);
  for (let i = start + 1; i < maxEnd; i++) {
    const c = bytes[i];
    if (c === QUOTE) return i + 1;
    if (c === BACKSLASH) i++;
  }
  return orSyntaxError(bytes, maxEnd, 'unterminated string');
}

/** A number or a literal ends before a comma, a bracket or white space. */
function endOfBareBytes(bytes: Uint8Array, start: number, maxEnd: number): number {
  for (let i = start + 1; i < maxEnd; i++) {
    const c = bytes[i] ?? 0;
    if (c <= 32 || c === 44 || c === 93 || c === 125) return i;
  }
  return maxEnd < bytes.length ? TOO_LONG : maxEnd;
}

function orSyntaxError(bytes: Uint8Array, maxEnd: number, message: string): number {
  if (maxEnd < bytes.length) return TOO_LONG;
  throw new SyntaxError(message);
}
