import { describe, expect, it } from '@jest/globals';
import { isId } from './id.js';

describe('isId', () => {
  it.each(['a', ' ', 'a/b', 'ü', '😀'.repeat(255), 'x'.repeat(255), '\u2028'])('accepts %j', (id) => {
    expect(isId(id)).toBe(true);
  });

  it.each(['', 'x'.repeat(256), '😀'.repeat(256), 'a\nb', '\u0000', '\u007f', '\u0085'])('rejects %j', (id) => {
    expect(isId(id)).toBe(false);
  });
});
