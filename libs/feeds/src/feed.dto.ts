import { ApiResult } from '#http';
import { applyDecorators, type Type } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';
import { FEED_LIST_MAX } from './feed-input.js';

/** The result of a file. */
class StoredDto {
  @ApiProperty({ description: 'Number of items stored by this request.', example: 3 })
  stored: number;

  @ApiProperty({ description: 'Number of items that exist already and are unchanged.', example: 0 })
  unchanged: number;
}

/** Documents a body that is one item or a list of items. */
export function ApiOneOrList(one: Type, example: object): MethodDecorator {
  const items = { $ref: getSchemaPath(one) };
  const list = { type: 'array', minItems: 1, maxItems: FEED_LIST_MAX, items } as const;
  return applyDecorators(ApiExtraModels(one), ApiBody({ schema: { oneOf: [items, list], example } }));
}

/** Documents a body that is one item or a file of items; Swagger UI shows the first. */
export function ApiOneOrFile(one: Type, file: Type): MethodDecorator {
  const oneOf = [one, file].map((type) => ({ $ref: getSchemaPath(type) }));
  return applyDecorators(ApiExtraModels(one, file), ApiBody({ schema: { oneOf } }));
}

/** Documents the responses to such a body. */
export function ApiStoredResult(one: Type): MethodDecorator {
  const description = 'The stored item, or for a file the number of stored items.';
  return applyDecorators(
    ApiResult(201, one, { or: StoredDto, location: true, description }),
    ApiResult(200, one, {
      or: StoredDto,
      description: 'Nothing was stored: the items exist already with the same content.',
    }),
  );
}
