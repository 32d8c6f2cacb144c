import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SeqRuns } from './seq-runs.js';

const seqs = fc
  .uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1 })
  .map((list) => list.sort((a, b) => a - b).map((step) => 385_000_000_000_000_000n + BigInt(step) * 1024n));

describe('SeqRuns', () => {
  it('returns the numbers that were added, by their ordinals and from its bytes', () => {
    fc.assert(
      fc.property(seqs, (list) => {
        const runs = new SeqRuns();
        for (const seq of list) runs.add(seq);
        const copy = SeqRuns.from(runs.toBuffer());
        expect([...copy]).toEqual(list);
        expect(copy.length).toBe(list.length);
        for (const [ordinal, seq] of list.entries()) {
          expect(copy.at(ordinal)).toBe(seq);
          expect(copy.ordinalOf(seq)).toBe(ordinal);
          expect(copy.ordinalOf(seq + 1n)).toBe(-1);
          expect(copy.countUpTo(seq)).toBe(ordinal + 1);
          expect(copy.countUpTo(seq - 1n)).toBe(ordinal);
        }
      }),
    );
  });
});
