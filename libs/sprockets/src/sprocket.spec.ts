import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SPROCKETS } from './sprocket.js';

const digits = fc.stringMatching(/^(?:0|[1-9]\d{0,25})$/);
/** Numbers as text, in all the ways to write them. */
const positive = fc
  .tuple(digits, fc.constantFrom('.5', '.10', 'e-400', 'E+4'))
  .map(([whole, rest]) => `1${whole}${rest}`);
const whole = digits.map((text) => `1${text}`);

it('a sprocket comes back to the letter, whatever the order of its members', () => {
  fc.assert(
    fc.property(whole, positive, positive, positive, (teeth, ...[across, outside, pitch]) => {
      const text = `{"pitch":${pitch},"teeth":${teeth},"outside_diameter":${outside},"pitch_diameter":${across}}`;
      const made = SPROCKETS.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
      expect(made).toHaveProperty('made');
      const measures = `"teeth":${teeth},"pitch_diameter":${across},"outside_diameter":${outside},"pitch":${pitch}`;
      const read = SPROCKETS.fromObject({ object_id: 'ß"', data: 'made' in made ? made.made : '' });
      expect(read).toBe(`{"id":"ß\\"",${measures}}`);
    }),
  );
});
