import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { findSyntaxError } from './json-syntax-error.js';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON with one character inserted, removed or replaced. */
const damaged = fc
  .tuple(
    fc.json({ maxDepth: 4 }),
    fc.nat(),
    fc.constantFrom('', ...'{}[],:"\\0-+.eE \n\u0001aNtu/\'ü'),
    fc.constantFrom(0, 1),
  )
  .map(([text, at, inserted, removedLength]) => {
    const position = at % (text.length + 1);
    return text.slice(0, position) + inserted + text.slice(position + removedLength);
  });

describe('findSyntaxError', () => {
  it('is undefined exactly where JSON.parse accepts the text', () => {
    const found = { json: 0, none: 0 };
    fc.assert(
      fc.property(damaged, (text) => {
        const isGood = isJson(text);
        found[isGood ? 'json' : 'none']++;
        expect([text, findSyntaxError(text) === undefined]).toEqual([text, isGood]);
      }),
      { numRuns: 5_000 },
    );
    expect([found.json > 500, found.none > 500]).toEqual([true, true]);
  });

  it.each([
    ['{"teeth":NaN}', 9],
    ['{"teeth":1,}', 11],
    ["{'teeth':1}", 1],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['{"a" 1}', 5],
    ['{"a":True}', 5],
    ['-', 0],
    ['01', 1],
    ['1.', 1],
    ['"a\nb"', 2],
    ['"\\x"', 1],
    ['"open', 5],
    ['[{"a":1}', 8],
    ['{} {}', 3],
    ['[1]]', 3],
    ['{]', 1],
    ['', 0],
  ])('finds the first error of %j at %d', (text, place) => {
    expect(findSyntaxError(text)).toBe(place);
  });

  it('finds an error in a text of millions of characters', () => {
    const strings = `["${'\\n'.repeat(2_000_000)}",${'['.repeat(1_000_000)}`;
    expect(findSyntaxError(`${strings}x`)).toBe(strings.length);
  });
});
