import { describe, expect, it } from '@jest/globals';
import { afterDeleted, afterObjects, afterOtherWrite, afterRange, afterRestore, startWalk, type Walk } from './walk.js';

const PROJECT = { projectId: 1, keys: ['name'], changedAt: '2026-01-01T00:00:00Z', cursor: 0n, version: '1' };
/** The sequence number of the last object, and the objects that one step looks at. */
const LAST = 1_000_000n;
const STEP = 2_000n;

/** Looks at objects until the phase ends, or `passes` have ended. @param locked the objects that are left out */
function walkObjects(
  from: Walk,
  locked: readonly bigint[],
  passes = Infinity,
  between: (walk: Walk) => Walk = (walk) => walk,
): { walk: Walk; looked: bigint; cursors: bigint[] } {
  let [walk, looked, ended] = [from, 0n, 0];
  const cursors: bigint[] = [];
  while (walk.phase === 'objects' && ended < passes) {
    walk = between(walk);
    const [range] = walk.ranges;
    const end = range === undefined || range.until > LAST ? LAST : range.until;
    if (range === undefined || range.after >= end) {
      if (walk.ranges.length <= 1) ended++;
      walk = afterRange(walk);
    } else {
      const seq = range.after + STEP > end ? end : range.after + STEP;
      looked += seq - range.after;
      const left = locked.filter((one) => one > range.after && one <= seq);
      const [first, last] = [left[0], left.at(-1)];
      const leftOut = first === undefined || last === undefined ? null : { after: first - 1n, until: last };
      walk = afterObjects(walk, { seq, changed: 0, leftOut });
    }
    cursors.push(walk.cursor);
  }
  return { walk, looked, cursors };
}

const isAscending = (cursors: readonly bigint[]): boolean =>
  cursors.every((cursor, index) => index === 0 || cursor >= (cursors[index - 1] ?? 0n));

describe('a walk through a million objects', () => {
  it('looks again only at those that were left out, later each time', () => {
    const first = walkObjects(startWalk(PROJECT), [3n, 500_000n], 1);
    expect([first.looked, first.walk.cursor, first.walk.retries]).toEqual([LAST, 2n, 1]);
    const second = walkObjects(first.walk, [500_000n], 1);
    expect([second.looked, second.walk.cursor, second.walk.retries]).toEqual([2n, 499_999n, 2]);
    const third = walkObjects(second.walk, []);
    expect([third.looked, third.walk.phase, third.walk.cursor]).toEqual([1n, 'deleted', LAST]);
    expect(isAscending([...first.cursors, ...second.cursors, ...third.cursors])).toBe(true);
    // After the deleted objects only new objects are looked at.
    const deleted = afterDeleted(third.walk, null, 0, false);
    const last = walkObjects(deleted, []);
    expect([last.looked, last.walk.phase]).toEqual([0n, 'jobs']);
  });

  it('keeps at most 100 ranges of those that were left out, and skips none of them', () => {
    const locked = Array.from({ length: 250 }, (_, n) => BigInt(n) * STEP * 2n + 1n);
    const { walk, cursors } = walkObjects(startWalk(PROJECT), locked, 1);
    expect(walk.ranges).toHaveLength(100);
    for (const seq of locked) expect(walk.ranges.some(({ after, until }) => after < seq && seq <= until)).toBe(true);
    const { looked, cursors: later } = walkObjects(walk, []);
    expect(looked).toBeLessThan(LAST);
    expect(isAscending([...cursors, ...later])).toBe(true);
  });

  it('looks again at what is after the cursor, as soon as it can, after others have written the row of the project', () => {
    const first = walkObjects(startWalk(PROJECT), [3n, 500_000n], 1).walk;
    const second = walkObjects(afterOtherWrite(first), [500_000n], 1);
    expect([second.looked, second.walk.cursor]).toEqual([LAST - 2n, 499_999n]);
    // In the middle of a pass: the rest of it has everything after its place, and the next one what is before.
    const later = afterObjects(second.walk, {
      seq: 500_000n,
      changed: 0,
      leftOut: { after: 499_999n, until: 500_000n },
    });
    const third = walkObjects(afterOtherWrite(later), []);
    expect([third.looked, third.walk.phase]).toEqual([LAST - 499_999n, 'deleted']);
    expect(isAscending([...second.cursors, ...third.cursors])).toBe(true);
  });

  it('ends although others write the row of the project before each step', () => {
    const locked = walkObjects(startWalk(PROJECT), [3n, 500_000n], 3, afterOtherWrite);
    expect([locked.walk.phase, locked.walk.cursor]).toEqual(['objects', 2n]);
    const rest = walkObjects(locked.walk, [], Infinity, afterOtherWrite);
    expect([rest.looked, rest.walk.phase, rest.walk.cursor]).toEqual([LAST - 2n, 'deleted', LAST]);
    expect(afterOtherWrite(rest.walk)).toEqual(rest.walk);
    expect(isAscending([...locked.cursors, ...rest.cursors])).toBe(true);
  });

  it('looks at all segments of the index again after a restore', () => {
    const walk = { ...startWalk(PROJECT), segmentsBelow: 7n };
    expect(afterRestore(walk, 0n)).toMatchObject({ phase: 'objects', segmentsBelow: null });
  });

  it('starts to count again after a change', () => {
    const { walk } = walkObjects(startWalk(PROJECT), [3n], 1);
    expect(afterObjects(walk, { seq: 3n, changed: 1, leftOut: null })).toMatchObject({ retries: 0, changed: 1 });
  });

  it('looks again at deleted objects that were left out, later each time', () => {
    const deleted = walkObjects(startWalk(PROJECT), []).walk;
    const again = afterDeleted(afterDeleted(deleted, { deletionId: 1n, seq: 1n }, 0, true), null, 0, false);
    expect(again).toMatchObject({ phase: 'objects', needsDeleted: true, retries: 1 });
    expect(walkObjects(again, []).walk).toMatchObject({ phase: 'deleted', hasLeftOutDeleted: false });
  });
});
