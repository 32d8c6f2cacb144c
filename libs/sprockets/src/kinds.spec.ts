import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FACTORIES } from './factory.js';
import { canonicalNumber, isPositive, isWhole } from './number-text.js';
import { SPROCKETS } from './sprocket.js';
import type { Kind } from './thing.js';

/** Numbers as text, in all the ways to write them. */
const digits = fc.stringMatching(/^(?:0|[1-9]\d{0,25})$/);
const number = fc
  .tuple(fc.constantFrom('', '-'), digits, fc.constantFrom('', '.0', '.10', '.000000000000000000001'))
  .map((parts) => parts.join(''));
const positive = fc
  .tuple(digits, fc.constantFrom('.5', '.10', 'e-400', 'E+4'))
  .map(([whole, rest]) => `1${whole}${rest}`);
const whole = digits.map((text) => `1${text}`);
const time = fc.integer({ min: 0, max: 253_402_300_799 }).map(String);

/** What comes back of one that was sent. */
function roundTrip(kind: Kind, text: string): string | undefined {
  const made = kind.toObject(JSON.parse(text), text, 0, '');
  expect(made).toHaveProperty('data');
  return kind.fromObject({ object_id: 'ß"', data: 'data' in made ? made.data : '' });
}

describe('what was sent comes back to the letter', () => {
  it('of a sprocket, in any order of its members', () => {
    fc.assert(
      fc.property(whole, positive, positive, positive, (teeth, ...[across, outside, pitch]) => {
        const sent = `{"pitch":${pitch},"teeth":${teeth},"outside_diameter":${outside},"pitch_diameter":${across}}`;
        const measures = `"teeth":${teeth},"pitch_diameter":${across},"outside_diameter":${outside},"pitch":${pitch}`;
        expect(roundTrip(SPROCKETS, sent)).toBe(`{"id":"ß\\"",${measures}}`);
      }),
    );
  });

  it('of a factory, its points in order', () => {
    const points = fc.array(fc.tuple(number, number, time), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(points, (list) => {
        const [actual, goal, times] = [0, 1, 2].map((place) => list.map((point) => point[place]).join());
        const series = `"sprocket_production_actual":[${actual ?? ''}],"sprocket_production_goal":[${goal ?? ''}]`;
        const chart = `"factory":{"chart_data":{${series},"time":[${times ?? ''}]}}`;
        expect(roundTrip(FACTORIES, `{${chart}}`)).toBe(`{"id":"ß\\"",${chart}}`);
      }),
    );
  });
});

it('a text that looks like points is none', () => {
  const text = '{"key": "time", "value": 5}';
  const data = JSON.stringify([
    { key: 'time', value: text },
    { key: text, value: 1 },
  ]);
  expect(FACTORIES.fromObject({ object_id: 'o', data })).toBeUndefined();
});

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
    const startedAt = Date.now();
    expect(canonicalNumber(`0.${'0'.repeat(65_000)}1${'0'.repeat(65_000)}1`)).toMatch(/e-/);
    expect(canonicalNumber(`1${'0'.repeat(130_000)}`)).toBe('1e130000');
    expect(Date.now() - startedAt).toBeLessThan(500);
  });
});
