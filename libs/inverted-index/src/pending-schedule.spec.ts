import { describe, expect, it } from '@jest/globals';
import { PendingSchedule } from './pending-schedule.js';

/** The milliseconds at which a project is due whose pending objects are counted every second. */
function dueTimes(seconds: number, objectsAt: (ms: number, lastDueMs: number) => number): number[] {
  const schedule = new PendingSchedule();
  const due: number[] = [];
  for (let ms = 0; ms <= seconds * 1_000; ms += 1_000) {
    const objects = objectsAt(ms, due.at(-1) ?? 0);
    if (schedule.takeDue(objects === 0 ? [] : [{ project_id: 1, objects }], ms).length > 0) due.push(ms);
  }
  return due;
}

describe('PendingSchedule', () => {
  it('makes a project due with 250 pending objects at once', () => {
    expect(dueTimes(3, () => 250)).toEqual([0, 1_000, 2_000, 3_000]);
  });

  it('makes a project due with 20 pending objects after 5 seconds, and with any after a minute', () => {
    expect(dueTimes(11, () => 20)).toEqual([5_000, 10_000]);
    expect(dueTimes(125, () => 1)).toEqual([60_000, 120_000]);
  });

  it('makes a project due every 20 seconds where one object a second becomes pending', () => {
    expect(dueTimes(65, (ms, lastDueMs) => (ms - lastDueMs) / 1_000)).toEqual([20_000, 40_000, 60_000]);
  });

  it('measures the age from when the project has pending objects again', () => {
    expect(dueTimes(70, (ms) => (ms === 30_000 ? 0 : 1))).toEqual([]);
  });
});
