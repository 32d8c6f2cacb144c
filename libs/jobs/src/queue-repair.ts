import { Injectable, Logger } from '@nestjs/common';
import { JobPlaces } from './job-places.js';
import type { JobKey } from './job-key.js';
import { JobQueueStore } from './job-queue.store.js';
import { Maintenance } from './maintenance.js';

/** Jobs that one run compares with the queue. */
const JOBS = 10_000;
/** Younger ones may be about to be committed. */
const AGE_MS = 60_000;
const START: JobKey = { projectId: -1, jobId: '0' };

/**
 * Adds queued jobs to the queue that have no entry in it. On a cluster a job and its entry are on two machines: when the one with the
 * queue fails between the two commits, an accepted job would never run.
 */
@Injectable()
export class QueueRepair {
  private readonly log = new Logger('jobs');
  /** The last job that was compared. */
  private after = START;

  constructor(
    private readonly queue: JobQueueStore,
    private readonly places: JobPlaces,
    maintenance: Maintenance,
  ) {
    maintenance.add({ name: 'queue jobs that are not in the queue', run: () => this.run() });
  }

  /** Compares the next queued jobs; the first ones again after the last. */
  async run(): Promise<void> {
    const queued = await this.queue.queuedAfter(this.after, Date.now() - AGE_MS, JOBS);
    this.after = queued.length < JOBS ? START : (queued.at(-1) ?? START);
    const missing = await this.queue.withoutEntry(queued);
    let added = 0;
    // Meanwhile others may have ended, or another process may have added them.
    for (const key of missing) {
      if (await this.queue.addLostEntry(key, await this.places.next(key.projectId))) added++;
    }
    if (added > 0) this.log.warn(`${String(added)} jobs had no entry in the queue and were added`);
  }
}
