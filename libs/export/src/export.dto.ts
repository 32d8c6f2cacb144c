import { ChoiceField, FlagParameter, ValidationErrors } from '#http';
import { FilterQuery } from '#objects';
import { OmitType } from '@nestjs/swagger';

const EXPORT_FORMATS = ['ndjson', 'csv', 'parquet'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How an export is written. */
export interface ExportLayout {
  format: ExportFormat;
  /** Whether CSV has no text that a spreadsheet takes for a formula. */
  isSafe: boolean;
}

/** The filters of lists, without paging. */
export class ExportQuery extends OmitType(FilterQuery, ['page', 'page_size', 'cursor', 'count'] as const) {
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

/** @throws Problem invalid-query */
export function layoutOf({ format = 'ndjson', safe }: ExportQuery): ExportLayout {
  if (safe !== undefined && format !== 'csv') {
    throw new ValidationErrors({ parameter: 'safe', detail: 'requires format=csv' }).problem('invalid-query');
  }
  return { format, isSafe: safe ?? false };
}
