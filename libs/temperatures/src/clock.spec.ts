import { describe, expect, it } from '@jest/globals';
import { Clock, timeOfMicros, utcOf } from './clock.js';

describe('a time', () => {
  it.each([
    ['2024-12-10T16:45:00', '2024-12-10T16:45:00Z'],
    ['2024-12-10t16:45:00z', '2024-12-10T16:45:00Z'],
    ['2024-12-10T16:45:00.000Z', '2024-12-10T16:45:00Z'],
    ['2024-12-10T16:45:00.50', '2024-12-10T16:45:00.5Z'],
    ['2024-12-10T16:45:00.12345600000', '2024-12-10T16:45:00.123456Z'],
    ['2024-12-10T00:15:00.5+01:30', '2024-12-09T22:45:00.5Z'],
    ['2024-12-10t16:45:00-00:00', '2024-12-10T16:45:00Z'],
    ['0001-01-01T14:00:00+14:00', '0001-01-01T00:00:00Z'],
  ])('%s is told as %s', (sent, told) => {
    expect(utcOf(sent)).toBe(told);
  });

  it('of the clock is told to the microsecond', () => {
    expect(timeOfMicros(1_733_849_100_000_000)).toBe('2024-12-10T16:45:00Z');
    expect(timeOfMicros(1_733_849_100_000_001)).toBe('2024-12-10T16:45:00.000001Z');
    expect(timeOfMicros(1_733_849_100_120_000)).toBe('2024-12-10T16:45:00.12Z');
  });
});

describe('the clock', () => {
  it('gives no time twice, and each range whole', () => {
    const clock = new Clock();
    const times = Array.from({ length: 1_000 }, () => clock.next());
    expect(new Set(times).size).toBe(times.length);
    const first = clock.next(10_000);
    expect(clock.next()).toBeGreaterThanOrEqual(first + 10_000);
    expect(Math.abs(first / 1_000 - Date.now())).toBeLessThan(1_000);
  });
});
