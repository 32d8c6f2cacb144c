import { ChoiceField, FlagParameter, IdField, type NestedContext, pageOf } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { IsArray, ValidateNested } from 'class-validator';
import { FilterQuery, NewObjectDto } from '#objects';

export class CreateBatchDto {
  @IdField({ description: 'Unique in the project.', example: 'spring-shoes' })
  batch_id: string;

  @ObjectsField()
  objects: NewObjectDto[];
}

/** A whole batch at its URL. The id is optional in the body, and has to be that of the URL. */
export class PutBatchDto {
  @IdField({ optional: true, description: 'The id of the URL.', example: 'spring-shoes' })
  batch_id?: string;

  @ObjectsField()
  objects: NewObjectDto[];
}

/** How a batch is to be written. */
export class WriteBatchQuery {
  @FlagParameter({ description: 'Return 200 with what would happen, and store nothing.', example: false })
  dry_run?: boolean;

  @ChoiceField({
    optional: true,
    choices: ['partial'],
    description: '`partial` stores the valid objects and returns 207 with the errors of the others, if there are any.',
  })
  mode?: 'partial';
}

export class PutBatchQuery extends WriteBatchQuery {
  @ChoiceField({
    optional: true,
    choices: ['replace', 'skip'],
    description:
      'For a batch that exists with other content: `replace` replaces it, `skip` adds the objects that do not exist. Default: 409.',
  })
  on_conflict?: 'replace' | 'skip';
}

export class BatchListQuery extends FilterQuery {
  @ChoiceField({
    optional: true,
    choices: ['objects'],
    description: '`objects` nests the objects of each batch, at most 1,000 per batch.',
  })
  include?: 'objects';
}

class InputErrorDto {
  @ApiProperty({
    description: 'JSON Pointer into the request body; `/lines/7/…` is the seventh line of NDJSON.',
    example: '/objects/1/data',
  })
  pointer: string;

  @ApiProperty({ example: 'is missing' })
  detail: string;
}

/** The result of a batch that was stored in part. */
export class PartBatchDto {
  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ description: 'How many of the objects sent are stored.', example: 1 })
  stored: number;

  @ApiProperty({ description: 'How many of the objects sent are not stored.', example: 1 })
  rejected: number;

  @ApiProperty({ type: [InputErrorDto], description: 'The errors of the rejected objects, at most 100.' })
  errors: InputErrorDto[];

  @ApiProperty({ description: 'The number of all errors.', example: 1 })
  error_count: number;
}

/** What would have happened. */
export class DryRunDto {
  @ApiProperty({ enum: [true], example: true })
  dry_run: boolean;

  @ApiProperty({ enum: ['create', 'nothing', 'replace', 'extend'], example: 'create' })
  would: string;

  @ApiProperty({ description: 'The status of the answer without dry_run.', example: 201 })
  would_answer: number;

  @ApiProperty({ example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({ description: 'How many objects the batch would have.', example: 2 })
  object_count: number;

  @ApiProperty({ description: 'How many of the objects sent would be stored.', example: 2 })
  stored: number;

  @ApiProperty({ description: 'How many would not.', example: 0 })
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

/** A batch in a list, with its objects where include=objects. */
class ListedBatchDto extends BatchDto {
  @ApiProperty({
    required: false,
    type: [NewObjectDto],
    description: 'With include=objects: at most 1,000, in the order sent.',
  })
  objects?: NewObjectDto[];

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

  @ApiProperty({ type: [NewObjectDto] })
  objects: NewObjectDto[];
}

export class BatchPageDto extends pageOf(ListedBatchDto) {}

function ObjectsField(): PropertyDecorator {
  return applyDecorators(
    ApiProperty({
      type: [NewObjectDto],
      description: 'The objects, in the order that is kept; at most BATCH_OBJECTS_MAX.',
    }),
    IsArray({ message: 'must be a list of objects' }),
    ValidateNested({ each: true, context: { dto: NewObjectDto } satisfies NestedContext }),
  );
}
