import { columnListSql, columns } from './columns.js';
import { ObjectEntity } from './object.entity.js';

/** The columns that a statement must return of the objects that it adds, changes or deletes. */
export const ROLLUP_COLUMNS = columnListSql(columns(ObjectEntity, 'project_id', 'subject', 'observed_at', 'measure'));

/**
 * Hours before this time may have a rollup: an hour gets one two hours after its end at the earliest. A change invalidates
 * its hour only from one hour after its end. So a transaction that changed an hour without invalidating it has one hour for
 * its COMMIT before the hour is summed up.
 */
export const SETTLED_UNTIL = `date_trunc('hour', statement_timestamp() - interval '2 hours')`;
const UNMARKED_FROM = `date_trunc('hour', statement_timestamp() - interval '1 hour')`;

/**
 * SQL that invalidates the rollups of the hours of changed objects; it runs in the transaction that changes them. It only
 * inserts rows, so concurrent writers do not wait for each other.
 * @param changed a table, or a CTE of the same statement, with `ROLLUP_COLUMNS` of the objects before and after the change
 */
export function invalidateRollupsSql(changed: string): string {
  return `${invalidateAllRollupsSql(changed)} AND c.observed_at < ${UNMARKED_FROM}`;
}

/** The same for hours of any age: for a transaction that may last longer than an hour. */
export function invalidateAllRollupsSql(changed: string): string {
  return `
    INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
    SELECT DISTINCT c.project_id, c.subject, date_trunc('hour', c.observed_at), statement_timestamp()
    FROM ${changed} AS c
    WHERE c.subject IS NOT NULL AND c.measure IS NOT NULL`;
}
