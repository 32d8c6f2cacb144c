import { VALUE_SCHEMA, type JsonValue } from '#objects';
import { ApiProperty } from '@nestjs/swagger';
import { KEYS_MAX } from './object-keys.service.js';
import { EXAMPLE_BYTES_MAX } from './object-keys.store.js';

const JSON_TYPES = ['array', 'boolean', 'null', 'number', 'object', 'string'];

export class ObjectKeyDto {
  @ApiProperty({ description: 'The key of a pair.', example: 'type' })
  key: string;

  @ApiProperty({ description: 'The number of objects that have it.', example: 4 })
  objects: number;

  @ApiProperty({
    enum: JSON_TYPES,
    isArray: true,
    description: 'The JSON types of its values, and of the elements of arrays; `docs/aggregates.md` has the limits.',
    example: ['string'],
  })
  types: string[];

  @ApiProperty({
    required: false,
    description: 'True where its values are encrypted: it has no types and no example.',
    example: true,
  })
  encrypted?: boolean;

  @ApiProperty({
    allOf: [VALUE_SCHEMA],
    type: Object,
    required: false,
    description: `One of its values. Omitted where the value is longer than ${EXAMPLE_BYTES_MAX.toLocaleString('en')} bytes of JSON.`,
    example: 'shoe',
  })
  example?: JsonValue;
}

export class ObjectKeysDto {
  @ApiProperty({
    type: [ObjectKeyDto],
    description: `Those that most objects have first; at most ${KEYS_MAX.toLocaleString('en')}.`,
  })
  results: ObjectKeyDto[];

  @ApiProperty({ description: 'Whether the project has more keys.', example: false })
  truncated: boolean;

  @ApiProperty({
    enum: ['exact', 'at_least'],
    description: '`at_least`: only the newest objects were read, because the index is being built.',
    example: 'exact',
  })
  count_is: 'exact' | 'at_least';
}
