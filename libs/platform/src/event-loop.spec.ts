import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { EventLoopLoad, nextTurn } from './event-loop.js';

it('resumes one caller in each turn of the event loop, in the order of their calls', async () => {
  const resumed: string[] = [];
  const work = async (name: string): Promise<void> => {
    for (let i = 1; i <= 2; i++) {
      await nextTurn(1);
      resumed.push(name);
    }
  };
  const all = Promise.all(['a', 'b', 'c'].map(work));
  const perTurn: number[] = [];
  for (let turn = 1; turn <= 6; turn++) {
    await setImmediate();
    perTurn.push(resumed.length);
  }
  await all;
  expect(perTurn).toEqual([1, 2, 3, 4, 5, 6]);
  expect(resumed).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
});

it('resumes a caller that comes after all others have been resumed', async () => {
  for (let i = 0; i < 3; i++) await expect(nextTurn(null)).resolves.toBeUndefined();
});

it('resumes the callers of projects by turns, whatever their number', async () => {
  const resumed: string[] = [];
  const work = async (projectId: number | null, name: string): Promise<void> => {
    for (let i = 1; i <= 2; i++) {
      await nextTurn(projectId);
      resumed.push(name);
    }
  };
  await Promise.all([work(1, 'a'), work(1, 'b'), work(1, 'c'), work(2, 'other'), work(null, 'operator')]);
  expect(resumed.slice(0, 6)).toEqual(['a', 'other', 'operator', 'b', 'other', 'operator']);
  expect(resumed.slice(6)).toEqual(['c', 'a', 'b', 'c']);
});

describe('the load of the event loop', () => {
  const spin = (ms: number): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };

  it('is saturated while code runs without a pause', () => {
    const load = new EventLoopLoad();
    spin(150);
    expect(load.isSaturated).toBe(true);
  });

  it('is not saturated while the event loop waits', async () => {
    const load = new EventLoopLoad();
    await sleep(150);
    expect(load.isSaturated).toBe(false);
  });

  it('is that of the last interval', async () => {
    const load = new EventLoopLoad();
    spin(150);
    expect(load.isSaturated).toBe(true);
    await sleep(150);
    expect(load.isSaturated).toBe(false);
  });
});
