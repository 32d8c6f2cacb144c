import { describe, expect, it } from '@jest/globals';
import { checkPreconditions, preconditionsOf, type Preconditions } from './preconditions.js';
import { Problem } from './problems.js';

const CURRENT = '"current"';
const OPTIONAL = { requireIfMatch: false };
const REQUIRED = { requireIfMatch: true };

describe('checkPreconditions', () => {
  describe('If-Match', () => {
    it.each([
      undefined,
      '*',
      ' * ',
      CURRENT,
      '"old", "current"',
      '"old","current" ',
      '"old,er", "current"',
      'W/"old", "current"',
    ])('allows a change with %s', (ifMatch) => {
      expect(outcome({ ifMatch }, CURRENT)).toBe('allowed');
    });

    it.each([
      '"old"',
      '"old", "older"',
      'W/"current"',
      'w/"current"',
      'current',
      '',
      '"CURRENT"',
      '"current',
      '*, "old"',
    ])('rejects a change with %s and returns the current ETag', (ifMatch) => {
      expect(outcome({ ifMatch }, CURRENT)).toEqual([412, { ETag: CURRENT }]);
    });

    it.each(['*', CURRENT, 'W/"current"', ''])('rejects the creation of a resource with %s', (ifMatch) => {
      expect(outcome({ ifMatch }, null)).toEqual([412, {}]);
    });
  });

  describe('If-None-Match', () => {
    it.each(['*', ' * ', CURRENT, 'W/"current"', '"old", W/"current"'])(
      'rejects a change with %s and returns the current ETag',
      (ifNoneMatch) => {
        expect(outcome({ ifNoneMatch }, CURRENT)).toEqual([412, { ETag: CURRENT }]);
      },
    );

    it.each([undefined, '"old"', 'W/"old", "older"', '"old, current"', '"CURRENT"'])(
      'allows a change with %s',
      (ifNoneMatch) => {
        expect(outcome({ ifNoneMatch }, CURRENT)).toBe('allowed');
      },
    );

    it.each(['*', '"old"', CURRENT])('allows creating a resource with %s', (ifNoneMatch) => {
      expect(outcome({ ifNoneMatch }, null)).toBe('allowed');
    });
  });

  it('rejects a change if either of the two headers fails', () => {
    expect(outcome({ ifMatch: CURRENT, ifNoneMatch: '*' }, CURRENT)).toEqual([412, { ETag: CURRENT }]);
    expect(outcome({ ifMatch: '"old"', ifNoneMatch: '"old"' }, CURRENT)).toEqual([412, { ETag: CURRENT }]);
    expect(outcome({ ifMatch: CURRENT, ifNoneMatch: '"old"' }, CURRENT)).toBe('allowed');
  });

  describe('with REQUIRE_IF_MATCH', () => {
    it('rejects a change without If-Match', () => {
      expect(outcome({}, CURRENT, REQUIRED)).toEqual([428, {}]);
      expect(outcome({ ifNoneMatch: '"old"' }, CURRENT, REQUIRED)).toEqual([428, {}]);
    });

    it('rejects If-None-Match: * on an existing resource as a failed precondition', () => {
      expect(outcome({ ifNoneMatch: '*' }, CURRENT, REQUIRED)).toEqual([412, { ETag: CURRENT }]);
    });

    it.each(['*', CURRENT])('allows a change with If-Match %s', (ifMatch) => {
      expect(outcome({ ifMatch }, CURRENT, REQUIRED)).toBe('allowed');
    });

    it('allows creating a resource without If-Match', () => {
      expect(outcome({}, null, REQUIRED)).toBe('allowed');
      expect(outcome({ ifNoneMatch: '*' }, null, REQUIRED)).toBe('allowed');
    });
  });

  it('names the header that failed', () => {
    expect(detail({ ifMatch: '"old"' }, CURRENT)).toMatch(/^If-Match does not name the current ETag/);
    expect(detail({ ifMatch: '*' }, null)).toMatch(/^If-Match requires an existing resource/);
    expect(detail({ ifNoneMatch: '*' }, CURRENT)).toMatch(/^If-None-Match: \* requires that the resource does not/);
    expect(detail({ ifNoneMatch: CURRENT }, CURRENT)).toMatch(/^If-None-Match names the current ETag/);
  });
});

describe('preconditionsOf', () => {
  it('is the same after a round trip through JSON', () => {
    const preconditions = preconditionsOf({ headers: { 'if-match': CURRENT } });
    const kept = JSON.parse(JSON.stringify(preconditions)) as Preconditions;
    expect(kept).toEqual({ ifMatch: CURRENT });
    expect(outcome(kept, '"other"')).toEqual([412, { ETag: '"other"' }]);
  });
});

function outcome(preconditions: Preconditions, etag: string | null, rules = OPTIONAL): unknown {
  const problem = problemFor(preconditions, etag, rules);
  return problem === null ? 'allowed' : [problem.status, problem.headers];
}

function detail(preconditions: Preconditions, etag: string | null): string | undefined {
  return problemFor(preconditions, etag, OPTIONAL)?.message;
}

function problemFor(preconditions: Preconditions, etag: string | null, rules: typeof OPTIONAL): Problem | null {
  try {
    checkPreconditions(preconditions, etag, rules);
    return null;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}
