import { Config, Problem } from '#platform';
import { Injectable } from '@nestjs/common';
import pLimit, { type LimitFunction } from 'p-limit';

/** Who waits longer for a turn is told to come again: what it has sent so far is kept in memory. */
const WAIT_MS = 10_000;

interface Slots {
  limit: LimitFunction;
  users: number;
}

/**
 * Who may write a stream now. A stream holds its connection for as long as its client sends, so half of the connections are
 * kept for everybody else, and half of the others for other projects than the one that asks.
 */
@Injectable()
export class StreamSlots {
  private readonly all: LimitFunction;
  private readonly perProject: number;
  private readonly ofProject = new Map<number, Slots>();

  constructor({ database: { poolMax } }: Config) {
    this.all = pLimit(Math.floor(poolMax / 2));
    this.perProject = Math.max(1, Math.floor(poolMax / 4));
  }

  /** @throws Problem unavailable when its turn has not come in ten seconds */
  async run<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    const slots = this.ofProject.get(projectId) ?? { limit: pLimit(this.perProject), users: 0 };
    this.ofProject.set(projectId, slots);
    slots.users++;
    try {
      return await inTime((turn) => slots.limit(() => this.all(turn)), work);
    } finally {
      if (--slots.users === 0) this.ofProject.delete(projectId);
    }
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
