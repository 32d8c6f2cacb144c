import { describe, expect, it } from '@jest/globals';
import { causeFaults } from './random-faults.js';
import { RUN_OPTIONS, printLine } from './run-options.js';

describe('after kills, suspended processes, clocks that were set back and a full disk at random times, under load', () => {
  it(
    'all acknowledged writes are stored, all jobs end, no batch is partial, and every write can be retried',
    async () => {
      const { rounds, seed, isLong } = RUN_OPTIONS;
      printLine(`faults: ${String(rounds)} rounds, --seed ${String(seed)}`);
      const { violations, tally } = await causeFaults({
        rounds,
        seed,
        // With `npm test`, test/security/full-disk.spec.ts fills it.
        fillsDisk: isLong,
        advancesClocks: !isLong,
        print: isLong ? printLine : () => undefined,
      });
      expect(violations).toEqual([]);
      expect(tally.stored).toBeGreaterThan(0);
      expect(tally.accepted).toBeGreaterThan(0);
    },
    RUN_OPTIONS.isLong ? 24 * 3_600_000 : 180_000,
  );
});
