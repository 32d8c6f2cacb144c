import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { averageSql } from './aggregate-sql.js';
import { SETTLED_UNTIL } from '#store';

/** A subject's measures from a time on, before another; RFC 3339. */
export interface MeasuredSpan {
  projectId: number;
  subject: string;
  from: string;
  until: string;
}

/** What is asked of a span; all of them tell how many measures there are, and whether one is NaN. */
export type MeasuredOp = 'count' | 'sum' | 'avg' | 'min' | 'max';

/** A span in one number. */
export interface Measured {
  /** A JSON number to the last digit, null where there is nothing to compute; NaN where the objects have to be read. */
  value: string | null;
  count: string;
  /** Measures of hours that could have a rollup and have none. */
  unrolled: string;
}

/** Each from the sums of parts; the average as in aggregate-sql.ts. */
const VALUES: Readonly<Record<MeasuredOp, string>> = {
  count: `CASE WHEN sum(sum) = 'NaN' THEN 'NaN' ELSE coalesce(sum(count), 0) END`,
  sum: 'sum(sum)',
  avg: averageSql('sum(sum)', 'nullif(sum(count), 0)'),
  min: `CASE WHEN sum(sum) = 'NaN' THEN 'NaN' ELSE min(least) END`,
  max: 'max(most)',
};

/** The whole hours of the span that may have a rollup. */
const HOURS = `
  SELECT date_trunc('hour', $3::timestamptz + interval '1 hour' - interval '1 microsecond') AS first,
    least(date_trunc('hour', $4::timestamptz), ${SETTLED_UNTIL}) AS last`;

/** A rollup that holds: nothing of its hour has changed since. */
const VALID = `
  SELECT r.hour, r.count, r.sum, r.min, r.max FROM rollups AS r, hours
  WHERE r.project_id = $1 AND r.subject = $2 AND r.hour >= hours.first AND r.hour < hours.last
    AND NOT EXISTS (SELECT FROM rollup_marks AS m WHERE m.project_id = $1 AND m.subject = $2 AND m.hour = r.hour)`;

/** Of the measures of objects, no more than the op needs: each aggregate costs a few milliseconds a day of seconds. */
function partsSql(op: MeasuredOp): string {
  const least = op === 'min' ? 'min(o.measure)' : 'NULL::numeric';
  const most = op === 'max' ? 'max(o.measure)' : 'NULL::numeric';
  return `count(o.measure) AS count, sum(o.measure) AS sum, ${least} AS least, ${most} AS most`;
}

/** What of the span lies between the rollups that hold. */
const GAPS = `
  hours AS MATERIALIZED (${HOURS}),
  valid AS MATERIALIZED (${VALID}),
  gaps AS (
    SELECT coalesce(lag(hour) OVER (ORDER BY hour) + interval '1 hour', $3::timestamptz) AS first, hour AS last FROM valid
    UNION ALL
    SELECT coalesce(max(hour) + interval '1 hour', $3::timestamptz), $4::timestamptz FROM valid
  )`;

/**
 * One statement, so that the rollups, the marks and the objects are those of one moment. The objects of the gaps are summed up
 * from the index alone.
 */
const longSql = (op: MeasuredOp): string => `
  WITH ${GAPS},
  raw AS (
    SELECT o.* FROM hours, gaps, LATERAL (
      SELECT ${partsSql(op)},
        count(o.measure) FILTER (WHERE o.observed_at >= hours.first AND o.observed_at < hours.last) AS unrolled
      FROM objects AS o
      WHERE o.project_id = $1 AND o.subject = $2 AND o.observed_at >= gaps.first AND o.observed_at < gaps.last
    ) AS o WHERE gaps.first < gaps.last
  )
  SELECT trim_scale(${VALUES[op]}) AS value, coalesce(sum(count), 0) AS count, coalesce(sum(unrolled), 0) AS unrolled
  FROM (
    SELECT count, sum, least, most, unrolled FROM raw
    UNION ALL SELECT count, sum, min, max, 0 FROM valid
  ) AS parts`;

/** A span that has hardly a whole hour: without a look at the rollups it takes half as long. */
const shortSql = (op: MeasuredOp): string => `
  SELECT trim_scale(${VALUES[op]}) AS value, sum(count) AS count, 0 AS unrolled FROM (
    SELECT ${partsSql(op)} FROM objects AS o
    WHERE o.project_id = $1 AND o.subject = $2 AND o.observed_at >= $3::timestamptz AND o.observed_at < $4::timestamptz
  ) AS parts`;
const SHORT_MS = 2 * 3_600_000;

const DROP_MARKED = `
  DELETE FROM rollups AS r USING (${HOURS}) AS hours
  WHERE r.project_id = $1 AND r.subject = $2 AND r.hour >= hours.first AND r.hour < hours.last
    AND EXISTS (SELECT FROM rollup_marks AS m WHERE m.project_id = $1 AND m.subject = $2 AND m.hour = r.hour)`;

/**
 * Takes only the marks of hours that it writes: somebody with an older snapshot may write one that is empty by now, and no
 * conflict would tell.
 */
const SUM_UP = `
  WITH ${GAPS},
  written AS (
    INSERT INTO rollups (project_id, subject, hour, count, sum, min, max)
    SELECT $1::int, $2::text, date_trunc('hour', o.observed_at) AS hour,
      count(o.measure), sum(o.measure), min(o.measure), max(o.measure)
    FROM hours, gaps, LATERAL (
      SELECT o.observed_at, o.measure FROM objects AS o
      WHERE o.project_id = $1 AND o.subject = $2 AND o.measure IS NOT NULL
        AND o.observed_at >= greatest(gaps.first, hours.first) AND o.observed_at < least(gaps.last, hours.last)
    ) AS o
    GROUP BY hour
    ON CONFLICT (project_id, subject, hour) DO UPDATE
      SET count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max
    RETURNING hour
  )
  DELETE FROM rollup_marks AS m USING written AS w
  WHERE m.project_id = $1 AND m.subject = $2 AND m.hour = w.hour`;

/**
 * Sums of what was measured about a subject, by the hour: made when somebody asks for them, used as long as no change has
 * marked their hour. docs/decisions/013 says why they can never be wrong.
 */
@Injectable()
export class RollupStore {
  constructor(private readonly database: Database) {}

  async measure({ projectId, subject, from, until }: MeasuredSpan, op: MeasuredOp): Promise<Measured> {
    const isShort = Date.parse(until) - Date.parse(from) < SHORT_MS;
    const statement = isShort
      ? { name: `rollup.short-${op}`, text: shortSql(op) }
      : { name: `rollup.long-${op}`, text: longSql(op) };
    const [row] = await this.database.query<Measured>(statement, [projectId, subject, from, until]);
    if (row === undefined) throw new Error('an aggregate without groups has a row');
    return row;
  }

  /**
   * Sums up the hours of a span that have no rollup or one that holds no more. In one snapshot, so that a change which it
   * does not see keeps its mark; of two that do it at once the later one starts again.
   */
  async sumUp({ projectId, subject, from, until }: MeasuredSpan): Promise<void> {
    const span = [projectId, subject, from, until];
    await this.database.transaction(async (tx: Queryable) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await tx.query(DROP_MARKED, span);
      await tx.query(SUM_UP, span);
    });
  }
}
