/**
 * store: what batches and objects share: inserting objects, invalidating rollups, bounded reads, pairs.
 * Imports json, filter, platform, database, http, access, jobs.
 */
export { boundedSlice, rowsWithData, type WithoutData, boundedRowsSql } from './bounded-rows.js';
export { OBJECT_FILTER_COLUMNS } from './filter-columns.js';
export type { Note } from './note.js';
export { addObjectsSql, insertRow, type NewObjectRow } from './object-insert.js';
export { dataOf, listOfPairs, pairsOf, patchPairs, refuseNestedValues, valueIn } from './pairs.js';
export {
  invalidateAllRollupsSql,
  ROLLUP_COLUMNS,
  invalidateRollupsSql,
  MEASURED_KEY,
  SETTLED_UNTIL,
} from './rollup-marks.js';
