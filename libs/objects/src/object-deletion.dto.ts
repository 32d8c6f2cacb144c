import { type EncryptedKeyList, isEverything, type Filter } from '#filter';
import { IntegerParameter, ValidationErrors } from '#http';
import { ApiProperty } from '@nestjs/swagger';
import { FilterQuery, filterOf } from './filter.dto.js';
import { DELETE_OBJECTS_MAX } from './object-deletion.js';

export class DeleteObjectsQuery extends FilterQuery {
  @IntegerParameter({
    optional: false,
    min: 0,
    max: DELETE_OBJECTS_MAX,
    description: 'The most objects that may be deleted: if more match, the response is 409 and nothing is deleted.',
    example: 100,
  })
  max_affected: number;
}

export class DeletedObjectsDto {
  @ApiProperty({ description: 'The number of deleted objects.', example: 1 })
  deleted: number;
}

/**
 * The filter of the objects to delete.
 * @param encrypted the encrypted keys of the project
 * @throws Problem invalid-query, also where it would match every object
 */
export function deletionFilterOf(
  { max_affected: _, ...filters }: DeleteObjectsQuery,
  encrypted: EncryptedKeyList,
): Filter {
  const filter = filterOf(filters, encrypted);
  if (!isEverything(filter)) return filter;
  const detail = 'or another filter with at least one condition is required, because every object would be deleted';
  throw new ValidationErrors({ parameter: 'data', detail }).problem('invalid-query');
}
