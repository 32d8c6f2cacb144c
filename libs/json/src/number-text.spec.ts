import { describe, expect, it } from '@jest/globals';
import { canonicalNumber, isPositive, isWhole, NUMBER_PATTERN } from './number-text.js';

describe('canonicalNumber', () => {
  it.each([
    ['5', '5.0', '0.5e1', '500E-2', '5e0'],
    ['0', '-0', '0.000', '0e99'],
    ['1e400', '10e399'],
    ['-1.25', '-125e-2'],
    ['12345678901234567890'],
  ])('is equal for equal numbers: %s', (...texts) => {
    expect(new Set(texts.map(canonicalNumber)).size).toBe(1);
  });

  it.each(['05', '+5', '.5', '5.', '0x5', '5e', ' 5', '-', '', 'NaN'])('is undefined for %j', (text) => {
    expect(canonicalNumber(text)).toBeUndefined();
    expect(new RegExp(`^${NUMBER_PATTERN}$`).test(text)).toBe(false);
  });

  it('differs for numbers that are equal as doubles', () => {
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

  it('takes linear time on 130,000 zeros', () => {
    // CPU time of this process, which does not depend on other processes.
    const start = process.cpuUsage();
    expect(canonicalNumber(`0.${'0'.repeat(65_000)}1${'0'.repeat(65_000)}1`)).toMatch(/e-/);
    expect(canonicalNumber(`1${'0'.repeat(130_000)}`)).toBe('1e130000');
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1_000).toBeLessThan(500);
  });
});
