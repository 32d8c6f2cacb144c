import { afterEach, describe, expect, it } from '@jest/globals';
import { ByteBudget, type Reservation } from './byte-budget.js';

const LONG_MS = 60_000;
const MIB = 1024 ** 2;
const KIB = 1024;

/** A budget of 100 MiB, with which one project holds at most 50 MiB. */
function budgetOf({ waitMs = LONG_MS, waitingPerProject = 5, waitingTotal = 10 } = {}): ByteBudget {
  return new ByteBudget({ totalBytes: 100 * MIB, waitMs, waitingPerProject, waitingTotal });
}

function required(reservation: Reservation | null): Reservation {
  if (reservation === null) throw new Error('the budget had no room');
  return reservation;
}

const leaving: (() => void)[] = [];
afterEach(() => {
  for (const leave of leaving.splice(0)) leave();
});

/** Waits for bytes, and adds the name to `order` on getting them. The result has the reservation then. */
function waitFor(budget: ByteBudget, order: string[], name: string, projectId: number, mib: number): Reservation[] {
  const held: Reservation[] = [];
  expect(budget.reserve(projectId, mib * MIB)).toBeNull();
  const leave = budget.wait(projectId, mib * MIB, (reservation) => {
    order.push(name);
    held.push(required(reservation));
  });
  leaving.push(leave);
  return held;
}

describe('ByteBudget', () => {
  it('grants one project at most half, and other projects the rest', () => {
    const budget = budgetOf();
    const held = required(budget.reserve(1, 50 * MIB));
    expect(budget.reserve(1, MIB)).toBeNull();
    expect(held.grow(MIB)).toBe(false);
    required(budget.reserve(null, 50 * MIB));
    expect(budget.reserve(3, MIB)).toBeNull();
    expect(budget.usedBytes).toBe(100 * MIB);
    held.release();
    held.release();
    required(budget.reserve(3, 50 * MIB));
    expect(budget.usedBytes).toBe(100 * MIB);
  });

  it('counts the bytes by which a reservation grows and shrinks', () => {
    const budget = budgetOf();
    const held = required(budget.reserve(1, 10 * MIB));
    expect([held.grow(30 * MIB), budget.usedBytes]).toEqual([true, 40 * MIB]);
    held.shrinkTo(5);
    held.shrinkTo(20);
    expect(budget.usedBytes).toBe(5);
    held.release();
    expect(budget.usedBytes).toBe(0);
  });

  it('serves the waiting work of one project in order, and before later work', () => {
    const budget = budgetOf();
    const held = required(budget.reserve(1, 40 * MIB));
    const order: string[] = [];
    const [first, second] = [waitFor(budget, order, 'first', 1, 50), waitFor(budget, order, 'second', 1, 1)];
    // Its project has used up its share, so it delays no other.
    required(budget.reserve(2, 50 * MIB)).release();
    held.release();
    expect(order).toEqual(['first']);
    first[0]?.release();
    expect(order).toEqual(['first', 'second']);
    second[0]?.release();
    expect(budget.usedBytes).toBe(0);
  });

  it('serves the projects that wait by turns', () => {
    const budget = budgetOf();
    const held = [required(budget.reserve(8, 50 * MIB)), required(budget.reserve(9, 50 * MIB))];
    const order: string[] = [];
    for (const name of ['1a', '1b', '1c', '2a', '2b', '3a']) waitFor(budget, order, name, Number(name[0]), 10);
    for (const one of held) one.release();
    expect(order).toEqual(['1a', '2a', '3a', '1b', '2b', '1c']);
  });

  it('adds up free bytes for large work of one project while two others take and release small amounts', () => {
    const budget = budgetOf();
    const held = Array.from({ length: 12 }, (_, i) => required(budget.reserve(1 + (i % 2), 8 * MIB)));
    const order: string[] = [];
    waitFor(budget, order, 'large', 3, 50);
    for (const one of held.slice(0, 6)) {
      expect([order, budget.reserve(1, 8 * MIB), budget.reserve(2, 8 * MIB)]).toEqual([[], null, null]);
      one.release();
    }
    expect(order).toEqual(['large']);
  });

  it('does not let small work wait for larger work', () => {
    const budget = budgetOf();
    required(budget.reserve(1, 50 * MIB));
    waitFor(budget, [], 'large', 1, 50);
    required(budget.reserve(2, 50 * MIB));
    const small = required(budget.reserve(1, 64 * KIB));
    expect([small.isSmall, budget.reserve(1, 64 * KIB + 1)]).toEqual([true, null]);
    // Half of a sixteenth of the budget is for small work of one project.
    const more = Array.from({ length: 60 }, () => budget.reserve(1, 64 * KIB));
    expect(more.filter((one) => one !== null)).toHaveLength(49);
    required(budget.reserve(2, 64 * KIB));
  });

  it('lets work pass that waits for less than the given time', () => {
    const budget = budgetOf();
    required(budget.reserve(1, 40 * MIB));
    waitFor(budget, [], 'large', 1, 20);
    expect(budget.reserve(1, 5 * MIB)).toBeNull();
    required(budget.reserve(1, 5 * MIB, LONG_MS)).release();
    expect(budget.reserve(1, 5 * MIB, -1)).toBeNull();
  });

  it('reports whether other work waits for the bytes of a reservation', () => {
    const budget = budgetOf();
    const [first, second] = [required(budget.reserve(1, 50 * MIB)), required(budget.reserve(2, 40 * MIB))];
    const small = required(budget.reserve(1, KIB));
    const awaited = () => [first, second, small].map((one) => one.isAwaited());
    expect(awaited()).toEqual([false, false, false]);
    // The share of its own project.
    const ofFirst = waitFor(budget, [], 'first', 1, 1);
    expect(awaited()).toEqual([true, false, false]);
    first.shrinkTo(40 * MIB);
    expect([awaited(), ofFirst]).toEqual([[false, false, false], [expect.anything()]]);
    // The bytes of all projects.
    waitFor(budget, [], 'third', 3, 20);
    expect(awaited()).toEqual([true, true, false]);
  });

  it('limits how much work of one project and of all waits', async () => {
    const budget = budgetOf({ waitMs: 1, waitingPerProject: 1, waitingTotal: 2 });
    for (const projectId of [8, 9]) required(budget.reserve(projectId, 50 * MIB));
    const results: string[] = [];
    const wait = (name: string, projectId: number) =>
      budget
        .acquire(projectId, MIB)
        .then((reservation) => results.push(`${name} ${reservation === null ? 'null' : 'reserved'}`));
    const waiting = [wait('1', 1), wait('2', 2)];
    await Promise.all([wait('1 again', 1), wait('3', 3)]);
    expect(results).toEqual(['1 again null', '3 null']);
    await Promise.all(waiting);
    expect(results.slice(2)).toEqual(['1 null', '2 null']);
    expect(budget.usedBytes).toBe(100 * MIB);
  });

  it('rejects more than the share of a project at once', async () => {
    expect(await budgetOf().acquire(2, 50 * MIB + 1)).toBeNull();
  });

  it('serves others when waiting work leaves', () => {
    const budget = budgetOf();
    const held = required(budget.reserve(1, 50 * MIB));
    required(budget.reserve(2, 50 * MIB));
    const order: string[] = [];
    const leave = budget.wait(3, 50 * MIB, () => order.push('left'));
    waitFor(budget, order, 'next', 4, 20);
    held.shrinkTo(20 * MIB);
    expect(order).toEqual([]);
    leave();
    leave();
    expect(order).toEqual(['next']);
  });
});
