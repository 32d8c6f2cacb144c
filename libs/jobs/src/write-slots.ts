import { Config, ProjectSlots } from '#platform';
import { Injectable } from '@nestjs/common';

/**
 * Large batches that a project writes at a time. More would not increase the throughput, because they share the processors, but
 * would slow down readers: the slowest of a hundred reads takes 3 times as long as without writes, and 6 times with four.
 */
const PER_PROJECT = 2;

/** The part of a `WriteRequest` that waits for a slot. */
interface SlotRequest {
  projectId: number;
  /** Frees the slot of its request; absent for a job. */
  releaseSlot?: (() => void) | undefined;
}

/** Frees a slot; to be called once. */
export type ReleaseSlot = () => void;

/**
 * Limits how many large batches, and streams that have arrived, are written at a time: a quarter of the connections, `PER_PROJECT`
 * for one project. With the streams that are written while they arrive, and the jobs of the default, it leaves some connections: the
 * stored parts of a stream are read by another one. They wait as long as it takes.
 */
@Injectable()
export class WriteSlots {
  private readonly slots: ProjectSlots;

  constructor({ database: { sharedMax } }: Config) {
    const total = Math.max(1, Math.floor(sharedMax / 4));
    this.slots = new ProjectSlots({ total, perProject: Math.max(1, Math.min(PER_PROJECT, Math.floor(total / 2))) });
  }

  async acquire({ projectId, releaseSlot }: SlotRequest): Promise<ReleaseSlot> {
    // Free the request slot first: other requests of the project may need it.
    releaseSlot?.();
    const release = await this.slots.acquire(projectId);
    if (release === null) throw new Error('no slot; work waits for these slots without limits');
    return release;
  }
}
