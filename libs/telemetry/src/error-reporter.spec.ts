import { describe, expect, it } from '@jest/globals';
import { withoutQuotes } from './error-reporter.js';

describe('the message of a reported error', () => {
  it.each([
    ['invalid input syntax for type integer: "secret"', 'invalid input syntax for type integer: "…"'],
    [`Unexpected token 's', "{"a": secr"... is not valid JSON`, 'Unexpected token "…"... is not valid JSON'],
    ['it ends "within a quote', 'it ends "…"'],
    ['no quotes', 'no quotes'],
    [`the key stw_admin_${'a'.repeat(36)} failed`, 'the key stw_… failed'],
  ])('has nothing that is quoted: %s', (message, expected) => {
    expect(withoutQuotes(message)).toBe(expected);
  });
});
