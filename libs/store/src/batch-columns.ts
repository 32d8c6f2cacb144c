import { BatchEntity } from './batch.entity.js';
import { columnListSql, columns } from './columns.js';

const BATCH_ROW = columns(BatchEntity, 'seq', 'batch_id', 'object_count', 'revision');

/** A batch as it is read. */
export type BatchRow = Pick<BatchEntity, (typeof BATCH_ROW)[number]>;

/** The columns of a `BatchRow`, of `batches AS b`. */
export const BATCH_COLUMNS = columnListSql(BATCH_ROW, 'b');

/** The columns that INSERT writes, in the order in which the stores write them. */
export const NEW_BATCH_COLUMNS = columnListSql(
  columns(BatchEntity, 'project_id', 'batch_id', 'seq', 'object_count', 'revision'),
);
