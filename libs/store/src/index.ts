/**
 * store: what batches and objects share: both entities, their column lists, inserting objects, recording changes,
 * invalidating rollups, bounded reads, pairs.
 * Imports json, filter, platform, database, http, usage, access, jobs, inverted-index.
 */
export { boundedSlice, readWithMemory, rowsWithData, type WithoutData, boundedRowsSql } from './bounded-rows.js';
export { BATCH_COLUMNS, NEW_BATCH_COLUMNS, type BatchRow } from './batch-columns.js';
export { BatchEntity } from './batch.entity.js';
export { recordChangedSql, recordCreatedRangeSql, recordCreatedSql, recordDeletedSql } from './change-sql.js';
export { columnListSql, columns } from './columns.js';
export {
  COLUMNS_WITHOUT_DATA,
  NEW_OBJECT_COLUMNS,
  newObjectColumnsSql,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  type ObjectRow,
} from './object-columns.js';
export { MEASURED_KEY, ObjectEntity } from './object.entity.js';
export {
  type AddOptions,
  addObjectsSql,
  dataBytes,
  haveSubjects,
  insertOneObject,
  insertRow,
  type NewObjectRow,
  sizeOf,
} from './object-insert.js';
export { dataOf, dataView, listOfPairs, pairsOf, patchPairs, valueIn } from './pairs.js';
export { invalidateAllRollupsSql, invalidateRollupsSql, ROLLUP_COLUMNS, ROLLUPS_UNTIL } from './rollup-invalidation.js';
export { textOf, visitPairs } from './stored-pairs.js';
