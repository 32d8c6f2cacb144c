import { describe, expect, it } from '@jest/globals';
import { Clock } from './clock.js';

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
