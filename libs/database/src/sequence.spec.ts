import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SEQ_STEP, Sequence, SequenceUnavailableError, ticksOf, timeOfSeq } from './sequence.js';

const START = Date.parse('2026-11-21T09:00:00.123Z');
const EPOCH_MS = Date.parse('2024-01-01T00:00:00Z');

/** Clocks that the test sets. */
class TestClocks {
  ms = START;
  monotonicMs = 0;
  now = (): number => this.ms;
  monotonicNow = (): number => this.monotonicMs;
}

function sequenceOf(lane: number, clocks: TestClocks, range: object = {}): Sequence {
  const sequence = new Sequence(clocks);
  sequence.use({ lane, afterTick: 0, untilTick: Number.MAX_SAFE_INTEGER, endsAtMs: Infinity, ...range });
  return sequence;
}

describe('a sequence', () => {
  it('includes the time of generation in each number', () => {
    const clocks = new TestClocks();
    const sequence = sequenceOf(5, clocks);
    expect(timeOfSeq(sequence.next())).toBe('2026-11-21T09:00:00.123Z');
    clocks.ms += 1;
    expect(timeOfSeq(sequence.next().toString())).toBe('2026-11-21T09:00:00.124Z');
  });

  it('only increases, even when the clock stops or is set back, and ranges never overlap', () => {
    const steps = fc.array(
      fc.record({ ms: fc.integer({ min: -1000, max: 1000 }), count: fc.integer({ min: 1, max: 10_000 }) }),
    );
    fc.assert(
      fc.property(steps, (all) => {
        const clocks = new TestClocks();
        const sequence = sequenceOf(0, clocks);
        let end = -1n;
        for (const { ms, count } of all) {
          clocks.ms += ms;
          const first = sequence.next(count);
          expect(first).toBeGreaterThan(end);
          end = first + BigInt(count - 1) * BigInt(SEQ_STEP);
        }
      }),
    );
  });

  it('generates only numbers of its lane', () => {
    const clocks = new TestClocks();
    const seen = new Set<bigint>();
    for (const lane of [0, 1, 2, 1023]) {
      const first = sequenceOf(lane, clocks).next(5);
      for (let i = 0n; i < 5n; i++) seen.add(first + i * BigInt(SEQ_STEP));
      expect(first % BigInt(SEQ_STEP)).toBe(BigInt(lane));
    }
    expect(seen.size).toBe(20);
  });

  it('runs 25 ms ahead of the clock for 100,000 numbers, and returns to the clock afterwards', () => {
    const clocks = new TestClocks();
    const sequence = sequenceOf(0, clocks);
    sequence.next(100_000);
    expect(Date.parse(timeOfSeq(sequence.next())) - START).toBe(24);
    clocks.ms += 25;
    expect(timeOfSeq(sequence.next())).toBe(new Date(START + 25).toISOString());
  });

  it('fits exactly into a bigint of PostgreSQL until the year 2093', () => {
    const clocks = new TestClocks();
    clocks.ms = Date.parse('2093-01-01T00:00:00.999Z');
    const sequence = sequenceOf(1023, clocks);
    const first = sequence.next();
    expect(first).toBeLessThan(2n ** 63n);
    expect(timeOfSeq(first)).toBe('2093-01-01T00:00:00.999Z');
    expect(sequence.next() - first).toBe(BigInt(SEQ_STEP));
  });
});

describe('the range of a lane', () => {
  const tickOfStart = ticksOf(START - EPOCH_MS);

  it('begins after the numbers of the previous holder, even when they are ahead of the clock', () => {
    const sequence = sequenceOf(3, new TestClocks(), { afterTick: tickOfStart + 99_999 });
    expect(sequence.next() >> 10n).toBe(BigInt(tickOfStart + 100_000));
  });

  it('is used up to its last number, and not beyond', () => {
    const sequence = sequenceOf(3, new TestClocks(), { untilTick: tickOfStart + 9 });
    expect(() => sequence.next(11)).toThrow(SequenceUnavailableError);
    expect(sequence.next(10) >> 10n).toBe(BigInt(tickOfStart));
    expect(() => sequence.next()).toThrow(SequenceUnavailableError);
  });

  it('is not used after the lease expires on the monotonic clock, even when the system clock is set back', () => {
    const clocks = new TestClocks();
    const sequence = sequenceOf(3, clocks, { endsAtMs: 1_000 });
    clocks.ms -= 3_600_000;
    clocks.monotonicMs = 999;
    sequence.next();
    clocks.monotonicMs = 1_000;
    expect(() => sequence.next()).toThrow(SequenceUnavailableError);
  });

  it('is not used after a suspension of the machine, which only the system clock shows', () => {
    const clocks = new TestClocks();
    const sequence = sequenceOf(3, clocks, { untilTick: tickOfStart + ticksOf(60_000), endsAtMs: 59_000 });
    clocks.ms += 3_600_000;
    expect(() => sequence.next()).toThrow(SequenceUnavailableError);
  });

  it('can be followed by a range of another lane, and numbers still increase', () => {
    const clocks = new TestClocks();
    const sequence = sequenceOf(900, clocks);
    const before = sequence.next(100);
    sequence.use(undefined);
    expect(() => sequence.next()).toThrow(SequenceUnavailableError);
    sequence.use({ lane: 1, afterTick: 0, untilTick: Number.MAX_SAFE_INTEGER, endsAtMs: Infinity });
    expect(sequence.next()).toBeGreaterThan(before + 99n * BigInt(SEQ_STEP));
  });
});
