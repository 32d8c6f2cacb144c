import { IntegerField, pageOf, ProjectNameField } from '#http';
import { QUOTA_MAX } from '#platform';
import { ApiProperty } from '@nestjs/swagger';

const OBJECTS_MAX = 'The largest number of objects; null: `project_objects_max` of `GET /limits` applies.';
const BYTES_MAX =
  'The largest size of the `data` of all objects in bytes; null: `project_bytes_max` of `GET /limits` applies.';

const RETENTION_DAYS =
  'Objects are deleted this many days after their `observed_at`, within an hour, and cannot be restored; null: they are kept.';
/** A hundred years. */
const RETENTION_DAYS_MAX = 36_500;

function RetentionField(): PropertyDecorator {
  const limits = { min: 1, max: RETENTION_DAYS_MAX, optional: true, nullable: true };
  return IntegerField({ ...limits, description: RETENTION_DAYS, example: 365 });
}

function QuotaField(description: string, example: number): PropertyDecorator {
  return IntegerField({ min: 0, max: QUOTA_MAX, optional: true, nullable: true, description, example });
}

export class CreateProjectDto {
  @ProjectNameField({
    description: 'The name of the project, unique in the installation and not only digits.',
    example: 'acme',
  })
  name: string;

  @QuotaField(OBJECTS_MAX, 1_000_000)
  objects_max?: number | null;

  @QuotaField(BYTES_MAX, 1_000_000_000)
  bytes_max?: number | null;

  @RetentionField()
  retention_days?: number | null;
}

/** The members that change; null removes a limit, so that the one of the installation applies, or the retention. */
export class UpdateProjectDto {
  @ProjectNameField({
    optional: true,
    description: 'The new name, unique in the installation and not only digits.',
    example: 'acme',
  })
  name?: string;

  @QuotaField(OBJECTS_MAX, 1_000_000)
  objects_max?: number | null;

  @QuotaField(BYTES_MAX, 1_000_000_000)
  bytes_max?: number | null;

  @RetentionField()
  retention_days?: number | null;
}

export class ProjectDto {
  @ApiProperty({ description: 'Identifies the project in URLs.', example: 1804289383 })
  project_id: number;

  @ApiProperty({ example: 'acme' })
  name: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({ type: Number, nullable: true, description: OBJECTS_MAX, example: null })
  objects_max: number | null;

  @ApiProperty({ type: Number, nullable: true, description: BYTES_MAX, example: null })
  bytes_max: number | null;

  @ApiProperty({ type: Number, nullable: true, description: RETENTION_DAYS, example: null })
  retention_days: number | null;
}

export class ProjectPageDto extends pageOf(ProjectDto) {}
