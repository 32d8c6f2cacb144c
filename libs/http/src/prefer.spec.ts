import { describe, expect, it } from '@jest/globals';
import { hasPreference } from './prefer.js';

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
