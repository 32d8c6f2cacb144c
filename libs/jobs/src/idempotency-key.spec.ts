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
  ])('%s has the text %s', (header, text) => {
    expect(parseIdempotencyKey(header)).toBe(text);
  });

  it.each([
    ['nothing', ''],
    ['a string of nothing', '""'],
    ['256 characters', `${MAX}x`],
    ['256 characters in quotes', `"${MAX}x"`],
    ['a space', 'a b'],
    ['a space in quotes', '"a b"'],
    ['two headers, as Node.js joins them', 'a, b'],
    ['two strings, as Node.js joins them', '"a", "b"'],
    ['a quote that is not closed', '"abc'],
    ['a quote alone', '"'],
    ['an escape of nothing', '"abc\\"'],
    ['an escape that there is not', '"a\\bc"'],
    ['a quote in a string', '"a"b"'],
    ['parameters', '"abc";q=1'],
    ['a character beyond ASCII', 'é'],
    ['a control character', 'a\tb'],
    ['a line break', 'abc\n'],
  ])('cannot be %s', (_, header) => {
    expect(parseIdempotencyKey(header)).toBeNull();
  });

  it('is the same text as a string of RFC 8941, whatever characters it has', () => {
    const text = fc.stringMatching(/^[!#-~][!-~]{0,100}$/);
    fc.assert(
      fc.property(text, (bare) => {
        expect(parseIdempotencyKey(bare)).toBe(bare);
        expect(parseIdempotencyKey(`"${bare.replace(/["\\]/g, '\\$&')}"`)).toBe(bare);
      }),
    );
  });
});
