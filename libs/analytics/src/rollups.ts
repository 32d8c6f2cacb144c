import type { Filter } from '#filter';
import { isConnectionLoss } from '#database';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import pLimit from 'p-limit';
import type { Aggregate, Computed, Op } from './aggregate.js';
import { ProjectConcurrency } from '#platform';
import { MEASURED_KEY } from '#store';
import { RollupStore, type MeasuredOp, type MeasuredSpan } from './rollup.store.js';

/** Subjects of a project that wait to be summed up; who asks for more is answered all the same, and sums them up next time. */
const WAITING_MAX = 100;

/** Sums of what was measured about one subject in a time, in milliseconds also where that is a year of seconds. */
@Injectable()
export class Rollups implements BeforeApplicationShutdown {
  private readonly log = new Logger('rollups');
  /** What is being summed up for the next one who asks, by project and subject. */
  private readonly underWay = new Map<number, Map<string, Promise<void>>>();
  /** One at a time, so that a chart of many rooms takes no connections from anybody; and of each project one waits for that. */
  private readonly turn = pLimit(1);
  private readonly ofProject = new ProjectConcurrency(1);
  private isStopping = false;

  constructor(private readonly store: RollupStore) {}

  /** Null where the filter asks for something else, or where the numbers have to be read from the objects themselves. */
  async measure(projectId: number, filter: Filter, { op, key, by, series }: Aggregate): Promise<Computed | null> {
    const span = key === MEASURED_KEY && by === null && series === null ? spanOf(projectId, filter) : null;
    if (span === null || !isMeasured(op)) return null;
    const { value, count, unrolled } = await this.store.measure(span, op);
    if (Number(unrolled) > 0) this.sumUp(span);
    return value === 'NaN' ? null : { value, count: Number(count) };
  }

  /** Resolves when nothing of it runs any more; what waits is left for another time. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    await Promise.all([...this.underWay.values()].flatMap((bySubject) => [...bySubject.values()]));
  }

  /** Nobody waits for it. */
  private sumUp(span: MeasuredSpan): void {
    const { projectId, subject } = span;
    const bySubject = this.underWay.get(projectId) ?? new Map<string, Promise<void>>();
    if (bySubject.has(subject) || bySubject.size >= WAITING_MAX) return;
    this.underWay.set(projectId, bySubject);
    const work = this.ofProject
      .run(projectId, () =>
        this.turn(async () => {
          if (!this.isStopping) await this.store.sumUp(span);
        }),
      )
      .catch((error: unknown) => {
        if (!isConnectionLoss(error)) this.log.warn(`summing up by the hour failed: ${String(error)}`);
      })
      .finally(() => {
        bySubject.delete(subject);
        if (bySubject.size === 0) this.underWay.delete(projectId);
      });
    bySubject.set(subject, work);
  }
}

function isMeasured(op: Op): op is MeasuredOp {
  return op !== 'p50' && op !== 'p95';
}

/** The span that a filter asks for when it asks for one subject from one time to another and nothing else. */
function spanOf(projectId: number, filter: Filter): MeasuredSpan | null {
  const parts = filter.kind === 'and' ? filter.of : [filter];
  const [first, second] = [...parts].sort((a, b) => a.kind.localeCompare(b.kind));
  if (parts.length !== 2 || first?.kind !== 'observed' || second?.kind !== 'subject') return null;
  const { from, until } = first;
  return from === null || until === null ? null : { projectId, subject: second.subject, from, until };
}
