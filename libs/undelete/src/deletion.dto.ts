import { pageOf } from '#http';
import { ApiProperty } from '@nestjs/swagger';

export class DeletionDto {
  @ApiProperty({ description: 'Identifies the deletion; it is of no object or batch.', example: '384573930291204096' })
  deletion_id: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-27T09:00:00.000Z' })
  deleted_at: string;

  @ApiProperty({
    format: 'date-time',
    description: 'Until then it can be restored; the rows are deleted soon after.',
    example: '2026-11-28T09:00:00.000Z',
  })
  restorable_until: string;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The deleted batch; null where only objects were deleted.',
    example: null,
  })
  batch_id: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The deleted object; null for a batch, and for the objects that a filter matched.',
    example: 'shoe-9',
  })
  object_id: string | null;

  @ApiProperty({ description: 'The number of objects that can be restored.', example: 1 })
  object_count: number;
}

export class DeletionPageDto extends pageOf(DeletionDto) {}

export class RestoredDto {
  @ApiProperty({ description: 'The deletion that was restored, at least in part.', example: '384573930291204096' })
  deletion_id: string;

  @ApiProperty({ description: 'The number of restored batches: 1 or 0.', example: 0 })
  batches: number;

  @ApiProperty({ description: 'The number of restored objects.', example: 1 })
  objects: number;
}
