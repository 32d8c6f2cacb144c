import { DurationField, NumberField, pageOf, PageQuery, TimeField } from '#http';
import { ApiProperty } from '@nestjs/swagger';

export class NewReadingDto {
  @NumberField({
    finite: true,
    description:
      'Any JSON number, zero and below too, kept to the last digit: at most 131,072 digits before the point and 16,383 after it.',
    example: 10.5,
  })
  temperature: number;

  @TimeField({
    optional: true,
    nullable: true,
    description:
      'Time of measurement; UTC unless it has a zone. Left out or null: the time of arrival, and the reading replaces no other.',
    example: '2024-12-10T16:45:00Z',
  })
  recorded_at?: string | null;
}

class RoomDto {
  @ApiProperty({ example: 'HQ' })
  building: string;

  @ApiProperty({ example: 'lab' })
  room: string;
}

export class ReadingDto extends RoomDto {
  @ApiProperty({ description: 'To the last digit.', example: 10.5 })
  temperature: number;

  @ApiProperty({ format: 'date-time', example: '2024-12-10T16:45:00Z' })
  recorded_at: string;
}

export class ReadingPageDto extends pageOf(ReadingDto) {}

export class StoredReadingsDto extends RoomDto {
  @ApiProperty({ description: 'How many readings were sent, all of which are stored.', example: 96 })
  stored: number;

  @ApiProperty({ description: 'How many of them took the place of an earlier one of the same time.', example: 0 })
  replaced: number;
}

export class ReadingsQuery extends PageQuery {
  @TimeField({ optional: true, description: 'Only recorded at this time or later.' })
  from?: string;

  @TimeField({ optional: true, description: 'Only recorded before this time.' })
  until?: string;
}

export class AverageQuery {
  @DurationField({ description: 'How far back from now; at most 3653d (ten years) in all.', example: '15m' })
  duration: string;
}

export class AverageDto extends RoomDto {
  @ApiProperty({ description: 'As it was asked for.', example: '15m' })
  duration: string;

  @ApiProperty({ description: 'The exact average, to at least 16 decimals where it has no end.', example: 10.5 })
  average_temperature: number;

  @ApiProperty({ example: 1 })
  reading_count: number;
}
