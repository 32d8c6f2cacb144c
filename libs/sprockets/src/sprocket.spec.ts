import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SPROCKETS } from './sprocket.js';

const digits = fc.stringMatching(/^(?:0|[1-9]\d{0,25})$/);
/** Numbers as text, in every JSON notation. */
const positive = fc
  .tuple(digits, fc.constantFrom('.5', '.10', 'e-400', 'E+4'))
  .map(([whole, rest]) => `1${whole}${rest}`);
const whole = digits.map((text) => `1${text}`);

it('reads a sprocket back with every digit, for any order of its members', () => {
  fc.assert(
    fc.property(whole, positive, positive, positive, (teeth, ...[across, outside, pitch]) => {
      const text = `{"pitch":${pitch},"teeth":${teeth},"outside_diameter":${outside},"pitch_diameter":${across}}`;
      const parsed = SPROCKETS.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
      expect(parsed).toHaveProperty('value');
      const measures = `"teeth":${teeth},"pitch_diameter":${across},"outside_diameter":${outside},"pitch":${pitch}`;
      const read = SPROCKETS.fromObject({ object_id: 'ß"', data: 'value' in parsed ? parsed.value : '' });
      expect(read).toBe(`{"id":"ß\\"",${measures}}`);
    }),
  );
});

it.each(['teeth', 'pitch_diameter', 'outside_diameter', 'pitch'])(
  'rejects 1e400, which is not a finite double, as %s',
  (key) => {
    const text = JSON.stringify({ teeth: 1, pitch_diameter: 1, outside_diameter: 1, pitch: 1 }).replace(
      `"${key}":1`,
      `"${key}":1e400`,
    );
    const parsed = SPROCKETS.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
    expect(parsed).toMatchObject({ errors: { count: 1, listed: [{ pointer: `/${key}` }] } });
  },
);

it('does not read an object with a number beyond the range of a double as a sprocket', () => {
  const data =
    '[{"key":"teeth","value":1e400},{"key":"pitch_diameter","value":1},{"key":"outside_diameter","value":1},{"key":"pitch","value":1}]';
  expect(SPROCKETS.fromObject({ object_id: 'o', data })).toBeUndefined();
});
