import { Answer } from '#platform';
import { applyDecorators, type Type } from '@nestjs/common';
import { ApiBody, ApiExtraModels, ApiProperty, ApiResponse, getSchemaPath } from '@nestjs/swagger';

/** What came of a file. */
class StoredDto {
  @ApiProperty({ description: 'How many are new.', example: 3 })
  stored: number;

  @ApiProperty({ description: 'How many were there already, and stay as they are.', example: 0 })
  unchanged: number;
}

/** Documents a body that is one thing of a kind or a file of them; Swagger UI offers the one. */
export function OneOrFile(one: Type, file: Type): MethodDecorator {
  const oneOf = [one, file].map((type) => ({ $ref: getSchemaPath(type) }));
  return applyDecorators(ApiExtraModels(one, file), ApiBody({ schema: { oneOf } }));
}

/** Documents what comes of either. */
export function Stored(one: Type): MethodDecorator {
  const oneOf = [one, StoredDto].map((type) => ({ $ref: getSchemaPath(type) }));
  return applyDecorators(
    ApiExtraModels(one, StoredDto),
    Answer(201, one, { location: true, description: 'The one that was stored; of a file, how many were.' }),
    ApiResponse({ status: 200, description: 'Nothing was new.', schema: { oneOf } }),
  );
}
