import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FACTORIES } from './factory.js';
import { NUMBER_RULE } from './factory.dto.js';

/** Numbers as text, in every JSON notation. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.stringMatching(/^(?:0|[1-9]\d{0,25})$/),
    fc.constantFrom('', '.0', '.10', '.000000000000000000001'),
  )
  .map((parts) => parts.join(''));
const time = fc.integer({ min: 0, max: 253_402_300_799 }).map(String);

it('reads a factory back with every digit and its points in order', () => {
  const points = fc.array(fc.tuple(number, number, time), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(points, (list) => {
      const [actual, goal, times] = [0, 1, 2].map((index) => list.map((point) => point[index]).join());
      const series = `"sprocket_production_actual":[${actual ?? ''}],"sprocket_production_goal":[${goal ?? ''}]`;
      const chart = `"factory":{"chart_data":{${series},"time":[${times ?? ''}]}}`;
      const text = `{${chart}}`;
      const parsed = FACTORIES.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
      expect(parsed).toHaveProperty('value');
      const read = FACTORIES.fromObject({ object_id: 'ß"', data: 'value' in parsed ? parsed.value : '' });
      expect(read).toBe(`{"id":"ß\\"",${chart}}`);
    }),
  );
});

it.each(['1e309', '-1e309'])('rejects a point of %s, which is not a finite double', (number) => {
  const text = `{"factory":{"chart_data":{"sprocket_production_actual":[${number}],"sprocket_production_goal":[1],"time":[1]}}}`;
  const parsed = FACTORIES.toObject({ value: JSON.parse(text), text, start: 0, pointer: '' });
  expect(parsed).toMatchObject({
    errors: { listed: [{ pointer: '/factory/chart_data/sprocket_production_actual/0', detail: NUMBER_RULE }] },
  });
});

it('does not parse text in the format of points as points', () => {
  const text = '{"key": "time", "value": 5}';
  const data = JSON.stringify([
    { key: 'time', value: text },
    { key: text, value: 1 },
  ]);
  expect(FACTORIES.fromObject({ object_id: 'o', data })).toBeUndefined();
});
