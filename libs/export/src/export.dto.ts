import { ChoiceField } from '#http';
import { FilterQuery } from '#objects';
import { OmitType } from '@nestjs/swagger';

const EXPORT_FORMATS = ['ndjson'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** The filters of lists, without paging. */
export class ExportQuery extends OmitType(FilterQuery, ['page', 'page_size', 'cursor', 'count'] as const) {
  @ChoiceField({
    optional: true,
    choices: EXPORT_FORMATS,
    description: '`ndjson`: one object a line, which can be loaded again (default).',
    example: 'ndjson',
  })
  format?: ExportFormat;
}
