import { describe, expect, it } from '@jest/globals';
import { killAtRandom } from './kills.js';
import { LONG, say } from './length.js';

describe('SIGKILL of the server, of the worker and of PostgreSQL at random moments, under five producers', () => {
  it(
    'loses nothing that was answered 2xx, ends every job, leaves no batch in part, and lets all be sent again',
    async () => {
      const { rounds, seed, isLong } = LONG;
      say(`kills: ${String(rounds)} rounds, --seed ${String(seed)}`);
      const { faults, tally } = await killAtRandom({
        rounds,
        seed,
        isHurried: !isLong,
        say: isLong ? say : () => undefined,
      });
      expect(faults).toEqual([]);
      expect(tally.stored).toBeGreaterThan(0);
      expect(tally.accepted).toBeGreaterThan(0);
    },
    LONG.isLong ? 24 * 3_600_000 : 180_000,
  );
});
