import { firstSeqAtSql, timeOfSeqSql } from '#database';
import { MAINTENANCE_PROJECTS, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { deletedBytesSql } from '#usage';

/** Deletions that have expired, and rows of them that one statement deletes. */
const PURGED_DELETIONS = 100;
const PURGED_ROWS = 2_000;

/**
 * Deletes the rows of expired deletions, unless they are being restored, and expired deletions without rows. A deletion is deleted in a later
 * statement than its last row, because a statement does not see what it deletes.
 *
 * With the last deletion of a project its `deleted_bytes` become 0 again, whatever a server of an earlier version, or SQL by hand, has made
 * of them. Each transaction changes deletions and bytes together, so where a snapshot has no other deletion, all bytes in it are wrong; they
 * are subtracted, so what other transactions add meanwhile stays. Only the process that deletes the last deletion does it.
 */
export function purgeTask(hours: number): MaintenanceTask {
  const kept = `interval '${String(hours)} hours'`;
  const isExpired = `deletion_id < ${firstSeqAtSql(`(now() - ${kept})`)}`;
  return {
    name: 'delete what can no longer be restored',
    projectsSql: `
      SELECT DISTINCT project_id FROM (
        SELECT project_id FROM deletions WHERE ${isExpired} ORDER BY deletion_id LIMIT ${String(MAINTENANCE_ROWS)}
      ) AS expired LIMIT ${String(MAINTENANCE_PROJECTS)}`,
    projectSql: `
      WITH expired AS MATERIALIZED (
        SELECT deletion_id, is_counted FROM deletions WHERE project_id = $1 AND ${isExpired}
        ORDER BY deletion_id LIMIT ${String(PURGED_DELETIONS)} FOR UPDATE SKIP LOCKED
      ),
      excess AS MATERIALIZED (
        SELECT sum(s.deleted_bytes) AS bytes FROM project_usage AS s
        WHERE s.project_id = $1 AND EXISTS (SELECT FROM expired)
          AND NOT EXISTS (SELECT FROM deleted_objects AS o WHERE o.project_id = $1)
          AND NOT EXISTS (
            SELECT FROM deletions AS d WHERE d.project_id = $1 AND d.deletion_id NOT IN (SELECT e.deletion_id FROM expired AS e))
      ),
      ended AS (
        DELETE FROM deletions AS d
        WHERE d.project_id = $1 AND d.deletion_id IN (SELECT deletion_id FROM expired) AND NOT EXISTS (
          SELECT FROM deleted_objects AS o WHERE o.project_id = $1 AND o.deletion_id = d.deletion_id)
        RETURNING 1
      ),
      purged AS (
        DELETE FROM deleted_objects WHERE project_id = $1 AND (deletion_id, seq) IN (
          SELECT o.deletion_id, o.seq FROM deleted_objects AS o
          WHERE o.project_id = $1 AND o.deletion_id = ANY (array(SELECT e.deletion_id FROM expired AS e))
          LIMIT ${String(PURGED_ROWS)})
        RETURNING deletion_id, bytes
      ),
      counted AS (
        UPDATE project_usage AS u SET deleted_bytes = u.deleted_bytes - p.bytes
        FROM (
          SELECT sum(bytes) AS bytes FROM (
            SELECT ${deletedBytesSql('g')} AS bytes FROM purged AS g JOIN expired USING (deletion_id) WHERE is_counted
            UNION ALL SELECT bytes FROM excess) AS b
        ) AS p
        WHERE u.project_id = $1 AND p.bytes <> 0
          AND u.shard = (SELECT min(s.shard) FROM project_usage AS s WHERE s.project_id = $1)
      )
      SELECT EXISTS (SELECT FROM purged) OR EXISTS (SELECT FROM ended) AS has_more`,
    dueSql: `SELECT ${timeOfSeqSql('min(deletion_id)')} + ${kept} FROM deletions`,
  };
}
