import { describe, expect, it } from '@jest/globals';
import { RecentProjects } from './recent-projects.js';

describe('recent projects', () => {
  it('contain a project until its time is over, counted from the last time it was added', () => {
    let now = 0;
    const recent = new RecentProjects(1_000, () => now);
    recent.add(1);
    now = 900;
    recent.add(1);
    now = 1_899;
    expect([recent.has(1), recent.has(2)]).toEqual([true, false]);
    now = 1_900;
    expect(recent.has(1)).toBe(false);
  });

  it('contain at most 10,000 projects, the last ones', () => {
    const recent = new RecentProjects(1_000, () => 0);
    for (let projectId = 1; projectId <= 10_001; projectId++) recent.add(projectId);
    expect([recent.has(1), recent.has(2), recent.has(10_001)]).toEqual([false, true, true]);
  });

  it('do not contain a project that was deleted', () => {
    const recent = new RecentProjects(1_000, () => 0);
    recent.add(1);
    recent.delete(1);
    expect(recent.has(1)).toBe(false);
  });
});
