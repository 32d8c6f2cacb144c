import { Config } from '#platform';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { WriteSlots, type ReleaseSlot } from './write-slots.js';

/** Two slots for streams, at most one for each project. */
const slots = new WriteSlots(new Config({ DATABASE_POOL_MAX: '6' }));

/** A request for a slot. */
class Request {
  release: ReleaseSlot | undefined;
  error: unknown;

  constructor(acquiring: Promise<ReleaseSlot>) {
    acquiring.then(
      (release) => (this.release = release),
      (error: unknown) => (this.error = error),
    );
  }

  get isGranted(): boolean {
    return this.release !== undefined;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

afterEach(() => {
  jest.useRealTimers();
});

describe('the slots of large batches', () => {
  it('are limited to two for each project', async () => {
    const slots = new WriteSlots(new Config({}));
    const own = [1, 1, 1].map((project) => new Request(slots.acquireForBatch(project)));
    const other = new Request(slots.acquireForBatch(2));
    await settle();
    expect([...own, other].map(({ isGranted }) => isGranted)).toEqual([true, true, false, true]);
    own[0]?.release?.();
    await settle();
    expect(own[2]?.isGranted).toBe(true);
    for (const { release } of [...own.slice(1), other]) release?.();
    const again = [1, 1, 1].map((project) => new Request(slots.acquireForBatch(project)));
    await settle();
    expect(again.map(({ isGranted }) => isGranted)).toEqual([true, true, false]);
    again[0]?.release?.();
    await settle();
    for (const { release } of again.slice(1)) release?.();
  });

  it('are limited to a third of the connections for all projects', async () => {
    const slots = new WriteSlots(new Config({ DATABASE_POOL_MAX: '11' }));
    const requests = [1, 1, 2, 2].map((project) => new Request(slots.acquireForBatch(project)));
    await settle();
    expect(requests.map(({ isGranted }) => isGranted)).toEqual([true, true, true, false]);
  });
});

describe('the slots of streams', () => {
  it('are limited to one for each project, so that other projects get one', async () => {
    const [first, second, other] = [1, 1, 2].map((project) => new Request(slots.acquireForStream(project)));
    await settle();
    expect([first, second, other].map((request) => request?.isGranted)).toEqual([true, false, true]);
    const third = new Request(slots.acquireForStream(3));
    first?.release?.();
    await settle();
    expect([second?.isGranted, third.isGranted]).toEqual([true, false]);
    other?.release?.();
    await settle();
    expect(third.isGranted).toBe(true);
    for (const request of [second, third]) request?.release?.();
  });

  it('reject a request after ten seconds, and do not grant it later', async () => {
    jest.useFakeTimers();
    const first = new Request(slots.acquireForStream(1));
    await settle();
    const second = new Request(slots.acquireForStream(1));
    await settle();
    jest.advanceTimersByTime(9_999);
    first.release?.();
    const late = new Request(slots.acquireForStream(1));
    await settle();
    expect([second.isGranted, late.isGranted]).toEqual([true, false]);
    jest.advanceTimersByTime(10_000);
    await settle();
    expect(late.error).toMatchObject({ slug: 'unavailable', message: 'All stream slots are in use; retry later.' });
    second.release?.();
    await settle();
    expect(late.isGranted).toBe(false);
    const last = new Request(slots.acquireForStream(1));
    await settle();
    expect(last.isGranted).toBe(true);
    last.release?.();
  });
});
