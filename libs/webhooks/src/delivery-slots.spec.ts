import { beforeEach, describe, expect, it } from '@jest/globals';
import { DeliverySlots, type DeliverySlot } from './delivery-slots.js';

let nowMs: number;
let slots: DeliverySlots;
beforeEach(() => {
  nowMs = 0;
  slots = new DeliverySlots(() => nowMs);
});

/** Starts a request of each of these projects. */
function sendOf(projectIds: readonly number[]): DeliverySlot[] {
  return projectIds.flatMap((projectId) => {
    const slot = slots.take(projectId);
    if (slot !== null) slots.begin(slot, `w${String(projectId)}`);
    return slot ?? [];
  });
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);

describe('slots of deliveries', () => {
  it('give a project two requests at a time', () => {
    expect(sendOf([1, 1, 1, 2])).toHaveLength(3);
    expect(slots.fullProjects()).toEqual([1]);
    expect(slots.busyWebhooks(1)).toEqual(['w1', 'w1']);
  });

  it('leave half of all to projects whose receivers respond, however many others have slow ones', () => {
    const slow = range(1, 500);
    for (const projectId of slow) {
      const [slot] = sendOf([projectId]) as [DeliverySlot];
      nowMs += 5_000;
      slots.end(slot);
      slots.release(slot);
    }
    expect(sendOf(slow)).toHaveLength(32);
    expect(new Set(slots.fullProjects())).toEqual(new Set(slow));
    expect(sendOf(range(1_000, 100))).toHaveLength(32);
  });

  it('count a request that has no response yet as a slow one', () => {
    expect(sendOf(range(1, 40))).toHaveLength(40);
    nowMs = 1_001;
    // Each of them has a second slot free, but none may take it.
    expect(slots.fullProjects()).toEqual(range(1, 40));
    expect(sendOf(range(1, 40))).toEqual([]);
    expect(sendOf([1_000])).toHaveLength(1);
  });

  it('are wanted by others where all are taken, and those of slow projects where half of all are', () => {
    const taken = sendOf(range(1, 63)) as [DeliverySlot, ...DeliverySlot[]];
    expect(slots.isWanted(taken[0])).toBe(false);
    sendOf([1_000]);
    expect(slots.isWanted(taken[0])).toBe(true);
    for (const slot of taken.slice(32)) slots.release(slot);
    expect(slots.isWanted(taken[0])).toBe(false);
    nowMs = 1_001;
    expect(slots.isWanted(taken[0])).toBe(true);
    const [fast] = sendOf([2_000]) as [DeliverySlot];
    expect(slots.isWanted(fast)).toBe(false);
  });

  it('forget that a project was slow with its next fast request', () => {
    const [slot] = sendOf([1]) as [DeliverySlot];
    nowMs = 5_000;
    slots.end(slot);
    slots.begin(slot, 'w1');
    slots.end(slot);
    slots.release(slot);
    sendOf(range(10, 32));
    nowMs += 2_000;
    expect(sendOf([1])).toHaveLength(1);
  });
});
