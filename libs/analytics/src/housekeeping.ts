import { Maintenance, MAINTENANCE_ROWS } from '#jobs';
import { Injectable } from '@nestjs/common';

/**
 * A mark says that a sum by the hour holds no more. It is needed as long as the sum is there, or somebody who does not see the
 * mark may write one, which takes minutes at most.
 */
const FORGET_MARKS = `
  WITH old AS (
    SELECT project_id, subject, hour, marked_at FROM rollup_marks
    WHERE marked_at < now() - interval '1 day' ORDER BY marked_at LIMIT ${String(MAINTENANCE_ROWS)}),
  gone AS (
    DELETE FROM rollups AS r USING old
    WHERE r.project_id = old.project_id AND r.subject = old.subject AND r.hour = old.hour)
  DELETE FROM rollup_marks AS m USING old
  WHERE m.project_id = old.project_id AND m.subject = old.subject AND m.hour = old.hour AND m.marked_at = old.marked_at`;

/** What was inserted since the last time waits in a list that every filter reads through, which costs it up to 5 ms. */
const FLUSH_INDEX = `SELECT gin_clean_pending_list('objects_data_idx')`;

/** What the tables of this lib need now and then. */
@Injectable()
export class Housekeeping {
  constructor(maintenance: Maintenance) {
    maintenance.add(FORGET_MARKS, FLUSH_INDEX);
  }
}
