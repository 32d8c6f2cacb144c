import { Config } from '#platform';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import pLimit, { type LimitFunction } from 'p-limit';
import { ProjectConcurrency } from '#platform';

/** Who waits longer for a turn to write a stream is told to come again: what it has sent so far is kept in memory. */
const WAIT_MS = 10_000;

/**
 * Large batches of a project that are written at a time. More come to no more objects a second, for they wait for the same
 * processors, and so do readers: with four at a time the slowest of a hundred reads took 6 times as long as at rest, with
 * two 3 times.
 */
const LARGE_BATCHES = 2;

/** Who may write much now. */
@Injectable()
export class WriteSlots {
  private readonly streams: LimitFunction;
  private readonly streamsOfProject: ProjectConcurrency;
  private readonly batchesOfProject = new ProjectConcurrency(LARGE_BATCHES);

  constructor({ database: { poolMax } }: Config) {
    this.streams = pLimit(Math.floor(poolMax / 2));
    this.streamsOfProject = new ProjectConcurrency(Math.max(1, Math.floor(poolMax / 4)));
  }

  /** For a batch that is here whole; it waits for those of its own project only. */
  forBatch<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    return this.batchesOfProject.run(projectId, work);
  }

  /**
   * For a stream, which holds its connection for as long as its client sends: so half of the connections are kept for
   * everybody else, and half of the others for other projects than the one that asks.
   * @throws Problem unavailable when its turn has not come in ten seconds
   */
  forStream<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    return inTime((turn) => this.streamsOfProject.run(projectId, () => this.streams(turn)), work);
  }
}

/** Does the work in its turn; a turn that comes too late is let go. */
function inTime<T>(queue: (turn: () => Promise<void>) => Promise<void>, work: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isLate = false;
    const late = setTimeout(() => {
      isLate = true;
      const detail = 'As many streams as may be are being written; send it again.';
      reject(new Problem('unavailable', { detail }));
    }, WAIT_MS);
    void queue(async () => {
      if (isLate) return;
      clearTimeout(late);
      await work().then(resolve, reject);
    });
  });
}
