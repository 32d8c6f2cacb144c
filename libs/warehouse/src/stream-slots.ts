import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import pLimit, { type LimitFunction } from 'p-limit';

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

  /** Waits for its turn. */
  async run<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    const slots = this.ofProject.get(projectId) ?? { limit: pLimit(this.perProject), users: 0 };
    this.ofProject.set(projectId, slots);
    slots.users++;
    try {
      return await slots.limit(() => this.all(work));
    } finally {
      if (--slots.users === 0) this.ofProject.delete(projectId);
    }
  }
}
