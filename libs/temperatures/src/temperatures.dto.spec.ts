import 'reflect-metadata';
import { mistakesIn } from '#platform';
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isReading, NewReadingDto } from './temperatures.dto.js';

const value = fc.oneof(
  fc.jsonValue({ maxDepth: 1 }),
  fc.constantFrom(0, -0, Infinity, '10.5', '2024-12-10T16:45:00', '2024-02-30T00:00:00Z', '2024-12-10', null),
);
const member = fc.oneof(
  fc.constantFrom('temperature', 'recorded_at', 'recordedAt', 'constructor', '__proto__', 'toString', ''),
  fc.string(),
);
const members = fc.array(fc.tuple(member, value), { maxLength: 3 });
const good = fc.tuple(fc.constant('temperature'), fc.oneof(fc.double({ noNaN: true }), value));

it('a reading is taken at a glance just where its DTO has nothing against it', () => {
  let taken = 0;
  const agree = (sent: unknown): void => {
    const isGood = isReading(sent);
    if (isGood) taken++;
    expect([sent, isGood]).toEqual([sent, mistakesIn(NewReadingDto, sent, '').length === 0]);
  };
  fc.assert(fc.property(value, agree));
  const object = fc.tuple(good, members).map(([first, more]) => Object.fromEntries([first, ...more]) as object);
  fc.assert(fc.property(object, agree), { numRuns: 1_000 });
  fc.assert(
    fc.property(
      members.map((all) => Object.fromEntries(all) as object),
      agree,
    ),
  );
  agree(JSON.parse('{"temperature":1,"__proto__":2}'));
  expect(taken).toBeGreaterThan(50);
});
