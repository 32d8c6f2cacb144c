import { DurationField, NumberField, pageOf, PageQuery, TimeField, TimeParameter } from '#http';
import { ApiProperty } from '@nestjs/swagger';

export class NewReadingDto {
  @NumberField({
    finite: true,
    description:
      'Any JSON number, kept with every digit: at most 131,072 digits before the decimal point and 16,383 after it.',
    example: 10.5,
  })
  temperature: number;

  @TimeField({
    optional: true,
    nullable: true,
    description:
      'Time of measurement; UTC unless it has a zone. Default, and for null: the time of arrival; the reading then replaces no other.',
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
  @ApiProperty({ description: 'With every digit.', example: 10.5 })
  temperature: number;

  @ApiProperty({ format: 'date-time', example: '2024-12-10T16:45:00Z' })
  recorded_at: string;
}

export class ReadingPageDto extends pageOf(ReadingDto) {}

export class StoredReadingsDto extends RoomDto {
  @ApiProperty({ description: 'The number of readings stored: all that were sent.', example: 96 })
  stored: number;

  @ApiProperty({ description: 'The number of readings that replaced an earlier one.', example: 0 })
  replaced: number;
}

export class ReadingsQuery extends PageQuery {
  @TimeParameter({ description: 'Only readings recorded at this time or later.' })
  from?: string;

  @TimeParameter({ description: 'Only readings recorded before this time.' })
  until?: string;
}

export class AverageQuery {
  @DurationField({ description: 'The period that ends at `until`; at most 3653d (ten years).', example: '15m' })
  duration: string;

  @TimeParameter({ description: 'The end of the period; readings recorded at this time are not in it. Default: now.' })
  until?: string;
}

export class AverageDto extends RoomDto {
  @ApiProperty({ description: 'The requested duration.', example: '15m' })
  duration: string;

  @ApiProperty({ description: 'The exact average, to at least 16 decimals if it does not terminate.', example: 10.5 })
  average_temperature: number;

  @ApiProperty({ example: 1 })
  reading_count: number;
}
