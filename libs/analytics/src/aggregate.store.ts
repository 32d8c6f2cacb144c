import type { Filter } from '#filter';
import { Config } from '#platform';
import { Database } from '#database';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import type { Aggregate, Computed, Op } from './aggregate.js';
import { aggregateSql } from './aggregate-sql.js';
import { ProjectConcurrency } from '#platform';
import { Rollups } from './rollups.js';

/** `by` and `series` are JSON; of times they are the seconds since 1970. */
export interface AggregateRow extends Computed {
  by: string;
  series: string;
}

/** More lines than a chart shows and a person reads; an answer of so many is about 1 MB. */
const GROUPS_MAX = 10_000;
/** Groups may be texts of any length, and a number may have 147,000 digits. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** What a refusal names; the detail follows the parameter. */
interface Blame {
  parameter: string;
  detail: string;
}

const BEYOND: Blame = {
  parameter: 'op',
  detail: 'comes to a number of more digits than can be written; narrow the filter',
};

interface Row {
  groups: string;
  bytes: string;
  by: string | null;
  series: string;
  value: string | null;
  count: string;
}

@Injectable()
export class AggregateStore {
  /** Each may take a connection for minutes: a quarter of them for one project, and the others wait for those only. */
  private readonly ofProject: ProjectConcurrency;
  /** What rollups may answer in milliseconds does not wait for those. */
  private readonly measuresOfProject: ProjectConcurrency;

  constructor(
    private readonly database: Database,
    private readonly rollups: Rollups,
    { database: { poolMax } }: Config,
  ) {
    const share = Math.max(1, Math.floor(poolMax / 4));
    this.ofProject = new ProjectConcurrency(share);
    this.measuresOfProject = new ProjectConcurrency(share);
  }

  /**
   * By rising group, then series; numbers before text before booleans before null. Without `by` there is always one row.
   * @throws Problem invalid-query for too many groups, a sum beyond what a number can have, an unknown time zone
   */
  async rows(projectId: number, filter: Filter, aggregate: Aggregate, beyond: Blame = BEYOND): Promise<AggregateRow[]> {
    const measure = (): Promise<Computed | null> => this.rollups.measure(projectId, filter, aggregate);
    const measured = await this.measuresOfProject.run(projectId, measure);
    if (measured !== null) return [{ by: 'null', series: 'null', ...measured }];
    return this.ofProject.run(projectId, () => this.computed(projectId, filter, aggregate, beyond));
  }

  private async computed(
    projectId: number,
    filter: Filter,
    aggregate: Aggregate,
    beyond: Blame,
  ): Promise<AggregateRow[]> {
    const limits = { groups: GROUPS_MAX, bytes: ANSWER_BYTES_MAX };
    const { text, values } = aggregateSql(projectId, filter, aggregate, limits);
    const rows = await this.database.query<Row>(text, values).catch((error: unknown) => {
      throw refusalOf(error, beyond) ?? error;
    });
    refuseTooMuch(rows[0], aggregate);
    return rows.flatMap(({ by, series, value, count }) =>
      by === null ? [] : [{ by, series, value, count: Number(count) }],
    );
  }

  /**
   * One op over all numeric values of a key.
   * @param beyond which of the route's parameters a sum beyond what a number can have is to be blamed on
   * @throws Problem invalid-query for such a sum
   */
  async total(projectId: number, filter: Filter, op: Op, key: string, beyond?: Blame): Promise<Computed> {
    const [row] = await this.rows(projectId, filter, { op, key, by: null, series: null }, beyond);
    if (row === undefined) throw new Error('an aggregate in all has no row');
    return { value: row.value, count: row.count };
  }
}

/** What PostgreSQL finds wrong only when it computes, by SQLSTATE. */
function refusalOf(error: unknown, beyond: Blame): Problem | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === '22003') return refusal(beyond.parameter, beyond.detail, error);
  if (code === '22023') return refusal('time_zone', 'is not known to the database', error);
  return undefined;
}

function refuseTooMuch(size: Row | undefined, { by, series }: Aggregate): void {
  const parameter = by?.kind === 'time' ? 'bucket' : 'by';
  const how = `${by?.kind === 'time' ? 'take a longer bucket' : 'group by something coarser'}${series === null ? '' : ', drop series'} or narrow the filter`;
  if (Number(size?.groups) > GROUPS_MAX)
    throw refusal(parameter, `gives too many groups, more than ${GROUPS_MAX.toLocaleString('en')}; ${how}`);
  if (Number(size?.bytes) > ANSWER_BYTES_MAX)
    throw refusal(parameter, `gives groups of more than 16 MiB of text; ${how}`);
}

function refusal(parameter: string, detail: string, cause?: unknown): Problem {
  return new Problem('invalid-query', { detail: `${parameter} ${detail}.`, errors: [{ parameter, detail }], cause });
}
