import { describe, expect, it } from '@jest/globals';
import { etagOf } from './etag.js';

describe('etagOf', () => {
  it('is equal only for equal texts', () => {
    expect(etagOf('{"a":1}')).toBe(etagOf('{"a":1}'));
    expect(etagOf('{"a":1}')).not.toBe(etagOf('{"a": 1}'));
    expect(etagOf('')).not.toBe(etagOf(' '));
  });

  it('is a strong entity tag', () => {
    expect(etagOf('ü😀')).toMatch(/^"[\w-]{22}"$/);
  });
});
