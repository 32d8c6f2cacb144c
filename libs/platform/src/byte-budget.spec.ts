import { describe, expect, it } from '@jest/globals';
import { ByteBudget, type Reservation } from './byte-budget.js';

const LONG_MS = 60_000;

function budgetOf(totalBytes: number, waitMs = LONG_MS): ByteBudget {
  return new ByteBudget({ totalBytes, waitMs, waitersMax: 2 });
}

function required(reservation: Reservation | null): Reservation {
  if (reservation === null) throw new Error('the budget had no room');
  return reservation;
}

describe('ByteBudget', () => {
  it('gives one project at most half, and another project the rest', () => {
    const budget = budgetOf(100);
    const held = required(budget.reserve(1, 50));
    expect(budget.reserve(1, 1)).toBeNull();
    expect(held.grow(1)).toBe(false);
    required(budget.reserve(2, 50));
    expect(budget.reserve(3, 1)).toBeNull();
    expect(budget.usedBytes).toBe(100);
    held.release();
    held.release();
    required(budget.reserve(3, 50));
    expect(budget.usedBytes).toBe(100);
  });

  it('gives requests without a project a sixteenth', () => {
    const budget = budgetOf(160);
    required(budget.reserve(null, 10));
    expect(budget.reserve(null, 1)).toBeNull();
    required(budget.reserve(1, 80));
  });

  it('counts what a reservation grows and shrinks by', () => {
    const budget = budgetOf(100);
    const held = required(budget.reserve(1, 10));
    expect([held.grow(30), budget.usedBytes]).toEqual([true, 40]);
    held.shrinkTo(5);
    held.shrinkTo(20);
    expect(budget.usedBytes).toBe(5);
    held.release();
    expect(budget.usedBytes).toBe(0);
  });

  it('gives free bytes to waiting work of the project in order, before later work', async () => {
    const budget = budgetOf(100);
    const held = required(budget.reserve(1, 40));
    const order: string[] = [];
    const large = budget.acquire(1, 50).then((reservation) => {
      order.push('large');
      required(reservation).release();
    });
    const small = budget.acquire(1, 1).then((reservation) => {
      order.push('small');
      required(reservation).release();
    });
    expect(budget.reserve(1, 1)).toBeNull();
    required(budget.reserve(2, 50)).release();
    held.release();
    await Promise.all([large, small]);
    expect([order, budget.usedBytes]).toEqual([['large', 'small'], 0]);
  });

  it('resolves with null when nothing became free in time, when too much work waits, and for more than a share', async () => {
    const budget = budgetOf(100, 1);
    required(budget.reserve(1, 50));
    const waiting = [budget.acquire(1, 1), budget.acquire(1, 1)];
    expect(await budget.acquire(1, 1)).toBeNull();
    expect(await Promise.all(waiting)).toEqual([null, null]);
    expect(await budget.acquire(2, 51)).toBeNull();
    expect(budget.usedBytes).toBe(50);
  });
});
