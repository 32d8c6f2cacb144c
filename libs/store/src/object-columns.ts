import type { FilterColumns } from '#filter';
import { columnListSql, columns } from './columns.js';
import { ObjectEntity } from './object.entity.js';

const OBJECT_ROW = columns(ObjectEntity, 'seq', 'object_id', 'batch_id', 'subject', 'observed_at', 'data');

/** An object as it is read; `data` is JSON text that is sent as it is. */
export type ObjectRow = Pick<ObjectEntity, (typeof OBJECT_ROW)[number]>;

/** The columns of an `ObjectRow`, of `objects AS o`. */
export const OBJECT_COLUMNS = columnListSql(OBJECT_ROW, 'o');

/** The same columns without `data` and without an alias. */
export const COLUMNS_WITHOUT_DATA = columnListSql(OBJECT_ROW.filter((name) => name !== 'data'));

const NEW_OBJECT = columns(
  ObjectEntity,
  'project_id',
  'batch_id',
  'object_id',
  'seq',
  'subject',
  'observed_at',
  'data',
  'bytes',
);

/** The columns that INSERT and COPY write, in the order in which the stores write them. */
export const NEW_OBJECT_COLUMNS = columnListSql(NEW_OBJECT);

/** The same of a table alias, to copy objects. */
export function newObjectColumnsSql(alias: string): string {
  return columnListSql(NEW_OBJECT, alias);
}

/** The columns of `objects AS o` that filters refer to. */
export const OBJECT_FILTER_COLUMNS: FilterColumns = {
  data: columnListSql(columns(ObjectEntity, 'data'), 'o'),
  batchId: columnListSql(columns(ObjectEntity, 'batch_id'), 'o'),
  subject: columnListSql(columns(ObjectEntity, 'subject'), 'o'),
  observedAt: columnListSql(columns(ObjectEntity, 'observed_at'), 'o'),
};
