import { IntegerField, pageOf, ProjectNameField, RuleField } from '#http';
import { QUOTA_MAX } from '#platform';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { IsOptional } from 'class-validator';

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

const ENCRYPTED_KEYS =
  'The keys of `data` whose values are encrypted before they are stored, and cannot be searched; null for none. The page /guides/operations/encryption has the limits.';
/** Each is compared with every key that is written. */
export const ENCRYPTED_KEYS_MAX = 100;
const KEY_LENGTH_MAX = 255;
const ENCRYPTED_KEYS_RULE = `must be null, or a list of 1 to ${String(ENCRYPTED_KEYS_MAX)} keys of 1 to ${String(KEY_LENGTH_MAX)} characters, each once`;

function EncryptedKeysField(): PropertyDecorator {
  const documented = {
    type: String,
    isArray: true,
    minItems: 1,
    maxItems: ENCRYPTED_KEYS_MAX,
    uniqueItems: true,
    required: false,
    nullable: true,
    description: ENCRYPTED_KEYS,
    example: null,
  };
  return applyDecorators(RuleField(documented, ENCRYPTED_KEYS_RULE, areKeys), IsOptional());
}

function areKeys(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > ENCRYPTED_KEYS_MAX) return false;
  return new Set(value).size === value.length && value.every(isKey);
}

function isKey(value: unknown): boolean {
  if (typeof value !== 'string' || value === '' || value.length > 2 * KEY_LENGTH_MAX) return false;
  return [...value].length <= KEY_LENGTH_MAX && value.isWellFormed() && !value.includes('\0');
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

  @EncryptedKeysField()
  encrypted_keys?: string[] | null;
}

/** The members that change; null removes a limit, so that the one of the installation applies, the retention, or the encrypted keys. */
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

  @EncryptedKeysField()
  encrypted_keys?: string[] | null;
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

  @ApiProperty({ type: [String], nullable: true, description: ENCRYPTED_KEYS, example: null })
  encrypted_keys: string[] | null;

  @ApiProperty({
    description: 'Whether stored values still have to be encrypted, decrypted, or encrypted with a new data key.',
    example: false,
  })
  encryption_pending: boolean;
}

export class ProjectPageDto extends pageOf(ProjectDto) {}
