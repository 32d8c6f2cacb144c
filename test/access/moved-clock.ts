import { jest } from '@jest/globals';

/**
 * Asks for a status every 100 ms, of a clock that is moved on instead of waited for, until it is not 200 any more or so much
 * time is over. What is remembered for a while is remembered by that clock.
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
