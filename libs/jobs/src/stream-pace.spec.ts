import { expect, it } from '@jest/globals';
import { StreamPace } from './stream-pace.js';

const KIB = 1024;

/** Adds the same bytes and time until the client is too slow. @returns the number of times; 1,000 where it never is */
function timesUntilSlow(bytes: number, waitedMs: number): number {
  const pace = new StreamPace({ pauseMs: 1_000, bytesPerSecond: 100 * KIB });
  for (let times = 1; times < 1_000; times++) {
    pace.add(bytes, waitedMs);
    if (pace.isTooSlow) return times;
  }
  return 1_000;
}

it('a client at the minimum rate is never too slow, and one below it is when its pauses are used up', () => {
  expect(timesUntilSlow(10 * KIB, 100)).toBe(1_000);
  // 10 of each 100 ms are lost.
  expect(timesUntilSlow(9 * KIB, 100)).toBe(100);
  expect(timesUntilSlow(0, 100)).toBe(10);
});

it('bytes that arrive fast are not saved up for a later pause', () => {
  const pace = new StreamPace({ pauseMs: 1_000, bytesPerSecond: 100 * KIB });
  pace.add(1_000_000 * KIB, 0);
  pace.add(0, 999);
  expect(pace.isTooSlow).toBe(false);
  pace.add(0, 1);
  expect(pace.isTooSlow).toBe(true);
});
