import { type EncryptedKeyList, encryptionError } from '#filter';
import { IntegerParameter, TextField, ValidationErrors } from '#http';
import { VALUE_SCHEMA, type JsonValue } from '#objects';
import { ApiProperty } from '@nestjs/swagger';
import { FilterOnlyQuery, NUL_RULE } from './aggregate.dto.js';

const SIZE_MAX = 1_000;
const SIZE_DEFAULT = 20;

export class FacetsQuery extends FilterOnlyQuery {
  @TextField({
    min: 1,
    max: 255,
    description: 'The key whose values are counted; a dot also leads into objects, as in `data`. Not a filter.',
    example: 'type',
  })
  key: string;

  @IntegerParameter({
    min: 1,
    max: SIZE_MAX,
    description: `The most values in the response. Default: ${String(SIZE_DEFAULT)}.`,
  })
  size?: number;
}

export class FacetValueDto {
  @ApiProperty({
    allOf: [VALUE_SCHEMA],
    type: Object,
    description: 'A text, a number, a boolean or null. Numbers have every digit.',
    example: 'shoe',
  })
  value: JsonValue;

  @ApiProperty({ description: 'The number of objects that have it.', example: 4 })
  count: number;
}

export class FacetDto {
  @ApiProperty({ example: 'type' })
  key: string;

  @ApiProperty({ type: [FacetValueDto], description: 'The most frequent values first.' })
  results: FacetValueDto[];

  @ApiProperty({
    description: 'The sum of the counts of all values that are not listed; `docs/aggregates.md` says what else counts.',
    example: 0,
  })
  other: number;

  @ApiProperty({
    enum: ['exact', 'at_least'],
    description: '`at_least`: only the newest objects were counted.',
    example: 'exact',
  })
  count_is: 'exact' | 'at_least';
}

/**
 * The key and the number of values of a query.
 * @param encrypted the encrypted keys of the project
 * @throws Problem invalid-query
 */
export function facetOf(
  { key, size = SIZE_DEFAULT }: FacetsQuery,
  encrypted: EncryptedKeyList,
): { key: string; size: number } {
  const detail = key.includes('\0') ? NUL_RULE : encryptionError(encrypted, { key, isLiteral: false });
  if (detail !== null) throw new ValidationErrors({ parameter: 'key', detail }).problem('invalid-query');
  return { key, size };
}
