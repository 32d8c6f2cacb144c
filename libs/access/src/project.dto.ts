import { pageOf, TextField } from '#http';
import { ApiProperty } from '@nestjs/swagger';

export class CreateProjectDto {
  @TextField({ min: 1, max: 255, description: 'The name of the project, unique in the installation.', example: 'acme' })
  name: string;
}

export class ProjectDto {
  @ApiProperty({ description: 'Identifies the project in URLs.', example: 1804289383 })
  project_id: number;

  @ApiProperty({ example: 'acme' })
  name: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;
}

export class ProjectPageDto extends pageOf(ProjectDto) {}
