import { isNestedWithin, isObject, VALUE_DEPTH_MAX, VALUE_DEPTH_RULE } from '#json';
import { IdField, type NestedContext, pageOf, SubjectField, TextField, TimeField } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiExtraModels, getSchemaPath, OmitType, PickType } from '@nestjs/swagger';
import { ValidateBy, ValidateIf, ValidateNested } from 'class-validator';
import { PageExplanationDto } from './page-explanation.js';

/** Path segments below /objects that are, or will be, routes, so they cannot be ids. */
const RESERVED_OBJECT_IDS = ['keys', 'facets', 'aggregate', 'export', 'search', 'changes'];

export function isReservedId(value: unknown): boolean {
  return RESERVED_OBJECT_IDS.includes(value as string);
}

/** Any JSON value. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** The OpenAPI schema of a value. */
export const VALUE_SCHEMA = { type: ['string', 'number', 'boolean', 'null', 'array', 'object'], items: {} };
const DATA_RULE = 'must be a list of {"key", "value"} or an object of keys and values';
export const RESERVED_RULE = `must not be one of ${RESERVED_OBJECT_IDS.join(', ')}, which are reserved`;

export class PairDto {
  @TextField({ min: 1, max: 255, description: 'May repeat within an object.', example: 'type' })
  key: string;

  @ApiProperty({
    allOf: [VALUE_SCHEMA],
    type: Object,
    description: `Any JSON value, at most ${String(VALUE_DEPTH_MAX)} levels deep. Numbers are returned with every digit.`,
    example: 'shoe',
  })
  @ValidateBy({ name: 'value', validator: { validate: isValue, defaultMessage: () => VALUE_DEPTH_RULE } })
  value: JsonValue;
}

const NEW_ID_DESCRIPTION =
  'Unique in the project. Default: in a batch `<batch_id>.<position>`, where the first object has position 0; otherwise a UUID of version 7.';

const PAIRS: NestedContext = { dto: PairDto, shorthand: { name: 'key', value: 'value' } };

/** An object as it is sent inside a batch. */
@ApiExtraModels(PairDto)
export class NewObjectDto {
  @ObjectIdField({ optional: true, description: NEW_ID_DESCRIPTION })
  object_id?: string;

  @DataField({})
  data: PairDto[] | Record<string, JsonValue>;

  @ObjectSubjectField()
  subject?: string | null;

  @ObservedAtField()
  observed_at?: string | null;
}

export class CreateObjectDto extends NewObjectDto {
  @IdField({ description: 'An existing batch.', example: 'spring-shoes' })
  batch_id: string;
}

/** A whole object. A client may send it as it was read, with its ids; they cannot change. */
export class ReplaceObjectDto {
  @ObjectIdField({ optional: true })
  object_id?: string;

  @IdField({ optional: true, description: 'The batch of the object; required where the request creates it.' })
  batch_id?: string;

  @DataField({})
  data: PairDto[] | Record<string, JsonValue>;

  @ObjectSubjectField()
  subject?: string | null;

  @ObservedAtField()
  observed_at?: string | null;
}

/** A JSON merge patch (RFC 7396) of an object. */
export class PatchObjectDto {
  @ObjectIdField({ optional: true })
  object_id?: string;

  @IdField({ optional: true, description: 'The batch of the object.' })
  batch_id?: string;

  @DataField({
    optional: true,
    description: 'An object sets its keys, null removes one; a list replaces all pairs.',
    example: { color: 'green', size: null },
  })
  data?: PairDto[] | Record<string, JsonValue>;

  @ObjectSubjectField()
  subject?: string | null;

  @ObservedAtField()
  observed_at?: string | null;
}

/** An operation of a JSON Patch (RFC 6902). */
export class PatchOperationDto {
  @ApiProperty({ enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'], example: 'replace' })
  op: string;

  @ApiProperty({ description: 'A JSON Pointer into the object as it is read.', example: '/data/0/value' })
  path: string;

  @ApiProperty({ required: false, description: 'Of `move` and `copy`: a JSON Pointer to the value.' })
  from?: string;

  @ApiProperty({
    required: false,
    allOf: [{ type: ['string', 'number', 'boolean', 'null', 'array', 'object'] }] as never,
    type: Object,
    description: 'Of `add`, `replace` and `test`.',
    example: 'boot',
  })
  value?: unknown;
}

/** The result of a JSON Patch: an object as it is read, whose data may be in shorthand. */
export class PatchedObjectDto extends OmitType(CreateObjectDto, ['object_id']) {
  @ObjectIdField()
  object_id: string;
}

/** An object as it is read. */
export class ObjectDto {
  @ApiProperty({ example: 'shoe-1' })
  object_id: string;

  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ type: String, nullable: true, example: 'shelf-7' })
  subject: string | null;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00Z' })
  observed_at: string;

  @ApiProperty({ type: [PairDto] })
  data: PairDto[];
}

/** The response to a producer that changed a part of an object. */
export class ChangedObjectDto extends PickType(ObjectDto, ['object_id', 'batch_id', 'observed_at']) {}

export class ObjectPageDto extends pageOf(ObjectDto) {
  @ExplainField()
  explain?: PageExplanationDto;
}

/** A page of a search, whose links are cursors. */
export class ObjectSearchPageDto extends pageOf(ObjectDto, 'cursor') {
  @ExplainField()
  explain?: PageExplanationDto;
}

function ExplainField(): PropertyDecorator {
  return ApiProperty({ type: PageExplanationDto, required: false, description: 'Present with `explain=true`.' });
}

/** The id of an object; feeds use it for members with other names, too. */
export function ObjectIdField({
  optional = false,
  description = 'Unique in the project.',
  example = 'shoe-1',
} = {}): PropertyDecorator {
  return applyDecorators(
    IdField({ optional, description, example }),
    ApiProperty({ not: { enum: RESERVED_OBJECT_IDS } }),
    ValidateBy({
      name: 'reserved',
      validator: {
        validate: (value) => !isReservedId(value),
        defaultMessage: () => RESERVED_RULE,
      },
    }),
  );
}

function ObjectSubjectField(): PropertyDecorator {
  return SubjectField({
    optional: true,
    nullable: true,
    description: 'What the object is about: a device, a room, a factory.',
    example: 'shelf-7',
  });
}

function ObservedAtField(): PropertyDecorator {
  return TimeField({
    optional: true,
    nullable: true,
    description: 'When it happened. Default, and for null: the time of arrival.',
    example: '2026-11-21T09:00:00Z',
  });
}

/** The pairs, as a list or in the shorthand of a plain object: one schema whose keywords each apply to one of the two. */
function DataField(options: { optional?: boolean; description?: string; example?: unknown }): PropertyDecorator {
  const { optional = false, description = 'The pairs, in order. A plain object is a shorthand for a list of pairs.' } =
    options;
  return applyDecorators(
    ApiProperty({
      type: Object,
      required: !optional,
      description,
      example: options.example ?? [{ key: 'type', value: 'shoe' }],
      allOf: [
        {
          type: ['array', 'object'] as unknown as 'array',
          items: { $ref: getSchemaPath(PairDto) },
          propertyNames: { minLength: 1, maxLength: 255 },
          additionalProperties: VALUE_SCHEMA,
        } as object,
      ],
    }),
    ValidateIf((dto: { data?: unknown }) => !optional || dto.data !== undefined),
    ValidateBy({ name: 'pairs', validator: { validate: isData, defaultMessage: () => DATA_RULE } }),
    ValidateNested({ each: true, context: PAIRS }),
  );
}

function isValue(value: unknown): boolean {
  return value !== undefined && (typeof value !== 'object' || isNestedWithin(VALUE_DEPTH_MAX, value));
}

function isData(data: unknown): boolean {
  return Array.isArray(data) || isObject(data);
}
