import { Maintenance, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Injectable } from '@nestjs/common';

/**
 * Deletes old marks together with the rollups that they invalidate. A mark is needed while its rollup exists, and while a
 * transaction that does not see the mark may still write one, which takes minutes at most.
 */
const DELETE_OLD_MARKS: MaintenanceTask = {
  name: 'delete old marks of rollups',
  sql: `
    WITH old AS (
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
const FLUSH_PENDING_LIST: MaintenanceTask = {
  name: 'empty the pending list of the index on data',
  sql: `SELECT gin_clean_pending_list('objects_data_idx')`,
};

/** Regular maintenance of rollups and of the index on `data`. */
@Injectable()
export class Housekeeping {
  constructor(maintenance: Maintenance) {
    maintenance.add(DELETE_OLD_MARKS, FLUSH_PENDING_LIST);
  }
}
