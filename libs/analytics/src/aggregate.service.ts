import type { Queryable } from '#database';
import type { Filter } from '#filter';
import { Config, ProjectSlots } from '#platform';
import { MEASURED_KEY } from '#store';
import { Injectable } from '@nestjs/common';
import type { Aggregate, GroupResult } from './aggregate.js';
import { AggregateStore, type AggregateRow, type ParameterError } from './aggregate.store.js';
import { RollupRefresher } from './rollup-refresher.js';
import { isRollupOp, RollupStore, type MeasuredSpan, type RollupOp } from './rollup.store.js';

/** Computes aggregates: from hourly rollups where they can answer, otherwise from the objects. Both give the same exact result. */
@Injectable()
export class AggregateService {
  /** An aggregate over objects may hold a connection for minutes. One project gets a quarter of them and waits for its own only. */
  private readonly objectReads: ProjectSlots;
  /** Rollups answer in milliseconds, so their requests do not wait for those over objects. */
  private readonly rollupReads: ProjectSlots;

  constructor(
    private readonly objects: AggregateStore,
    private readonly rollups: RollupStore,
    private readonly refresher: RollupRefresher,
    { database: { sharedMax } }: Config,
  ) {
    const share = Math.max(1, Math.floor(sharedMax / 4));
    this.objectReads = new ProjectSlots({ perProject: share });
    this.rollupReads = new ProjectSlots({ perProject: share });
  }

  /**
   * One row per group in ascending order of group and series: numbers, text, booleans, null. Exactly one row without `by`.
   * @throws Problem invalid-query for too many groups, a result with too many digits, an unknown time zone
   */
  async compute(projectId: number, filter: Filter, aggregate: Aggregate, on?: Queryable): Promise<AggregateRow[]> {
    const plan = rollupPlanOf(projectId, filter, aggregate);
    if (plan !== null) {
      const computed = await this.readRollups(plan.span, plan.op, on);
      if (computed !== null) return [{ by: 'null', series: 'null', ...computed }];
    }
    return this.objectReads.run(projectId, () => this.objects.compute(projectId, filter, aggregate, undefined, on));
  }

  /**
   * The average of the numbers under `MEASURED_KEY` of one subject in a time span.
   * @param overflowError what to report when the result has too many digits
   * @throws Problem invalid-query with `overflowError`
   */
  async average(span: MeasuredSpan, overflowError: ParameterError, on?: Queryable): Promise<GroupResult> {
    const computed = await this.readRollups(span, 'avg', on);
    if (computed !== null) return computed;
    const { projectId, subject, from, until } = span;
    const filter: Filter = {
      kind: 'and',
      of: [
        { kind: 'subject', subject },
        { kind: 'observed', from, until },
      ],
    };
    const aggregate: Aggregate = { op: 'avg', key: MEASURED_KEY, by: null, series: null };
    const [row] = await this.objectReads.run(projectId, () =>
      this.objects.compute(projectId, filter, aggregate, overflowError, on),
    );
    if (row === undefined) throw new Error('an aggregate without groups returned no row');
    return row;
  }

  /** Null where the numbers have to be read from the objects. Starts the computation of missing rollups for later requests. */
  private async readRollups(span: MeasuredSpan, op: RollupOp, on?: Queryable): Promise<GroupResult | null> {
    const { value, count, not_in_rollups } = await this.rollupReads.run(span.projectId, () =>
      this.rollups.read(span, op, on),
    );
    if (Number(not_in_rollups) > 0) this.refresher.refreshLater(span);
    return value === 'NaN' ? null : { value, count: Number(count) };
  }
}

/** What rollups can answer: one figure of the measured key over one subject and a closed time span, and no other condition. */
function rollupPlanOf(
  projectId: number,
  filter: Filter,
  { op, key, by, series }: Aggregate,
): { span: MeasuredSpan; op: RollupOp } | null {
  if (key !== MEASURED_KEY || by !== null || series !== null || !isRollupOp(op)) return null;
  if (filter.kind !== 'and' || filter.of.length !== 2) return null;
  const subject = filter.of.find((part) => part.kind === 'subject');
  const observed = filter.of.find((part) => part.kind === 'observed');
  if (subject === undefined || observed === undefined || observed.from === null || observed.until === null) return null;
  return { span: { projectId, subject: subject.subject, from: observed.from, until: observed.until }, op };
}
