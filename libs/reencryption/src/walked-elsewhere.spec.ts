import { describe, expect, it } from '@jest/globals';
import { TAKEN_AFTER_MS, WalkedElsewhere } from './walked-elsewhere.js';

const project = (cursor: number, version: string, changedAt = '2026-01-01T00:00:00Z') => ({
  projectId: 1,
  keys: ['name'],
  changedAt,
  cursor: BigInt(cursor),
  version,
});

describe('projects that another process walks through', () => {
  it('are left to it while it takes steps, and taken when it has not for two minutes, whoever else writes the row', () => {
    const elsewhere = new WalkedElsewhere();
    const isFree = (cursor: number, atMs: number): boolean =>
      elsewhere.selectFree([project(cursor, String(atMs))], atMs).length > 0;
    expect(isFree(0, 0)).toBe(true);
    for (let n = 1; n <= 100; n++) expect(isFree(n, n * 60_000)).toBe(false);
    const lastMs = 100 * 60_000;
    // A restore moves the cursor back.
    expect(isFree(50, lastMs + TAKEN_AFTER_MS - 1)).toBe(false);
    expect(isFree(50, lastMs + TAKEN_AFTER_MS)).toBe(true);
    expect(isFree(51, lastMs + TAKEN_AFTER_MS)).toBe(false);
  });

  it('are free again when their list changes, after an error, and after they were done', () => {
    const elsewhere = new WalkedElsewhere();
    const isFree = (cursor: number, changedAt?: string): boolean =>
      elsewhere.selectFree([project(cursor, '1', changedAt)], 0).length > 0;
    expect([isFree(1), isFree(2)]).toEqual([true, false]);
    expect(isFree(3, '2026-01-02T00:00:00Z')).toBe(true);
    expect(isFree(4, '2026-01-02T00:00:00Z')).toBe(false);
    elsewhere.forget(1);
    expect(isFree(4, '2026-01-02T00:00:00Z')).toBe(true);
    elsewhere.selectFree([], 0);
    expect(isFree(4, '2026-01-02T00:00:00Z')).toBe(true);
  });
});
