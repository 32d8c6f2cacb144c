import { describe, expect, it } from '@jest/globals';
import { hasPreference, waitPreference } from './prefer.js';

describe('hasPreference', () => {
  it.each([
    ['return=representation'],
    ['Return="representation"'],
    ['return = representation'],
    ['respond-async, return=representation'],
    ['wait=10,return=representation ; x="1"'],
    [['respond-async', 'return=representation']],
  ])('finds a preference in any notation and among others: %j', (header) => {
    expect(hasPreference(header, 'return=representation')).toBe(true);
  });

  it.each([
    [undefined],
    [''],
    [[]],
    ['return=minimal'],
    ['return'],
    ['representation'],
    ['respond-async'],
    ['x; return=representation'],
    ['return=representations'],
    ['xreturn=representation'],
  ])('does not find a preference that is not sent: %j', (header) => {
    expect(hasPreference(header, 'return=representation')).toBe(false);
  });

  it('distinguishes preferences', () => {
    expect(hasPreference('respond-async', 'respond-async')).toBe(true);
    expect(hasPreference('respond-sync, return=representation', 'respond-async')).toBe(false);
    expect(hasPreference('respond-async; wait=10', 'respond-async')).toBe(true);
  });
});

describe('waitPreference', () => {
  it.each([
    ['wait=5', 5],
    ['Wait = 5', 5],
    ['wait="5"', 5],
    ['wait=5; x=1', 5],
    ['respond-async, wait=0', 0],
    [['return=minimal', 'wait=5'], 5],
    ['wait=99999999999', 99_999_999_999],
    ['wait=5, wait=6', 5],
  ])('returns the seconds of the first one: %j', (header, seconds) => {
    expect(waitPreference(header)).toBe(seconds);
  });

  it.each([
    [undefined],
    [''],
    ['respond-async'],
    ['wait'],
    ['wait='],
    ['wait=""'],
    ['wait=soon'],
    ['wait=1.5'],
    ['wait=-1'],
    ['wait=1 0'],
    ['wait="5'],
    ['await=5'],
    ['x; wait=5'],
    ['wait=soon, wait=5'],
  ])('ignores a header without a number of seconds: %j', (header) => {
    expect(waitPreference(header)).toBeNull();
  });
});
