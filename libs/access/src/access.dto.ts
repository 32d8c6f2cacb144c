import { ChoiceField, IdField, pageOf, ROLES, TextField, TimeField, type Role } from '#http';
import { ApiProperty } from '@nestjs/swagger';

/** An operator is made on the command line only, never by a key over HTTP. */
const PROJECT_ROLES = ROLES.filter((role) => role !== 'operator');

export class CreateProjectDto {
  @TextField({ min: 1, max: 255, description: 'The name of the project, unique in the installation.', example: 'acme' })
  name: string;
}

export class ProjectDto {
  @ApiProperty({ description: 'Identifies the project in the addresses of its keys.', example: 1804289383 })
  project_id: number;

  @ApiProperty({ example: 'acme' })
  name: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;
}

export class CreateKeyDto {
  @TextField({ min: 1, max: 255, description: 'What the key is for.', example: 'loader in Lisbon' })
  name: string;

  @ChoiceField({ choices: PROJECT_ROLES, description: 'What the key may do.', example: 'producer' })
  role: Role;

  @TimeField({
    optional: true,
    nullable: true,
    description: 'When the key stops working; it has to be in the future. Left out: never.',
    example: '2031-01-01T00:00:00Z',
  })
  expires_at?: string | null;

  @IdField({
    optional: true,
    nullable: true,
    description:
      'The one device that a key of the role device speaks for; required with that role, refused with others.',
  })
  device_id?: string | null;
}

export class KeyDto {
  @ApiProperty({ example: '384573930291204096' })
  key_id: string;

  @ApiProperty({ example: 'loader in Lisbon' })
  name: string;

  @ApiProperty({ enum: ROLES, example: 'producer' })
  role: Role;

  @ApiProperty({ description: 'How the key begins.', example: 'stw_producer_x7Qa' })
  prefix: string;

  @ApiProperty({ type: String, nullable: true, example: null })
  device_id: string | null;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2031-01-01T00:00:00.000Z' })
  expires_at: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null, description: 'To the minute.' })
  last_used_at: string | null;
}

export class CreatedKeyDto extends KeyDto {
  @ApiProperty({ description: 'The key. It is shown this once and kept nowhere.', example: 'stw_producer_x7Qa…' })
  key: string;
}

export class ProjectPageDto extends pageOf(ProjectDto) {}

export class KeyPageDto extends pageOf(KeyDto) {}
