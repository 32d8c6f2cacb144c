import { ChoiceField, FlagParameter, IdField, type NestedContext, pageOf, RuleField, TextField } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import { IsArray, ValidateIf, ValidateNested } from 'class-validator';
import { NewObjectDto, ObjectListQuery } from '#objects';

const TAB = '\t';
const CSV_DELIMITERS = [',', ';', '|', 'tab'];
const NO_COUNT_FOR_PRODUCERS = 'Omitted for a producer with on_conflict=skip, because it would reveal other objects.';

export class CreateBatchDto {
  @IdField({ description: 'Unique in the project.', example: 'spring-shoes' })
  batch_id: string;

  @ObjectsField()
  objects: NewObjectDto[];
}

/** An object as a line of a stream. An export has its batch, too. */
export class ObjectLineDto extends NewObjectDto {
  @IdField({ optional: true, description: 'Must equal the id of the batch.', example: 'spring-shoes' })
  batch_id?: string;
}

/** A whole batch whose id is in the path; the body may repeat it. */
export class PutBatchDto {
  @IdField({ optional: true, description: 'Must equal the id in the path.', example: 'spring-shoes' })
  batch_id?: string;

  @ObjectsField()
  objects: NewObjectDto[];
}

export class WriteBatchQuery {
  @FlagParameter({ description: 'Return 200 with what would happen, and store nothing.', example: false })
  dry_run?: boolean;

  @ChoiceField({
    optional: true,
    choices: ['partial'],
    description: '`partial` stores the valid objects and reports the others: 207 where there are any.',
  })
  mode?: 'partial';
}

export class PutBatchQuery extends WriteBatchQuery {
  @ChoiceField({
    optional: true,
    choices: ['replace', 'skip'],
    description:
      'If the batch exists with other content: `replace` replaces its content, `skip` adds the objects that do not exist. Default: 409.',
  })
  on_conflict?: 'replace' | 'skip';

  @ColumnParameter('the `object_id` of each object. Default: `<batch_id>.<position>`.', 'sku')
  id?: string;

  @ColumnParameter('the `subject` of each object. An empty cell is none.', 'shelf')
  subject?: string;

  @ColumnParameter('the `observed_at` of each object. An empty cell is the time of arrival.', 'sold_at')
  observed_at?: string;

  @ChoiceField({
    optional: true,
    choices: ['text'],
    description:
      'CSV: `text` keeps every cell as text. Default: numbers, `true` and `false` have their type, and an empty cell is null.',
  })
  types?: 'text';

  @RuleField(
    {
      required: false,
      enum: CSV_DELIMITERS,
      description:
        'CSV: what separates the cells. Default: the one of `,`, `;`, `|` and tab that the header has most often.',
      example: ';',
    },
    'must be a comma, a semicolon, "|" or "tab"',
    (value) => CSV_DELIMITERS.includes(value as string) || value === TAB,
  )
  @ValidateIf((_, value) => value !== undefined)
  delimiter?: string;
}

/** The parameters of PUT that only CSV has. */
export const CSV_PARAMETERS = ['id', 'subject', 'observed_at', 'types', 'delimiter'] as const;

export class BatchListQuery extends ObjectListQuery {
  @ChoiceField({
    optional: true,
    choices: ['objects'],
    description: '`objects` nests the objects of each batch, at most 1,000 per batch.',
  })
  include?: 'objects';
}

const SKIPPED = {
  required: false,
  description:
    'With on_conflict=skip: number of objects of the request that are left out, because their ids exist in the project.',
  example: 1,
} as const;
const STORED_WITH_SKIP = {
  required: false,
  description: 'With on_conflict=skip: number of objects of the request that were added.',
  example: 1,
} as const;

class InputErrorDto {
  @ApiProperty({
    description: 'JSON Pointer into the request; `/lines/7/…` for the seventh line.',
    example: '/objects/1/data',
  })
  pointer: string;

  @ApiProperty({ example: 'is missing' })
  detail: string;
}

/** The result of a partially stored batch. */
export class PartBatchDto {
  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ description: 'Number of objects of the request that are stored.', example: 1 })
  stored: number;

  @ApiProperty(SKIPPED)
  skipped?: number;

  @ApiProperty({ description: 'Number of objects with errors, which are not stored.', example: 1 })
  rejected: number;

  @ApiProperty({ type: [InputErrorDto], description: 'The errors of these objects, at most 100.' })
  errors: InputErrorDto[];

  @ApiProperty({ description: 'Number of errors in all.', example: 1 })
  error_count: number;
}

/** The result of a dry run. */
export class DryRunDto {
  @ApiProperty({ enum: [true], example: true })
  dry_run: boolean;

  @ApiProperty({
    enum: ['create', 'none', 'replace', 'extend'],
    description: 'What the request would do; `none` for a batch that exists with the same content.',
    example: 'create',
  })
  outcome: string;

  @ApiProperty({ description: 'Status of the response without dry_run.', example: 201 })
  status: number;

  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({
    required: false,
    description: `Number of objects that the batch would have. ${NO_COUNT_FOR_PRODUCERS}`,
    example: 2,
  })
  object_count?: number;

  @ApiProperty({
    description: 'Number of objects of the request that the batch would have, without those that are skipped.',
    example: 2,
  })
  stored: number;

  @ApiProperty(SKIPPED)
  skipped?: number;

  @ApiProperty({ description: 'Number of objects with errors, which would not be stored.', example: 0 })
  rejected: number;

  @ApiProperty({ required: false, type: [InputErrorDto] })
  errors?: InputErrorDto[];

  @ApiProperty({ required: false })
  error_count?: number;
}

/** A batch without its objects. */
export class BatchDto {
  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ example: 2 })
  object_count: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({
    description: 'The batch with all its objects.',
    example: 'http://127.0.0.1:8000/api/v1/batches/spring-shoes',
  })
  url: string;

  @ApiProperty({
    description: 'The objects of the batch in pages.',
    example: 'http://127.0.0.1:8000/api/v1/objects?batch_id=spring-shoes',
  })
  objects_url: string;
}

/** A batch that a PUT request has created. */
export class NewBatchDto extends BatchDto {
  @ApiProperty(STORED_WITH_SKIP)
  stored?: number;

  @ApiProperty(SKIPPED)
  skipped?: number;
}

/** A batch that existed before the request. */
export class ExistingBatchDto extends OmitType(NewBatchDto, ['object_count']) {
  @ApiProperty({ required: false, description: NO_COUNT_FOR_PRODUCERS, example: 2 })
  object_count?: number;
}

/** An object inside its batch, as it is read. */
class NestedObjectDto extends OmitType(NewObjectDto, ['object_id']) {
  @ApiProperty({ example: 'shoe-1' })
  object_id: string;
}

/** A batch in a list, with its objects where include=objects. */
class ListedBatchDto extends BatchDto {
  @ApiProperty({
    required: false,
    type: [NestedObjectDto],
    description: 'With include=objects: at most 1,000, in the order sent.',
  })
  objects?: NestedObjectDto[];

  @ApiProperty({
    required: false,
    type: String,
    nullable: true,
    description: 'With include=objects: the URL of the remaining objects, or null.',
  })
  objects_next?: string | null;
}

/** A batch as it was sent. */
export class WholeBatchDto {
  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ type: [NestedObjectDto] })
  objects: NestedObjectDto[];
}

export class BatchPageDto extends pageOf(ListedBatchDto) {}

/** A query parameter that names a column of CSV. */
function ColumnParameter(meaning: string, example: string): PropertyDecorator {
  const description = `CSV: the column that has ${meaning}`;
  return TextField({ optional: true, min: 1, max: 255, description, example });
}

function ObjectsField(): PropertyDecorator {
  return applyDecorators(
    ApiProperty({
      type: [NewObjectDto],
      description: 'The objects, at most BATCH_OBJECTS_MAX. Their order is kept.',
    }),
    IsArray({ message: 'must be a list of objects' }),
    ValidateNested({ each: true, context: { dto: NewObjectDto } satisfies NestedContext }),
  );
}
