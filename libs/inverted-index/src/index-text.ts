/** Orders texts by code point, as the collation "C" does: UTF-16 has surrogates before U+E000 to U+FFFF. */
export function compareTexts(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const a = left.charCodeAt(i);
    const b = right.charCodeAt(i);
    if (a !== b) return withSurrogatesLast(a) - withSurrogatesLast(b);
  }
  return left.length - right.length;
}

function withSurrogatesLast(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
