import { Database } from '#database';
import { Maintenance, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Injectable } from '@nestjs/common';

/**
 * Deletes old marks together with the rollups that they invalidate. A mark is needed while its rollup exists, and while a
 * transaction that does not see the mark may still write one, which takes minutes at most.
 */
const DELETE_OLD_MARKS: MaintenanceTask = {
  name: 'delete old marks of rollups',
  sql: `
    WITH old AS MATERIALIZED (
      SELECT project_id, subject, hour, marked_at FROM rollup_marks
      WHERE marked_at < now() - interval '1 day' ORDER BY marked_at LIMIT ${String(MAINTENANCE_ROWS)}),
    deleted AS (
      DELETE FROM rollups AS r USING old
      WHERE r.project_id = old.project_id AND r.subject = old.subject AND r.hour = old.hour),
    marks AS (
      DELETE FROM rollup_marks AS m USING old
      WHERE m.project_id = old.project_id AND m.subject = old.subject AND m.hour = old.hour AND m.marked_at = old.marked_at)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM old`,
  dueSql: `SELECT min(marked_at) + interval '1 day' FROM rollup_marks`,
};

/** New entries of the GIN index wait in a list that every filter scans, which costs up to 5 ms. */
const FLUSH_PENDING_LIST = `SELECT gin_clean_pending_list('objects_data_idx')`;

/** On a cluster each shard has an index of its own; `%s` is the name of a shard. */
const FLUSH_PENDING_LISTS = `
  SELECT run_command_on_shards('objects', $command$
    SELECT sum(gin_clean_pending_list(i.indexrelid)) FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = '%s'::regclass AND a.amname = 'gin' $command$)`;

/** Regular maintenance of rollups and of the index on `data`. */
@Injectable()
export class AnalyticsMaintenance {
  constructor(maintenance: Maintenance, database: Database) {
    const sql = database.isDistributed ? FLUSH_PENDING_LISTS : FLUSH_PENDING_LIST;
    maintenance.add(DELETE_OLD_MARKS, { name: 'empty the pending list of the index on data', sql });
  }
}
