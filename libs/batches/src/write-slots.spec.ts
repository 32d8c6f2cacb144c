import { setImmediate } from 'node:timers/promises';
import { Config } from '#platform';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { WriteSlots } from './write-slots.js';

/** Two streams at a time, one of them of one project. */
const slots = new WriteSlots(new Config({ DATABASE_POOL_MAX: '4' }));

/** Work that lasts until it is told to end. */
function work(): { run: () => Promise<string>; end: () => void; isRunning: () => boolean } {
  let running = false;
  let end = (): void => undefined;
  const ended = new Promise<string>((resolve) => {
    end = () => {
      resolve('done');
    };
  });
  const run = (): Promise<string> => {
    running = true;
    return ended;
  };
  return { run, end, isRunning: () => running };
}

/** For p-limit, which begins what may begin some promises later. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await setImmediate();
}

describe('large batches', () => {
  it('are written two at a time in a project, and those of another do not wait for them', async () => {
    const own = [work(), work(), work()];
    const other = work();
    const done = [...own.map(({ run }) => slots.forBatch(1, run)), slots.forBatch(2, other.run)];
    await settle();
    expect([...own, other].map(({ isRunning }) => isRunning())).toEqual([true, true, false, true]);
    own[0]?.end();
    await settle();
    expect(own[2]?.isRunning()).toBe(true);
    for (const { end } of [...own, other]) end();
    expect(await Promise.all(done)).toEqual(['done', 'done', 'done', 'done']);
  });

  it('give their turn on when they fail', async () => {
    const failing = (): Promise<never> => Promise.reject(new Error('no'));
    for (let i = 0; i < 4; i++) await expect(slots.forBatch(1, failing)).rejects.toThrow('no');
    expect(await slots.forBatch(1, () => Promise.resolve('done'))).toBe('done');
  });
});

describe('streams', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  it('of a project leave room for those of another', async () => {
    const [first, second, other] = [work(), work(), work()];
    const done = [slots.forStream(1, first.run), slots.forStream(1, second.run), slots.forStream(2, other.run)];
    await settle();
    expect([first, second, other].map(({ isRunning }) => isRunning())).toEqual([true, false, true]);
    for (const { end } of [first, second, other]) end();
    expect(await Promise.all(done)).toEqual(['done', 'done', 'done']);
  });

  it('whose turn does not come in ten seconds are refused, and are not written later', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    const [first, late, next] = [work(), work(), work()];
    const done = slots.forStream(1, first.run);
    const refused = slots.forStream(1, late.run).catch((error: unknown) => error);
    await settle();
    jest.advanceTimersByTime(9_999);
    first.end();
    const again = work();
    const follower = slots.forStream(1, again.run);
    await settle();
    // The first ended just in time for the second.
    expect([await done, late.isRunning(), again.isRunning()]).toEqual(['done', true, false]);
    jest.advanceTimersByTime(10_000);
    await expect(follower).rejects.toMatchObject({ slug: 'unavailable' });
    late.end();
    expect(await refused).toBe('done');
    await settle();
    expect(again.isRunning()).toBe(false);
    const last = slots.forStream(1, next.run);
    next.end();
    expect(await last).toBe('done');
  });
});
