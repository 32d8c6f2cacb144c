import { describe, expect, it } from '@jest/globals';
import { killAtRandom } from './kills.js';
import { RUN_OPTIONS, printLine } from './run-options.js';

describe('after SIGKILL of the server, the worker and PostgreSQL at random times, under load', () => {
  it(
    'all acknowledged writes are stored, all jobs end, no batch is partial, and every write can be retried',
    async () => {
      const { rounds, seed, isLong } = RUN_OPTIONS;
      printLine(`kills: ${String(rounds)} rounds, --seed ${String(seed)}`);
      const { faults, tally } = await killAtRandom({
        rounds,
        seed,
        advancesClocks: !isLong,
        print: isLong ? printLine : () => undefined,
      });
      expect(faults).toEqual([]);
      expect(tally.stored).toBeGreaterThan(0);
      expect(tally.accepted).toBeGreaterThan(0);
    },
    RUN_OPTIONS.isLong ? 24 * 3_600_000 : 180_000,
  );
});
