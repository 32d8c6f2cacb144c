import { type EncryptedKeyList, FilterError, parseFilter, type Filter } from '#filter';
import { type JsonBody, validateDto, ValidationErrors } from '#http';
import { isObject } from '#json';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import { ValidateBy, ValidateIf } from 'class-validator';
import { dataText } from './object-body.js';
import { type ObjectSort, SortedObjectsQuery, sortOf } from './object-sort.js';
import { OBJECT_MEMBERS, type ObjectView, viewOf } from './object-view.js';

const DATA_RULE = 'must be an object such as {"type":"shoe"}';

/** The query of a list of objects in a body, where `data` is JSON, not text. */
export class ObjectSearchDto extends OmitType(SortedObjectsQuery, ['data'] as const) {
  @ApiProperty({
    type: Object,
    required: false,
    description: 'The filter: pairs and conditions that an object must have. The page /filters explains the operators.',
    example: { type: { $in: ['shoe', 'boot'] } },
  })
  @ValidateIf((_, value) => value !== undefined)
  @ValidateBy({ name: 'filter', validator: { validate: isObject, defaultMessage: () => DATA_RULE } })
  data?: Record<string, unknown>;
}

/** A parsed search. */
interface ObjectSearch {
  query: ObjectSearchDto;
  filter: Filter;
  sort: ObjectSort | null;
  view: ObjectView;
}

/**
 * Parses and validates the body of a search.
 * @param encrypted the encrypted keys of the project
 * @throws Problem malformed-request, invalid-body with a pointer into the filter
 */
export function searchOf(body: JsonBody, encrypted: EncryptedKeyList): ObjectSearch {
  const { text, value } = body.read((pointer) => /^\/data(?:\/|$)/.test(pointer));
  const errors = validateDto(ObjectSearchDto, value, '');
  if (errors.count > 0) throw errors.problem('invalid-body');
  const query = value as ObjectSearchDto;
  try {
    const filter = parseFilter({ ...query, data: dataText(text) }, encrypted);
    return { query, filter, sort: sortOf(query, encrypted, 'body'), view: viewOf(query, OBJECT_MEMBERS, 'body') };
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { parameter, pointer, message } = error;
    throw new ValidationErrors({ pointer: `/${parameter}${pointer}`, detail: message }).problem('invalid-body');
  }
}
