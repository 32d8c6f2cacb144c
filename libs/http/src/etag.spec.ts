import { describe, expect, it } from '@jest/globals';
import { etagOf, requireMatch } from './etag.js';
import { Problem } from './problems.js';

describe('etagOf', () => {
  it('is the same for the same text and another for another', () => {
    expect(etagOf('{"a":1}')).toBe(etagOf('{"a":1}'));
    expect(etagOf('{"a":1}')).not.toBe(etagOf('{"a": 1}'));
    expect(etagOf('')).not.toBe(etagOf(' '));
  });

  it('is a strong entity tag', () => {
    expect(etagOf('ü😀')).toMatch(/^"[\w-]{22}"$/);
  });
});

describe('requireMatch', () => {
  it.each([undefined, '*', ' * ', '"present"', '"old", "present"', '"old","present" '])(
    'lets a change through with If-Match %s',
    (header) => {
      expect(() => {
        requireMatch(header, '"present"');
      }).not.toThrow();
    },
  );

  it.each(['"old"', '"old", "older"', 'W/"present"', 'present', '', '"PRESENT"', '"present', '*, "old"'])(
    'refuses a change with If-Match %s and tells the present ETag',
    (header) => {
      try {
        requireMatch(header, '"present"');
      } catch (error) {
        expect(error).toBeInstanceOf(Problem);
        expect(error).toMatchObject({ slug: 'precondition-failed', status: 412, headers: { ETag: '"present"' } });
        return;
      }
      throw new Error('the change was let through');
    },
  );
});
