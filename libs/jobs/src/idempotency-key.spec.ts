import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseIdempotencyKey } from './idempotency-key.js';

const MAX = 'x'.repeat(255);

describe('an Idempotency-Key', () => {
  it.each([
    ['abc', 'abc'],
    ['8e03978e-40d5-43e8-bc93-6894a57f9324', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['~!#/,;=\\', '~!#/,;=\\'],
    ['a"b', 'a"b'],
    [MAX, MAX],
    ['"abc"', 'abc'],
    [`"${MAX}"`, MAX],
    ['"a\\"b\\\\c"', 'a"b\\c'],
  ])('%s is parsed as %s', (header, text) => {
    expect(parseIdempotencyKey(header)).toBe(text);
  });

  it.each([
    ['empty', ''],
    ['an empty string in quotes', '""'],
    ['256 characters', `${MAX}x`],
    ['256 characters in quotes', `"${MAX}x"`],
    ['a space', 'a b'],
    ['a space in quotes', '"a b"'],
    ['two headers as joined by Node.js', 'a, b'],
    ['two quoted strings as joined by Node.js', '"a", "b"'],
    ['an unclosed quote', '"abc'],
    ['a single quote character', '"'],
    ['a backslash at the end', '"abc\\"'],
    ['an unknown escape', '"a\\bc"'],
    ['an unescaped quote in a string', '"a"b"'],
    ['a string with parameters', '"abc";q=1'],
    ['a non-ASCII character', 'é'],
    ['a control character', 'a\tb'],
    ['a line break', 'abc\n'],
  ])('is rejected if it is %s', (_, header) => {
    expect(parseIdempotencyKey(header)).toBeNull();
  });

  it('is parsed as a string of RFC 8941 with any valid characters', () => {
    const text = fc.stringMatching(/^[!#-~][!-~]{0,100}$/);
    fc.assert(
      fc.property(text, (bare) => {
        expect(parseIdempotencyKey(bare)).toBe(bare);
        expect(parseIdempotencyKey(`"${bare.replace(/["\\]/g, '\\$&')}"`)).toBe(bare);
      }),
    );
  });
});
