import { jest } from '@jest/globals';

/**
 * Requests a status for each 100 ms of a mocked clock, which is advanced instead of waited for, until it is not 200 or the
 * time is over. Caches of this process expire by that clock.
 * @returns the last status
 */
export async function lastStatusWithin(ms: number, ask: () => Promise<number>): Promise<number> {
  const now = performance.now.bind(performance);
  let movedMs = 0;
  const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + movedMs);
  try {
    while (movedMs < ms && (await ask()) === 200) movedMs += 100;
    return await ask();
  } finally {
    clock.mockRestore();
  }
}
