import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { Op } from './aggregate.js';
import { averageSql } from './aggregate-sql.js';
import { ROLLUPS_UNTIL } from '#store';

/** The measures of one subject in [from, until); RFC 3339. */
export interface MeasuredSpan {
  projectId: number;
  subject: string;
  from: string;
  until: string;
}

const HOUR_MS = 3_600_000;
/** A span of up to ten years in one transaction would hold its snapshot, its locks and its connection for too long. */
const REFRESH_MS_MAX = 30 * 24 * HOUR_MS;

/** Cuts a span into consecutive parts of at most 30 days, at whole hours, each for one `refresh`. */
export function* splitSpan(span: MeasuredSpan): Generator<MeasuredSpan> {
  let { from } = span;
  const untilMs = Date.parse(span.until);
  for (;;) {
    const endMs = Math.floor((Date.parse(from) + REFRESH_MS_MAX) / HOUR_MS) * HOUR_MS;
    if (endMs >= untilMs) break;
    const until = new Date(endMs).toISOString();
    yield { ...span, from, until };
    from = until;
  }
  yield { ...span, from };
}

/** Operations that can be computed from rollups. */
const ROLLUP_OPS = ['count', 'sum', 'avg', 'min', 'max'] as const satisfies readonly Op[];
export type RollupOp = (typeof ROLLUP_OPS)[number];

export function isRollupOp(op: Op): op is RollupOp {
  return ROLLUP_OPS.some((one) => one === op);
}

/** One figure of a span. */
export interface RollupResult {
  /** A JSON number with all digits; null for an empty span; NaN where the objects have to be read. */
  value: string | null;
  count: string;
  /** Number of measures in hours that may have a rollup but have no valid one. */
  not_in_rollups: string;
}

/** The result from partial results; the average as in aggregate-sql.ts. */
const VALUES: Readonly<Record<RollupOp, string>> = {
  count: `CASE WHEN sum(sum) = 'NaN' THEN 'NaN' ELSE coalesce(sum(count), 0) END`,
  sum: 'sum(sum)',
  avg: averageSql('sum(sum)', 'nullif(sum(count), 0)'),
  min: `CASE WHEN sum(sum) = 'NaN' THEN 'NaN' ELSE min(least) END`,
  max: 'max(most)',
};

/** The complete hours of the span that may have a rollup. */
const HOURS = `
  SELECT date_trunc('hour', $3::timestamptz + interval '1 hour' - interval '1 microsecond') AS first,
    least(date_trunc('hour', $4::timestamptz), ${ROLLUPS_UNTIL}) AS last`;

/** Valid rollups: nothing in their hour has changed since. */
const VALID = `
  SELECT r.hour, r.count, r.sum, r.min, r.max FROM rollups AS r, hours
  WHERE r.project_id = $1 AND r.subject = $2 AND r.hour >= hours.first AND r.hour < hours.last
    AND NOT EXISTS (SELECT FROM rollup_marks AS m WHERE m.project_id = $1 AND m.subject = $2 AND m.hour = r.hour)`;

/** Aggregates only what the operation needs: each aggregate costs a few milliseconds per 86,400 measures. */
function partsSql(op: RollupOp): string {
  const least = op === 'min' ? 'min(o.measure)' : 'NULL::numeric';
  const most = op === 'max' ? 'max(o.measure)' : 'NULL::numeric';
  return `count(o.measure) AS count, sum(o.measure) AS sum, ${least} AS least, ${most} AS most`;
}

/** The parts of the span that no valid rollup covers. */
const GAPS = `
  hours AS MATERIALIZED (${HOURS}),
  valid AS MATERIALIZED (${VALID}),
  gaps AS (
    SELECT coalesce(lag(hour) OVER (ORDER BY hour) + interval '1 hour', $3::timestamptz) AS first, hour AS last FROM valid
    UNION ALL
    SELECT coalesce(max(hour) + interval '1 hour', $3::timestamptz), $4::timestamptz FROM valid
  )`;

/**
 * One statement, so that rollups, marks and objects are of one snapshot. The objects in the gaps are read from the index alone.
 */
const longSql = (op: RollupOp): string => `
  WITH ${GAPS},
  raw AS (
    SELECT o.* FROM hours, gaps, LATERAL (
      SELECT ${partsSql(op)},
        count(o.measure) FILTER (WHERE o.observed_at >= hours.first AND o.observed_at < hours.last) AS not_in_rollups
      FROM objects AS o
      WHERE o.project_id = $1 AND o.subject = $2 AND o.observed_at >= gaps.first AND o.observed_at < gaps.last
    ) AS o WHERE gaps.first < gaps.last
  )
  SELECT trim_scale(${VALUES[op]}) AS value, coalesce(sum(count), 0) AS count, coalesce(sum(not_in_rollups), 0) AS not_in_rollups
  FROM (
    SELECT count, sum, least, most, not_in_rollups FROM raw
    UNION ALL SELECT count, sum, min, max, 0 FROM valid
  ) AS parts`;

/** A span with at most one complete hour: reading only the objects takes half as long. */
const shortSql = (op: RollupOp): string => `
  SELECT trim_scale(${VALUES[op]}) AS value, sum(count) AS count, 0 AS not_in_rollups FROM (
    SELECT ${partsSql(op)} FROM objects AS o
    WHERE o.project_id = $1 AND o.subject = $2 AND o.observed_at >= $3::timestamptz AND o.observed_at < $4::timestamptz
  ) AS parts`;
const SHORT_MS = 2 * HOUR_MS;

const DELETE_INVALID = `
  DELETE FROM rollups AS r USING (${HOURS}) AS hours
  WHERE r.project_id = $1 AND r.subject = $2 AND r.hour >= hours.first AND r.hour < hours.last
    AND EXISTS (SELECT FROM rollup_marks AS m WHERE m.project_id = $1 AND m.subject = $2 AND m.hour = r.hour)`;

/**
 * Deletes the marks of the hours that it writes and no others. The mark of an hour that has become empty stays, because a
 * transaction with an older snapshot may still write that hour without a conflict.
 */
const WRITE_MISSING = `
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
 * Hourly sums of the measures of each subject, computed after the first request that needs them and used until a change
 * invalidates their hour. docs/decisions/013 explains why they are always correct.
 */
@Injectable()
export class RollupStore {
  constructor(private readonly database: Database) {}

  /** One figure of a span: from valid rollups, and from the objects in the gaps between them. */
  async read(
    { projectId, subject, from, until }: MeasuredSpan,
    op: RollupOp,
    on: Queryable = this.database,
  ): Promise<RollupResult> {
    const isShort = Date.parse(until) - Date.parse(from) < SHORT_MS;
    const statement = isShort
      ? { name: `rollup.short-${op}`, text: shortSql(op) }
      : { name: `rollup.long-${op}`, text: longSql(op) };
    const [row] = await on.query<RollupResult>(statement, [projectId, subject, from, until]);
    if (row === undefined) throw new Error('an aggregate without groups returned no row');
    return row;
  }

  /**
   * Computes the missing and the invalid rollups of a span, at most 30 days (`splitSpan`), in one snapshot. A change that the
   * snapshot does not contain keeps its mark. Of two concurrent refreshes the later one fails to serialize and is retried.
   */
  async refresh({ projectId, subject, from, until }: MeasuredSpan): Promise<void> {
    const span = [projectId, subject, from, until];
    await this.database.transaction(async (tx: Queryable) => {
      await tx.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await tx.query(DELETE_INVALID, span);
      await tx.query(WRITE_MISSING, span);
    });
  }
}
