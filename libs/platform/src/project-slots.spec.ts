import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { ProjectSlots } from './project-slots.js';

/** Longer than any test runs. */
const LONG_MS = 60_000;

async function acquire(slots: ProjectSlots, projectId: number): Promise<() => void> {
  const release = await slots.acquire(projectId);
  if (release === null) throw new Error('no slot became free');
  return release;
}

/** Waits for a slot. @returns what happened so far */
function wait(
  slots: ProjectSlots,
  projectId: number,
  order: string[],
  name = `project ${String(projectId)}`,
): (() => void) | null {
  return slots.wait(
    projectId,
    () => order.push(name),
    (reason) => order.push(`${name}: ${reason}`),
  );
}

afterEach(() => {
  jest.useRealTimers();
});

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

  it('gives a project more than its share only while no other one uses or wants a slot', () => {
    const slots = new ProjectSlots({ total: 6, perProject: 3, alone: 4 });
    const order: string[] = [];
    expect([1, 1, 1, 1, 1].map((project) => slots.tryTake(project))).toEqual([true, true, true, true, false]);
    expect([2, 2, 2].map((project) => slots.tryTake(project))).toEqual([true, true, false]);
    wait(slots, 1, order);
    wait(slots, 2, order);
    slots.release(1, 0);
    slots.release(1, 0);
    expect(order).toEqual(['project 2', 'project 1']);
  });

  it('takes a project for alone a second after the last request of another one', () => {
    jest.useFakeTimers({ now: 0 });
    const slots = new ProjectSlots({ total: 4, perProject: 1, alone: 2 });
    expect([2, 1].map((project) => slots.tryTake(project))).toEqual([true, true]);
    slots.release(2, 0);
    jest.advanceTimersByTime(1_000);
    expect(slots.tryTake(1)).toBe(false);
    jest.advanceTimersByTime(1);
    expect(slots.tryTake(1)).toBe(true);
  });

  it('gives a project whose work takes long on average fewer slots, while another one has work', () => {
    jest.useFakeTimers({ now: 0 });
    const contended = { slots: 1, averageMs: 50, isSaturated: () => false };
    const slots = new ProjectSlots({ total: 9, perProject: 3, alone: 4, contended });
    const takeTwo = (project: number): boolean[] => [slots.tryTake(project), slots.tryTake(project)];
    const giveBack = (project: number, heldMs: number[]): void => {
      for (const ms of heldMs) slots.release(project, ms);
    };
    expect(takeTwo(1)).toEqual([true, true]);
    giveBack(1, [80, 80]);
    expect(takeTwo(2)).toEqual([true, true]);
    expect(takeTwo(1)).toEqual([true, false]);
    giveBack(1, [0]);
    // The average is 60 ms, then 45.
    expect(takeTwo(1)).toEqual([true, false]);
    giveBack(1, [0]);
    expect(takeTwo(1)).toEqual([true, true]);
    giveBack(1, [80, 80]);
    giveBack(2, [0, 0]);
    expect(takeTwo(1)).toEqual([true, false]);
    jest.advanceTimersByTime(1_001);
    expect(slots.tryTake(1)).toBe(true);
  });

  it('gives a project with most of the used slots fewer of them, while the processors are saturated', () => {
    jest.useFakeTimers({ now: 0 });
    let isSaturated = true;
    const contended = { slots: 1, averageMs: 50, isSaturated: () => isSaturated };
    const slots = new ProjectSlots({ total: 9, perProject: 3, alone: 4, contended });
    const takeThree = (project: number): boolean[] => Array.from({ length: 3 }, () => slots.tryTake(project));
    expect(slots.tryTake(2)).toBe(true);
    slots.release(2, 1);
    expect(takeThree(1)).toEqual([true, false, false]);
    // Of 1, 2 and 3 slots.
    expect(takeThree(2)).toEqual([true, true, false]);
    expect(takeThree(1)).toEqual([true, true, false]);
    isSaturated = false;
    expect(takeThree(2)).toEqual([true, false, false]);
  });

  it('serves work that waits when the processors are no longer saturated, without a release', () => {
    jest.useFakeTimers({ now: 0 });
    let isSaturated = true;
    const contended = { slots: 1, averageMs: 50, isSaturated: () => isSaturated };
    const slots = new ProjectSlots({ total: 9, perProject: 2, contended });
    const order: string[] = [];
    expect([2, 1, 1].map((project) => slots.tryTake(project))).toEqual([true, true, true]);
    slots.release(2, 1);
    slots.release(1, 1);
    expect(slots.tryTake(1)).toBe(false);
    wait(slots, 1, order);
    wait(slots, 1, order);
    jest.advanceTimersByTime(100);
    expect(order).toEqual([]);
    isSaturated = false;
    jest.advanceTimersByTime(100);
    expect(order).toEqual(['project 1']);
    slots.release(1, 1);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('serves the projects that wait by turns, whatever the number of their waiters', () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1 });
    const order: string[] = [];
    expect(slots.tryTake(1)).toBe(true);
    for (const projectId of [1, 1, 1, 2, 3, 2]) wait(slots, projectId, order);
    for (const projectId of [1, 1, 2, 3, 1, 2]) slots.release(projectId, 0);
    expect(order).toEqual(['project 1', 'project 2', 'project 3', 'project 1', 'project 2', 'project 1']);
  });

  it('serves the waiters of one project in order', () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1 });
    const order: string[] = [];
    slots.tryTake(1);
    for (const name of ['first', 'second', 'third']) wait(slots, 1, order, name);
    for (let i = 0; i < 3; i++) slots.release(1, 0);
    expect(order).toEqual(['first', 'second', 'third']);
  });

  it('passes over a project that has its share', () => {
    const slots = new ProjectSlots({ total: 2, perProject: 1 });
    const order: string[] = [];
    slots.tryTake(1);
    slots.tryTake(2);
    for (const projectId of [1, 3]) wait(slots, projectId, order);
    slots.release(2, 0);
    expect(order).toEqual(['project 3']);
    slots.release(1, 0);
    expect(order).toEqual(['project 3', 'project 1']);
  });

  it('rejects work while too much of its project, or of all projects, waits', () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1, waitingPerProject: 1, waitingTotal: 2 });
    const order: string[] = [];
    slots.tryTake(1);
    for (const projectId of [1, 1, 2, 3]) wait(slots, projectId, order);
    expect(order).toEqual(['project 1: queue full', 'project 3: queue full']);
    slots.release(1, 0);
    wait(slots, 3, order);
    slots.release(1, 0);
    slots.release(2, 0);
    expect(order.slice(2)).toEqual(['project 1', 'project 2', 'project 3']);
  });

  it('does not serve work that has left the queue', () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1 });
    const order: string[] = [];
    slots.tryTake(1);
    const leave = wait(slots, 2, order);
    wait(slots, 3, order);
    leave?.();
    leave?.();
    slots.release(1, 0);
    expect(order).toEqual(['project 3']);
  });

  it('resolves with null when no slot became free in time, and leaves the queue', async () => {
    const slots = new ProjectSlots({ total: 1, perProject: 1, waitMs: 1 });
    const release = await acquire(slots, 1);
    expect(await slots.acquire(2)).toBeNull();
    release();
    await acquire(slots, 1);
  });

  it('frees the slot of work that fails', async () => {
    const slots = new ProjectSlots({ perProject: 1 });
    await expect(slots.run(1, () => Promise.reject(new Error('of the work')))).rejects.toThrow('of the work');
    expect(await slots.run(1, () => Promise.resolve('next'))).toBe('next');
  });
});
