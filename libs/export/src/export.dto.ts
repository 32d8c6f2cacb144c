import type { EncryptedKeyList } from '#filter';
import { ChoiceField, FlagParameter, rejectInput } from '#http';
import {
  FilterQuery,
  type ObjectSort,
  ObjectSortQuery,
  type ObjectView,
  ObjectViewQuery,
  sortOf,
  viewOf,
} from '#objects';
import { IntersectionType } from '@nestjs/swagger';

const EXPORT_FORMATS = ['ndjson', 'csv', 'parquet'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How an export is written. */
export interface ExportLayout {
  format: ExportFormat;
  /** Whether CSV has no text that a spreadsheet takes for a formula. */
  isSafe: boolean;
  /** What of each object is written. For tables, the columns in their order. */
  view: ObjectView;
  /** The order of the objects; null for that of their arrival. */
  sort: ObjectSort | null;
}

/** The filters, views and orders of lists, without paging. */
export class ExportQuery extends IntersectionType(FilterQuery, ObjectViewQuery, ObjectSortQuery) {
  @ChoiceField({
    optional: true,
    choices: EXPORT_FORMATS,
    description:
      '`ndjson`: one object a line, which can be loaded again (default). `csv` and `parquet`: a row for each object, a column for each key.',
    example: 'ndjson',
  })
  format?: ExportFormat;

  @FlagParameter({
    description: 'With `format=csv`: text that a spreadsheet would run as a formula begins with an apostrophe.',
  })
  safe?: boolean;
}

/** @param encrypted the encrypted keys of the project @throws Problem invalid-query */
export function layoutOf(query: ExportQuery, encrypted: EncryptedKeyList): ExportLayout {
  const { format = 'ndjson', safe, data_as: dataAs } = query;
  if (safe !== undefined && format !== 'csv') rejectInput('query', 'safe', 'requires format=csv');
  if (dataAs !== undefined && format !== 'ndjson') rejectInput('query', 'data_as', 'requires format=ndjson');
  return { format, isSafe: safe ?? false, view: viewOf(query), sort: sortOf(query, encrypted) };
}
