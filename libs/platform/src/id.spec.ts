import { describe, expect, it } from '@jest/globals';
import { ID_PATTERN, isId, isSubject, SUBJECT_PATTERN } from './id.js';

const valid = ['a', ' ', 'a/b', 'ü', '😀'.repeat(255), 'x'.repeat(255), '\u2028', '...', '.a', 'a.', '. '];

describe('isSubject', () => {
  it.each([...valid, '.', '..'])('accepts %j', (subject) => {
    expect(isSubject(subject)).toBe(true);
    expect(subject).toMatch(new RegExp(SUBJECT_PATTERN, 'u'));
  });

  it.each(['', 'x'.repeat(256), '😀'.repeat(256), 'a\nb', '\u0000', '\u007f', '\u0085'])('rejects %j', (subject) => {
    expect(isSubject(subject)).toBe(false);
    expect(isId(subject)).toBe(false);
  });
});

describe('isId', () => {
  it.each(valid)('accepts %j', (id) => {
    expect(isId(id)).toBe(true);
    expect(id).toMatch(new RegExp(ID_PATTERN, 'u'));
  });

  it.each(['.', '..'])('rejects %j, which URL parsers remove from paths', (id) => {
    expect(isId(id)).toBe(false);
    expect(id).not.toMatch(new RegExp(ID_PATTERN, 'u'));
  });
});
