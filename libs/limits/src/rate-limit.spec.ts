import { beforeEach, describe, expect, it } from '@jest/globals';
import { LimitTimes } from './limit-times.js';
import { RateLimit } from './rate-limit.js';

let nowMs: number;
let limit: RateLimit;

function createLimit(options: { max?: number; combineFrom?: number; trackedMax?: number } = {}): RateLimit {
  return new RateLimit({ name: 'key', max: 10, times: new LimitTimes(), now: () => nowMs, ...options });
}

beforeEach(() => {
  nowMs = 1_000;
  limit = createLimit();
});

describe('a limit', () => {
  it('is exhausted when all items are used, for this id only', () => {
    limit.charge('a', 9);
    expect([limit.isExhausted('a'), limit.stateOf('a').remaining]).toEqual([false, 1]);
    limit.charge('a', 1);
    expect([limit.isExhausted('a'), limit.stateOf('a').remaining]).toEqual([true, 0]);
    expect([limit.isExhausted('b'), limit.stateOf('b').remaining]).toEqual([false, 10]);
  });

  it('can be exceeded by the last charge, and has nothing left then, not less', () => {
    limit.charge('a', 5_000);
    expect([limit.isExhausted('a'), limit.stateOf('a').remaining]).toEqual([true, 0]);
  });

  it('has everything left again when the window ends, a minute after the first charge', () => {
    limit.charge('a', 1);
    nowMs += 59_000;
    limit.charge('a', 100);
    expect(limit.stateOf('a')).toEqual({ remaining: 0, endsInMs: 1_000 });
    nowMs += 999;
    expect(limit.isExhausted('a')).toBe(true);
    nowMs += 1;
    expect([limit.isExhausted('a'), limit.stateOf('a')]).toEqual([false, { remaining: 10, endsInMs: 60_000 }]);
    limit.charge('a', 1);
    expect(limit.stateOf('a')).toEqual({ remaining: 9, endsInMs: 60_000 });
  });
});

describe('the ids that are tracked', () => {
  it('are at most the maximum: the oldest is forgotten', () => {
    limit = createLimit({ trackedMax: 3 });
    for (const id of ['a', 'b', 'c', 'd']) limit.charge(id, 1);
    expect(limit.size).toBe(3);
    expect(['a', 'b', 'c', 'd'].map((id) => limit.stateOf(id).remaining)).toEqual([10, 9, 9, 9]);
  });

  it('over the limit are not forgotten for others', () => {
    limit = createLimit({ trackedMax: 3 });
    limit.charge('over', 10);
    for (let id = 0; id < 100; id++) limit.charge(id, 1);
    expect([limit.size, limit.isExhausted('over')]).toEqual([3, true]);
  });

  it('over the limit are forgotten when their window has ended, before any other', () => {
    limit = createLimit({ trackedMax: 2 });
    limit.charge('over', 10);
    nowMs += 60_000;
    limit.charge('a', 1);
    limit.charge('b', 1);
    expect([limit.size, limit.stateOf('a').remaining, limit.stateOf('b').remaining]).toEqual([2, 9, 9]);
  });

  it('are at most the maximum where all are over the limit', () => {
    limit = createLimit({ trackedMax: 2 });
    for (const id of ['a', 'b', 'c']) limit.charge(id, 10);
    expect([limit.size, limit.isExhausted('b'), limit.isExhausted('c')]).toEqual([2, true, true]);
  });
});

describe('the limit', () => {
  it('has exhausted ids until a minute after the window of the last one has ended', () => {
    expect(limit.hasExhausted).toBe(false);
    limit.charge('a', 10);
    expect(limit.hasExhausted).toBe(true);
    nowMs += 30_000;
    limit.charge('b', 10);
    nowMs += 30_000;
    expect([limit.hasExhausted, limit.size]).toEqual([true, 1]);
    nowMs += 60_000;
    expect([limit.hasExhausted, limit.size]).toEqual([false, 0]);
  });
});

describe('the pending items', () => {
  it('are those of ids with at least the minimum, each once', () => {
    limit = createLimit({ combineFrom: 3 });
    limit.charge('a', 2);
    limit.charge('b', 3);
    expect(limit.takePending(10).map(({ id, pending }) => [id, pending])).toEqual([['b', 3]]);
    expect(limit.takePending(10)).toEqual([]);
    limit.charge('a', 1);
    expect(limit.takePending(10).map(({ id, pending }) => [id, pending])).toEqual([['a', 3]]);
  });

  it('are taken in turn', () => {
    limit = createLimit({ combineFrom: 1 });
    for (const id of ['a', 'b', 'c']) limit.charge(id, 1);
    const [first] = limit.takePending(1);
    if (first !== undefined) limit.combineLater(first);
    expect([first?.id, ...limit.takePending(10).map(({ id }) => id)]).toEqual(['a', 'b', 'c', 'a']);
  });

  it('of a window that has ended are dropped', () => {
    limit = createLimit({ combineFrom: 1 });
    limit.charge('a', 10);
    nowMs += 60_000;
    expect(limit.isExhausted('a')).toBe(false);
    expect(limit.takePending(10)).toEqual([]);
  });

  it('of a window that has ended are dropped where nothing was charged or read since', () => {
    limit = createLimit({ combineFrom: 1 });
    limit.charge('a', 10);
    nowMs += 30_000;
    limit.charge('b', 5);
    nowMs += 30_000;
    expect(limit.takePending(1).map(({ id }) => id)).toEqual(['b']);
    expect([limit.size, limit.stateOf('a').remaining]).toEqual([1, 10]);
  });
});

describe('a count of all processes', () => {
  function combine(items: number, endsInMs: number, chargedMeanwhile = 0): void {
    const [counter] = limit.takePending(1);
    if (counter === undefined) throw new Error('nothing is pending');
    const { pending } = counter;
    if (chargedMeanwhile > 0) limit.charge(counter.id, chargedMeanwhile);
    limit.setCombined(counter, pending, { items, endsInMs });
  }

  beforeEach(() => {
    limit = createLimit({ combineFrom: 1 });
    limit.charge('a', 2);
  });

  it('replaces that of this process, with its window', () => {
    combine(7, 20_000);
    expect(limit.stateOf('a')).toEqual({ remaining: 3, endsInMs: 20_000 });
  });

  it('includes the items that were charged while it was combined', () => {
    combine(7, 20_000, 2);
    expect(limit.stateOf('a').remaining).toBe(1);
    expect(limit.takePending(10).map(({ pending }) => pending)).toEqual([2]);
  });

  it('exhausts the limit, and ends with its window', () => {
    combine(10, 20_000);
    expect(limit.isExhausted('a')).toBe(true);
    nowMs += 20_000;
    expect(limit.isExhausted('a')).toBe(false);
  });

  it('of a new window lifts the limit', () => {
    limit.charge('a', 100);
    expect(limit.isExhausted('a')).toBe(true);
    combine(1, 60_000);
    expect([limit.isExhausted('a'), limit.stateOf('a').remaining]).toEqual([false, 9]);
  });
});
