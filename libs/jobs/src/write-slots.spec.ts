import { Config } from '#platform';
import { describe, expect, it } from '@jest/globals';
import { WriteSlots, type ReleaseSlot } from './write-slots.js';

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

describe('the slots of large batches', () => {
  it('are limited to two for each project', async () => {
    const slots = new WriteSlots(new Config({}));
    const own = [1, 1, 1].map((projectId) => new Request(slots.acquire({ projectId })));
    const other = new Request(slots.acquire({ projectId: 2 }));
    await settle();
    expect([...own, other].map(({ isGranted }) => isGranted)).toEqual([true, true, false, true]);
    own[0]?.release?.();
    await settle();
    expect(own[2]?.isGranted).toBe(true);
    for (const { release } of [...own.slice(1), other]) release?.();
    const again = [1, 1, 1].map((projectId) => new Request(slots.acquire({ projectId })));
    await settle();
    expect(again.map(({ isGranted }) => isGranted)).toEqual([true, true, false]);
    again[0]?.release?.();
    await settle();
    for (const { release } of again.slice(1)) release?.();
  });

  it('free the request slots of those that wait for them', () => {
    const slots = new WriteSlots(new Config({}));
    let freed = 0;
    for (let n = 0; n < 3; n++) void slots.acquire({ projectId: 1, releaseSlot: () => freed++ });
    expect(freed).toBe(3);
  });

  it('are one for each project where there are two in all', async () => {
    const slots = new WriteSlots(new Config({ DATABASE_POOL_MAX: '10' }));
    const requests = [1, 1, 2].map((projectId) => new Request(slots.acquire({ projectId })));
    await settle();
    expect(requests.map(({ isGranted }) => isGranted)).toEqual([true, false, true]);
  });

  it('are limited to a quarter of the connections for all projects', async () => {
    const slots = new WriteSlots(new Config({ DATABASE_POOL_MAX: '22' }));
    const requests = [1, 1, 2, 2, 3, 3].map((projectId) => new Request(slots.acquire({ projectId })));
    await settle();
    expect(requests.map(({ isGranted }) => isGranted)).toEqual([true, true, true, true, true, false]);
  });
});
