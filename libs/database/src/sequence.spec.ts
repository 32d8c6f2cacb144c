import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SEQ_STEP, Sequence, timeOfSeq } from './sequence.js';

const START = Date.parse('2026-11-21T09:00:00.123Z');

/** A clock that a test moves. */
function clock(): { ms: number; now: () => number } {
  const one = { ms: START, now: () => one.ms };
  return one;
}

describe('a sequence', () => {
  it('tells in its numbers when they were made', () => {
    const time = clock();
    const sequence = new Sequence(5, time.now);
    expect(timeOfSeq(sequence.next())).toBe('2026-11-21T09:00:00.123Z');
    time.ms += 1;
    expect(timeOfSeq(sequence.next().toString())).toBe('2026-11-21T09:00:00.124Z');
  });

  it('only grows, also when the clock stands still or goes back, and no two ranges touch', () => {
    const steps = fc.array(
      fc.record({ ms: fc.integer({ min: -1000, max: 1000 }), count: fc.integer({ min: 1, max: 10_000 }) }),
    );
    fc.assert(
      fc.property(steps, (all) => {
        const time = clock();
        const sequence = new Sequence(0, time.now);
        let end = -1n;
        for (const { ms, count } of all) {
          time.ms += ms;
          const first = sequence.next(count);
          expect(first).toBeGreaterThan(end);
          end = first + BigInt(count - 1) * BigInt(SEQ_STEP);
        }
      }),
    );
  });

  it('never meets the numbers of another lane', () => {
    const time = clock();
    const seen = new Set<bigint>();
    for (const lane of [0, 1, 2, 1023]) {
      const sequence = new Sequence(lane, time.now);
      const first = sequence.next(5);
      for (let i = 0n; i < 5n; i++) seen.add(first + i * BigInt(SEQ_STEP));
      expect(first % BigInt(SEQ_STEP)).toBe(BigInt(lane));
    }
    expect(seen.size).toBe(20);
  });

  it('runs 25 ms ahead of the clock for 100,000 numbers, and is back in time after them', () => {
    const time = clock();
    const sequence = new Sequence(0, time.now);
    sequence.next(100_000);
    expect(Date.parse(timeOfSeq(sequence.next())) - START).toBe(24);
    time.ms += 25;
    expect(timeOfSeq(sequence.next())).toBe(new Date(START + 25).toISOString());
  });

  it('fits into a bigint of the database, and stays exact, until the year 2093', () => {
    const time = clock();
    time.ms = Date.parse('2093-01-01T00:00:00.999Z');
    const sequence = new Sequence(1023, time.now);
    const first = sequence.next();
    expect(first).toBeLessThan(2n ** 63n);
    expect(timeOfSeq(first)).toBe('2093-01-01T00:00:00.999Z');
    expect(sequence.next() - first).toBe(BigInt(SEQ_STEP));
  });
});
