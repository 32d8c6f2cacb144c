import { columnListSql, columns } from './columns.js';
import { ObjectEntity } from './object.entity.js';

/** The columns that a statement must return of the objects that it adds, changes or deletes. */
export const ROLLUP_COLUMNS = columnListSql(columns(ObjectEntity, 'project_id', 'subject', 'observed_at', 'measure'));

/**
 * Only hours before this time have a rollup: it is computed two hours after the end of the hour at the earliest. A change
 * invalidates its hour only if the hour ended at least one hour before. So a transaction that does not invalidate its hour has
 * one more hour to commit before the rollup is computed.
 */
export const ROLLUPS_UNTIL = `date_trunc('hour', statement_timestamp() - interval '2 hours')`;
/** A change of this hour or a later one invalidates nothing. */
const INVALIDATED_UNTIL = `date_trunc('hour', statement_timestamp() - interval '1 hour')`;

/**
 * SQL that invalidates the rollups of the hours of changed objects, in the transaction that changes them. It inserts a row into
 * `rollup_marks` for each hour, so that concurrent writers do not wait for each other; an hour with a mark has no valid rollup.
 * @param changed a table, or a CTE of the same statement, with `ROLLUP_COLUMNS` of the objects before and after the change
 */
export function invalidateRollupsSql(changed: string): string {
  return `${invalidateAllRollupsSql(changed)} AND c.observed_at < ${INVALIDATED_UNTIL}`;
}

/** The same for hours of any age: for a transaction that may last longer than an hour. */
export function invalidateAllRollupsSql(changed: string): string {
  return `
    INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
    SELECT DISTINCT c.project_id, c.subject, date_trunc('hour', c.observed_at), statement_timestamp()
    FROM ${changed} AS c
    WHERE c.subject IS NOT NULL AND c.measure IS NOT NULL`;
}
