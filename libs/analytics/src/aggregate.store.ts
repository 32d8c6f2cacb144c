import type { Filter } from '#filter';
import { Database, errorCode, type Queryable } from '#database';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import type { Aggregate, GroupResult } from './aggregate.js';
import { aggregateSql } from './aggregate-sql.js';

/** `by` and `series` are JSON; a time is in seconds since 1970. */
export interface AggregateRow extends GroupResult {
  by: string;
  series: string;
}

/** An error in a query parameter. */
export interface ParameterError {
  parameter: string;
  detail: string;
}

/** More lines than a chart shows; a response of 10,000 is about 1 MB. */
const GROUPS_MAX = 10_000;
/** Groups may be long texts, and a number may have 147,000 digits. */
const RESPONSE_BYTES_MAX = 16 * 1024 * 1024;

const OVERFLOW: ParameterError = {
  parameter: 'op',
  detail: 'gives a number with too many digits; use a narrower filter',
};

interface Row {
  groups: string;
  bytes: string;
  by: string | null;
  series: string;
  value: string | null;
  count: string;
}

/** Aggregates over the objects themselves. */
@Injectable()
export class AggregateStore {
  constructor(private readonly database: Database) {}

  /**
   * One row per group, in ascending order of group and series. Exactly one row without `by`.
   * @param overflowError what to report when a result has too many digits
   * @throws Problem invalid-query for that, for too many groups, for an unknown time zone
   */
  async compute(
    projectId: number,
    filter: Filter,
    aggregate: Aggregate,
    overflowError = OVERFLOW,
    on: Queryable = this.database,
  ): Promise<AggregateRow[]> {
    const limits = { groups: GROUPS_MAX, bytes: RESPONSE_BYTES_MAX };
    const { text, values } = aggregateSql(projectId, filter, aggregate, limits);
    const rows = await on.query<Row>(text, values).catch((error: unknown) => {
      throw problemOf(error, overflowError);
    });
    requireWithinLimits(rows[0], aggregate);
    return rows.flatMap(({ by, series, value, count }) =>
      by === null ? [] : [{ by, series, value, count: Number(count) }],
    );
  }
}

/** The Problem for what PostgreSQL detects only while it computes; any other error unchanged. */
function problemOf(error: unknown, overflowError: ParameterError): unknown {
  switch (errorCode(error)) {
    case '22003':
      return invalidQuery(overflowError, error);
    case '22023':
      return invalidQuery({ parameter: 'time_zone', detail: 'is not known to the database' }, error);
    default:
      return error;
  }
}

/** @throws Problem invalid-query */
function requireWithinLimits(size: Row | undefined, { by, series }: Aggregate): void {
  const parameter = by?.kind === 'time' ? 'bucket' : 'by';
  const coarser = by?.kind === 'time' ? 'use a longer bucket' : 'group by a coarser key';
  const remedy = `${coarser}${series === null ? '' : ', drop series'} or use a narrower filter`;
  if (Number(size?.groups) > GROUPS_MAX) {
    const detail = `gives too many groups, more than ${GROUPS_MAX.toLocaleString('en')}; ${remedy}`;
    throw invalidQuery({ parameter, detail });
  }
  if (Number(size?.bytes) > RESPONSE_BYTES_MAX) {
    throw invalidQuery({ parameter, detail: `gives more than 16 MiB of groups and values; ${remedy}` });
  }
}

function invalidQuery({ parameter, detail }: ParameterError, cause?: unknown): Problem {
  return new Problem('invalid-query', { detail: `${parameter} ${detail}.`, errors: [{ parameter, detail }], cause });
}
