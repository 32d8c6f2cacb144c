import { IdField, pageOf } from '#platform';
import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsArray, ValidateNested } from 'class-validator';
import { NewObjectDto } from './object.dto.js';

export class CreateBatchDto {
  @IdField({ description: 'Unique in the project.', example: 'spring-shoes' })
  batch_id: string;

  @ApiProperty({
    type: [NewObjectDto],
    description: 'The objects, in the order that is kept; at most BATCH_OBJECTS_MAX.',
  })
  @IsArray({ message: 'must be a list of objects' })
  @ValidateNested({ each: true, message: 'must be an object' })
  @Type(() => NewObjectDto)
  objects: NewObjectDto[];
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
    description: 'Its objects in pages.',
    example: 'http://127.0.0.1:8000/api/v1/objects?batch_id=spring-shoes',
  })
  objects_url: string;
}

/** A batch in a list; with include=objects it brings its objects. */
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
    description: 'With include=objects: where the rest is, or null.',
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
