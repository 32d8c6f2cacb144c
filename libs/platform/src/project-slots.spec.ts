import { describe, expect, it } from '@jest/globals';
import { ProjectSlots } from './project-slots.js';

/** Longer than any test runs. */
const LONG_MS = 60_000;

async function acquire(slots: ProjectSlots, projectId: number): Promise<() => void> {
  const release = await slots.acquire(projectId);
  if (release === null) throw new Error('no slot became free');
  return release;
}

describe('ProjectSlots', () => {
  it('gives one project no more than its share, and another project what is left', async () => {
    const slots = new ProjectSlots({ total: 3, perProject: 2, waitMs: LONG_MS });
    const releaseFirst = await acquire(slots, 1);
    await acquire(slots, 1);
    let hasThird = false;
    const third = acquire(slots, 1).then(() => (hasThird = true));
    await acquire(slots, 2);
    expect(hasThird).toBe(false);
    releaseFirst();
    await third;
  });

  it('gives a free slot to the work that has waited longest and may have it', async () => {
    const slots = new ProjectSlots({ total: 2, perProject: 1, waitMs: LONG_MS });
    const releaseOne = await acquire(slots, 1);
    const releaseTwo = await acquire(slots, 2);
    const order: string[] = [];
    const again = acquire(slots, 1).then(() => order.push('project 1 again'));
    const third = acquire(slots, 3).then(() => order.push('project 3'));
    releaseTwo();
    await third;
    releaseOne();
    await again;
    expect(order).toEqual(['project 3', 'project 1 again']);
  });

  it('resolves with null when no slot became free in time, and leaves the queue', async () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1, waitMs: 1 });
    const release = await acquire(slots, 1);
    expect(await slots.acquire(2)).toBeNull();
    release();
    await acquire(slots, 1);
  });
});
