import { isConnectionLoss } from '#database';
import { describeError, ProjectSlots } from '#platform';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { RollupStore, splitSpan, type MeasuredSpan } from './rollup.store.js';

/** Subjects of one project that may wait; a subject beyond them is refreshed after a later request. */
const WAITING_MAX = 100;

/** Computes missing rollups in the background, one subject at a time, so that it uses one connection. */
@Injectable()
export class RollupRefresher implements BeforeApplicationShutdown {
  private readonly log = new Logger('rollups');
  /** Refreshes that wait or run, by project and subject. */
  private readonly pending = new Map<number, Map<string, Promise<void>>>();
  /** One subject at a time; projects take turns. */
  private readonly running = new ProjectSlots({ total: 1, perProject: 1 });
  private isStopping = false;

  constructor(private readonly store: RollupStore) {}

  /** Returns at once. Does nothing while a refresh of the same subject is pending. */
  refreshLater(span: MeasuredSpan): void {
    const { projectId, subject } = span;
    const bySubject = this.pending.get(projectId) ?? new Map<string, Promise<void>>();
    if (bySubject.has(subject) || bySubject.size >= WAITING_MAX) return;
    this.pending.set(projectId, bySubject);
    const refresh = this.running
      .run(projectId, () => this.refresh(span))
      .finally(() => {
        bySubject.delete(subject);
        if (bySubject.size === 0) this.pending.delete(projectId);
      });
    bySubject.set(subject, refresh);
  }

  /** Resolves when no refresh runs any more; waiting ones are dropped. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    await Promise.all([...this.pending.values()].flatMap((bySubject) => [...bySubject.values()]));
  }

  private async refresh(span: MeasuredSpan): Promise<void> {
    try {
      for (const part of splitSpan(span)) {
        if (this.isStopping) return;
        await this.store.refresh(part);
      }
    } catch (error) {
      if (!isConnectionLoss(error)) this.log.warn(`computing rollups failed: ${describeError(error)}`);
    }
  }
}
