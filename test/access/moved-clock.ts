import { jest } from '@jest/globals';

/**
 * Advances a mocked clock in steps of 100 ms and requests a status after each, until it is not 200 or the time is over.
 * The caches of this process expire by that clock.
 * @returns the last status
 */
export async function lastStatusWithin(ms: number, requestStatus: () => Promise<number>): Promise<number> {
  const now = performance.now.bind(performance);
  let movedMs = 0;
  const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + movedMs);
  try {
    while (movedMs < ms && (await requestStatus()) === 200) movedMs += 100;
    return await requestStatus();
  } finally {
    clock.mockRestore();
  }
}
