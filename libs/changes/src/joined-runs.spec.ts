import { describe, expect, it } from '@jest/globals';
import { JoinedRuns } from './joined-runs.js';

describe('joined runs', () => {
  it('are shared by all that ask before they begin, and not by those that ask later', async () => {
    const runs = new JoinedRuns<string, number>();
    const ends: (() => void)[] = [];
    let count = 0;
    const begun: (() => void)[] = [];
    const work = async (): Promise<number> => {
      const run = ++count;
      begun[run - 1]?.();
      await new Promise<void>((resolve) => ends.push(resolve));
      return run;
    };
    const first = new Promise<void>((resolve) => (begun[0] = resolve));
    const second = new Promise<void>((resolve) => (begun[1] = resolve));
    const early = [runs.run('a', work), runs.run('a', work)];
    await first;
    const late = [runs.run('a', work), runs.run('a', work)];
    ends[0]?.();
    expect(await Promise.all(early)).toEqual([1, 1]);
    await second;
    ends[1]?.();
    expect(await Promise.all(late)).toEqual([2, 2]);
  });

  it('of different keys do not wait for each other, and one that fails does not end the next', async () => {
    const runs = new JoinedRuns<string, string>();
    const failing = runs.run('a', () => Promise.reject(new Error('failed')));
    await expect(failing).rejects.toThrow('failed');
    const hanging = runs.run('a', () => new Promise<string>(() => undefined));
    expect(await runs.run('b', () => Promise.resolve('b'))).toBe('b');
    void hanging;
  });
});
