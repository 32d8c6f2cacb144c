import { IntegerField, pageOf, TextField } from '#http';
import { ApiProperty } from '@nestjs/swagger';

/** Every digit of it is exact in JavaScript and in a setting. */
const LIMIT_MAX = 999_999_999_999_999;

export class CreateProjectDto {
  @TextField({ min: 1, max: 255, description: 'The name of the project, unique in the installation.', example: 'acme' })
  name: string;

  @IntegerField({
    min: 0,
    max: LIMIT_MAX,
    optional: true,
    nullable: true,
    description: 'The largest number of objects; null for the default of the installation.',
    example: 1_000_000,
  })
  objects_max?: number | null;

  @IntegerField({
    min: 0,
    max: LIMIT_MAX,
    optional: true,
    nullable: true,
    description: 'The largest size of the `data` of all objects in bytes; null for the default of the installation.',
    example: 1_000_000_000,
  })
  bytes_max?: number | null;
}

/** The members that change; null removes a limit, so that the default of the installation applies. */
export class UpdateProjectDto {
  @TextField({
    min: 1,
    max: 255,
    optional: true,
    description: 'The new name, unique in the installation.',
    example: 'acme',
  })
  name?: string;

  @IntegerField({
    min: 0,
    max: LIMIT_MAX,
    optional: true,
    nullable: true,
    description: 'The largest number of objects; null for the default of the installation.',
    example: 1_000_000,
  })
  objects_max?: number | null;

  @IntegerField({
    min: 0,
    max: LIMIT_MAX,
    optional: true,
    nullable: true,
    description: 'The largest size of the `data` of all objects in bytes; null for the default of the installation.',
    example: 1_000_000_000,
  })
  bytes_max?: number | null;
}

export class ProjectDto {
  @ApiProperty({ description: 'Identifies the project in URLs.', example: 1804289383 })
  project_id: number;

  @ApiProperty({ example: 'acme' })
  name: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'The largest number of objects; null for the default of the installation.',
    example: null,
  })
  objects_max: number | null;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'The largest size of the `data` of all objects in bytes; null for the default of the installation.',
    example: null,
  })
  bytes_max: number | null;
}

export class ProjectPageDto extends pageOf(ProjectDto) {}
