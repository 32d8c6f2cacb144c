import { IntegerParameter, PageQuery, TextField } from '#http';
import { FilterQuery, ObjectDto, ObjectViewQuery } from '#objects';
import { ApiProperty, IntersectionType, PickType } from '@nestjs/swagger';
import { CHANGE_CURSOR_LENGTH_MAX } from './change-cursor.js';

const WAIT_SECONDS_MAX = 60;

/** The filters and views of lists. */
export class ChangesQuery extends IntersectionType(
  PickType(PageQuery, ['page_size'] as const),
  FilterQuery,
  ObjectViewQuery,
) {
  @TextField({
    optional: true,
    max: CHANGE_CURSOR_LENGTH_MAX,
    description:
      '`next` of an earlier response with the same filter. Without it, no changes are returned, and `next` is the place after the latest one.',
  })
  since?: string;

  @IntegerParameter({
    min: 0,
    max: WAIT_SECONDS_MAX,
    description:
      'Seconds to wait for a change where there is none; default 0. Server-Sent Events wait until the client leaves.',
    example: 30,
  })
  wait?: number;
}

export class ChangeDto {
  @ApiProperty({ enum: ['created', 'changed', 'deleted'], example: 'created' })
  change: string;

  @ApiProperty({ example: 'shoe-1' })
  object_id: string;

  @ApiProperty({ description: 'The batch of the object when it was changed.', example: 'shoes' })
  batch_id: string;

  @ApiProperty({ format: 'date-time', description: 'When it was changed.', example: '2026-11-26T09:00:00Z' })
  at: string;

  @ApiProperty({
    type: ObjectDto,
    nullable: true,
    description:
      'The object as it is now. Null where it does not exist any more, or does not match the filter: a copy drops it.',
  })
  object: ObjectDto | null;
}

export class ChangesDto {
  @ApiProperty({ type: [ChangeDto] })
  results: ChangeDto[];

  @ApiProperty({ description: 'For `since` of the next request.', example: '2s.0123456789ab' })
  next: string;

  @ApiProperty({
    description: 'Whether more changes exist already, so that the next request need not wait.',
    example: false,
  })
  has_more: boolean;
}
