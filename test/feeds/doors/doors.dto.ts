import { IntegerField, pageOf, TimeField } from '#http';
import { ApiProperty } from '@nestjs/swagger';

export class NewVisitDto {
  @TimeField({ description: 'The start of the hour.', example: '2026-11-21T09:00:00Z' })
  at: string;

  @IntegerField({ min: 0, max: 1_000_000, description: 'Number of people who went through the door.', example: 12 })
  people: number;
}

export class VisitDto {
  @ApiProperty({ example: 'north' })
  door: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00Z' })
  at: string;

  @ApiProperty({ example: 12 })
  people: number;
}

export class VisitPageDto extends pageOf(VisitDto) {}
