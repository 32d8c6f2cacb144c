import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FACTORIES } from './factory.js';

/** Numbers as text, in all the ways to write them. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.stringMatching(/^(?:0|[1-9]\d{0,25})$/),
    fc.constantFrom('', '.0', '.10', '.000000000000000000001'),
  )
  .map((parts) => parts.join(''));
const time = fc.integer({ min: 0, max: 253_402_300_799 }).map(String);

it('a factory comes back to the letter, its points in order', () => {
  const points = fc.array(fc.tuple(number, number, time), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(points, (list) => {
      const [actual, goal, times] = [0, 1, 2].map((place) => list.map((point) => point[place]).join());
      const series = `"sprocket_production_actual":[${actual ?? ''}],"sprocket_production_goal":[${goal ?? ''}]`;
      const chart = `"factory":{"chart_data":{${series},"time":[${times ?? ''}]}}`;
      const text = `{${chart}}`;
      const made = FACTORIES.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
      expect(made).toHaveProperty('made');
      const read = FACTORIES.fromObject({ object_id: 'ß"', data: 'made' in made ? made.made : '' });
      expect(read).toBe(`{"id":"ß\\"",${chart}}`);
    }),
  );
});

it('a text that looks like points is none', () => {
  const text = '{"key": "time", "value": 5}';
  const data = JSON.stringify([
    { key: 'time', value: text },
    { key: text, value: 1 },
  ]);
  expect(FACTORIES.fromObject({ object_id: 'o', data })).toBeUndefined();
});
