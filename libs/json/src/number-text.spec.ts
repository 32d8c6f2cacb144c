import { describe, expect, it } from '@jest/globals';
import { canonicalNumber, isPositive, isWhole } from './number-text.js';

describe('a number as text', () => {
  it.each([
    ['5', '5.0', '0.5e1', '500E-2', '05e0'],
    ['0', '-0', '0.000', '0e99'],
    ['1e400', '10e399'],
    ['-1.25', '-125e-2'],
    ['12345678901234567890'],
  ])('is one however it is written: %s', (...texts) => {
    expect(new Set(texts.map(canonicalNumber)).size).toBe(1);
  });

  it('is told from its neighbours that are the same to a double', () => {
    expect(canonicalNumber('12345678901234567890')).not.toBe(canonicalNumber('12345678901234567891'));
    expect([isWhole('1e400'), isWhole('12345678901234567890.5'), isWhole('1.50e1'), isWhole('x')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    const texts = ['1e-400', '0', '-0.0', '-1', '"5"', 'true', 'null', ''];
    expect(texts.filter(isPositive)).toEqual(['1e-400']);
  });

  it('of 130,000 zeros is read in no time', () => {
    // Its own time, which others that run meanwhile do not make longer.
    const start = process.cpuUsage();
    expect(canonicalNumber(`0.${'0'.repeat(65_000)}1${'0'.repeat(65_000)}1`)).toMatch(/e-/);
    expect(canonicalNumber(`1${'0'.repeat(130_000)}`)).toBe('1e130000');
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1_000).toBeLessThan(500);
  });
});
