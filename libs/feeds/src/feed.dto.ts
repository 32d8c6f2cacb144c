import { ApiResult } from '#http';
import { applyDecorators, type Type } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';
import { FEED_LIST_MAX } from './feed-body.js';

/** What came of a file. */
class StoredDto {
  @ApiProperty({ description: 'How many are new.', example: 3 })
  stored: number;

  @ApiProperty({ description: 'How many were there already, and stay as they are.', example: 0 })
  unchanged: number;
}

/** Documents a body that is one thing or a list of them. */
export function OneOrList(one: Type, example: object): MethodDecorator {
  const items = { $ref: getSchemaPath(one) };
  const list = { type: 'array', minItems: 1, maxItems: FEED_LIST_MAX, items } as const;
  return applyDecorators(ApiExtraModels(one), ApiBody({ schema: { oneOf: [items, list], example } }));
}

/** Documents a body that is one thing of a kind or a file of them; Swagger UI offers the one. */
export function OneOrFile(one: Type, file: Type): MethodDecorator {
  const oneOf = [one, file].map((type) => ({ $ref: getSchemaPath(type) }));
  return applyDecorators(ApiExtraModels(one, file), ApiBody({ schema: { oneOf } }));
}

/** Documents what comes of either. */
export function Stored(one: Type): MethodDecorator {
  const description = 'The one that was stored; of a file, how many were.';
  return applyDecorators(
    ApiResult(201, one, { or: StoredDto, location: true, description }),
    ApiResult(200, one, { or: StoredDto, description: 'Nothing was new.' }),
  );
}
