import { Config, ProjectSlots } from '#platform';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';

/** How long a stream waits for a slot. What it has sent so far is kept in memory. */
const STREAM_WAIT_MS = 10_000;

/**
 * Large batches that a project writes at a time. More would not increase the throughput, because they share the processors, but
 * would slow down readers: the slowest of a hundred reads takes 3 times as long as without writes, and 6 times with four.
 */
const LARGE_BATCHES = 2;

/** Frees a slot; to be called once. */
export type ReleaseSlot = () => void;

/** Limits how many large batches and streams are written at a time. */
@Injectable()
export class WriteSlots {
  private readonly batches: ProjectSlots;
  private readonly streams: ProjectSlots;

  constructor({ database: { sharedMax } }: Config) {
    this.batches = new ProjectSlots({
      total: Math.max(LARGE_BATCHES, Math.floor(sharedMax / 3)),
      perProject: LARGE_BATCHES,
    });
    this.streams = new ProjectSlots({
      total: Math.max(1, Math.floor(sharedMax / 2)),
      perProject: Math.max(1, Math.floor(sharedMax / 4)),
      waitMs: STREAM_WAIT_MS,
    });
  }

  /**
   * For a batch that has arrived. Batches get at most a third of the connections, those of one project `LARGE_BATCHES`; it waits as
   * long as it takes.
   */
  acquireForBatch(projectId: number): Promise<ReleaseSlot> {
    return required(this.batches.acquire(projectId));
  }

  /**
   * For a stream that arrives while it is written, and holds its connection for as long as its client sends. Streams get at most half of the connections, and
   * those of one project half of these.
   * @throws Problem unavailable where no slot is free within ten seconds
   */
  acquireForStream(projectId: number): Promise<ReleaseSlot> {
    return required(this.streams.acquire(projectId));
  }
}

async function required(acquiring: Promise<ReleaseSlot | null>): Promise<ReleaseSlot> {
  const release = await acquiring;
  if (release === null) throw new Problem('unavailable', { detail: 'All stream slots are in use; retry later.' });
  return release;
}
