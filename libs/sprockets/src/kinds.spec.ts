import type { Kind } from '#warehouse';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FACTORIES } from './factory.js';
import { SPROCKETS } from './sprocket.js';

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
  const made = kind.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
  expect(made).toHaveProperty('made');
  return kind.fromObject({ object_id: 'ß"', data: 'made' in made ? made.made : '' });
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
