/**
 * The parts of statements that keep the index correct in the transaction that writes objects. A new object is pending until the
 * indexer adds it to a segment; queries read the pending objects themselves. The entries of an object that changed or was deleted
 * are outdated in all segments that exist.
 *
 * The row in `index_pending` is locked before the row in `index_outdated`, as the indexer does, so that they never deadlock.
 */

/** Greater than the number of every segment. */
const EVERY_SEGMENT = '9223372036854775807';

/** Marks new objects as pending. @param added a table or CTE with `project_id` and `seq` */
export function addPendingSql(added: string): string {
  return `INSERT INTO index_pending (project_id, seq) SELECT project_id, seq FROM ${added}`;
}

/** Marks a new object as pending. */
export const ADD_PENDING = {
  name: 'index.add-pending',
  text: 'INSERT INTO index_pending (project_id, seq) VALUES ($1, $2)',
};

/**
 * CTEs that mark changed objects as pending and their entries as outdated.
 * @param changed rows with `project_id` and `seq`, as a table or a subquery
 */
export function changedObjectsSql(changed: string): string {
  return `
    now_pending AS (
      INSERT INTO index_pending (project_id, seq) SELECT project_id, seq FROM ${changed}
      ON CONFLICT (project_id, seq) DO UPDATE SET is_wide = false RETURNING project_id, seq
    ),
    now_outdated AS (${outdatedSql('SELECT project_id, seq FROM now_pending')})`;
}

/** CTEs that mark the entries of deleted objects as outdated. @param deleted a CTE with `project_id` and `seq` */
export function deletedObjectsSql(deleted: string): string {
  return `
    not_pending AS (
      DELETE FROM index_pending AS p USING ${deleted} AS d WHERE p.project_id = d.project_id AND p.seq = d.seq RETURNING 1
    ),
    now_outdated AS (
      ${outdatedSql(`SELECT d.project_id, d.seq FROM (SELECT count(*) FROM not_pending) AS first, ${deleted} AS d`)}
    )`;
}

function outdatedSql(objects: string): string {
  return `
    INSERT INTO index_outdated (project_id, seq, before_segment)
    SELECT o.project_id, o.seq, ${EVERY_SEGMENT} FROM (${objects}) AS o
    ON CONFLICT (project_id, seq) DO UPDATE SET before_segment = ${EVERY_SEGMENT}`;
}
