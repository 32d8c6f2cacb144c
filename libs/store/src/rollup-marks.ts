/** The key whose numbers `objects.measure` holds. NaN there stands for what one number cannot say. */
export const MEASURED_KEY = 'temperature';

/** What a statement has to give of the objects that it adds, changes or removes. */
export const ROLLUP_COLUMNS = 'project_id, subject, observed_at, measure';

/**
 * The hours that may have a rollup. An hour has one at the earliest two hours after its end, and a change is marked from one
 * hour after its end on: so whoever changed something without a mark has an hour for its COMMIT before anybody sums it up.
 */
export const SETTLED_UNTIL = `date_trunc('hour', statement_timestamp() - interval '2 hours')`;
const UNMARKED_FROM = `date_trunc('hour', statement_timestamp() - interval '1 hour')`;

/**
 * Marks the hours of objects that change, in the statement or at least the transaction that changes them: their rollups
 * hold no more. Marks are only added, so that nobody waits for anybody.
 * @param changed a table, or a CTE of the same statement, with `MARKED_COLUMNS` of the objects as they were and as they are
 */
export function invalidateRollupsSql(changed: string): string {
  return `${invalidateAllRollupsSql(changed)} AND c.observed_at < ${UNMARKED_FROM}`;
}

/** The same without regard to how old the hour is: for a statement that is not followed by its COMMIT within an hour. */
export function invalidateAllRollupsSql(changed: string): string {
  return `
    INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
    SELECT DISTINCT c.project_id, c.subject, date_trunc('hour', c.observed_at), statement_timestamp()
    FROM ${changed} AS c
    WHERE c.subject IS NOT NULL AND c.measure IS NOT NULL`;
}
