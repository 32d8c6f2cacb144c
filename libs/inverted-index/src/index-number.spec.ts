import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareNumbers, compareNumberTexts, indexNumber, numberOrder, type IndexNumber } from './index-number.js';

const digits = fc.stringMatching(/^[1-9]\d{0,30}$/);
const number = fc
  .tuple(fc.constantFrom('', '-'), digits, fc.stringMatching(/^\d{0,30}$/), fc.integer({ min: -150, max: 150 }))
  .map(([sign, whole, fraction, exponent]) => {
    return `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}e${String(exponent)}`;
  });

/** The value times 10^400, exactly. */
function scaled(text: string): bigint {
  const [significand = '', exponent = '0'] = text.split('e');
  const [whole = '', fraction = ''] = significand.split('.');
  return BigInt(whole + fraction) * 10n ** BigInt(400 + Number(exponent) - fraction.length);
}

const indexed = (text: string): IndexNumber => indexNumber(text) ?? 'too long';

describe('indexNumber', () => {
  it('is equal exactly for numbers of equal value', () => {
    fc.assert(fc.property(number, number, (a, b) => (indexed(a) === indexed(b)) === (scaled(a) === scaled(b))));
    for (const text of ['1', '1.0', '10e-1', '0.1e1']) expect(indexNumber(text)).toBe(1);
    for (const text of ['0', '-0', '0e5', '0.000']) expect(indexNumber(text)).toBe(0);
    expect(indexNumber('12345678901234567890')).not.toBe(indexNumber('12345678901234567891'));
  });

  it('returns null for more than 200 significant digits', () => {
    expect(indexNumber('1'.repeat(200))).not.toBeNull();
    expect(indexNumber('1'.repeat(201))).toBeNull();
    expect(indexNumber(`1${'0'.repeat(300)}`)).toBe('1e300');
  });
});

describe('compareNumbers', () => {
  it('orders numbers by their exact value', () => {
    fc.assert(
      fc.property(number, number, (a, b) => {
        const order = scaled(a) < scaled(b) ? -1 : scaled(a) > scaled(b) ? 1 : 0;
        return Math.sign(compareNumbers(indexed(a), indexed(b))) === order;
      }),
    );
    const sorted = [indexed('-1e130'), -5, 0, 1e-7, 0.1, '1000000000000000001e-18', 2, '1e130'];
    expect(sorted.toReversed().sort(compareNumbers)).toEqual(sorted);
  });
});

describe('numberOrder and compareNumberTexts', () => {
  // A double holds some of these as zero or infinity.
  const ascending = ['-1e400', '-2', '-1e-400', '0', '1e-400', '0.1', '2', '12345678901234567890', '1e400'];
  it('order texts of numbers exactly, also those beyond a double', () => {
    for (const [i, left] of ascending.entries()) {
      for (const [j, right] of ascending.entries()) {
        const orders = [compareNumberTexts(left, right), numberOrder(right)(left)].map(Math.sign);
        expect([left, right, ...orders]).toEqual([left, right, Math.sign(i - j), Math.sign(i - j)]);
      }
    }
  });
});
