import {
  ChoiceField,
  IdField,
  IntegerField,
  OptionalBody,
  pageOf,
  ROLES,
  RuleField,
  TextField,
  TimeField,
  type Role,
} from '#http';
import { ApiProperty } from '@nestjs/swagger';
import { ValidateIf } from 'class-validator';

/** The API creates no operator keys, except by rotating one: the command line does. */
const PROJECT_ROLES = ROLES.filter((role) => role !== 'operator');

export class CreateKeyDto {
  @TextField({ min: 1, max: 255, description: 'What the key is for.', example: 'loader in Lisbon' })
  name: string;

  @ChoiceField({ choices: PROJECT_ROLES, description: 'What the key may do.', example: 'producer' })
  role: Role;

  @TimeField({
    optional: true,
    nullable: true,
    description: 'When the key stops working, in the future. Default: never.',
    example: '2031-01-01T00:00:00Z',
  })
  expires_at?: string | null;

  @IdField({
    optional: true,
    nullable: true,
    description: 'The device of a key with the role device; required for that role, not allowed for any other.',
  })
  device_id?: string | null;

  @ValidateIf((_, value) => value !== undefined)
  @RuleField(
    {
      type: Boolean,
      required: false,
      description:
        'A canary: requests with the key are rejected like those with an unknown key, and raise an alert. Default: false.',
    },
    'must be true or false',
    (value) => typeof value === 'boolean',
  )
  canary?: boolean;
}

/** A JSON Merge Patch (RFC 7396): a member that is omitted stays as it is. */
export class UpdateKeyDto {
  @TextField({ optional: true, min: 1, max: 255, description: 'The new name.', example: 'loader in Porto' })
  name?: string;

  @TimeField({
    optional: true,
    nullable: true,
    description: 'When the key stops working, in the future; null for never.',
    example: '2032-01-01T00:00:00Z',
  })
  expires_at?: string | null;
}

/** A week: long enough to replace a key in every client, short enough that the old key is not forgotten. */
const OVERLAP_SECONDS_MAX = 604_800;
export const OVERLAP_SECONDS_DEFAULT = 86_400;

@OptionalBody()
export class RotateKeyDto {
  @IntegerField({
    optional: true,
    min: 0,
    max: OVERLAP_SECONDS_MAX,
    description: `How long the old key still works, in seconds. Default: ${String(OVERLAP_SECONDS_DEFAULT)}, a day.`,
    example: 3600,
  })
  overlap_seconds?: number;
}

/** Only an active key is accepted. */
const KEY_STATUSES = ['active', 'expired', 'revoked'] as const;
export type KeyStatus = (typeof KEY_STATUSES)[number];

export class KeyDto {
  @ApiProperty({ example: '384573930291204096' })
  key_id: string;

  @ApiProperty({ example: 'loader in Lisbon' })
  name: string;

  @ApiProperty({ enum: ROLES, example: 'producer' })
  role: Role;

  @ApiProperty({ description: 'The first characters of the key.', example: 'stw_producer_x7Qa' })
  prefix: string;

  @ApiProperty({ enum: KEY_STATUSES, description: 'Only an active key is accepted.', example: 'active' })
  status: KeyStatus;

  @ApiProperty({ type: String, nullable: true, example: null })
  device_id: string | null;

  @ApiProperty({ description: 'Whether the key is a canary, which never works.', example: false })
  canary: boolean;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: '2031-01-01T00:00:00.000Z' })
  expires_at: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null })
  revoked_at: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true, example: null, description: 'To the minute.' })
  last_used_at: string | null;
}

export class CreatedKeyDto extends KeyDto {
  @ApiProperty({ description: 'The key. Only this response contains it.', example: 'stw_producer_x7Qa…' })
  key: string;
}

export class KeyPageDto extends pageOf(KeyDto) {}

class KeyProjectDto {
  @ApiProperty({ example: 1804289383 })
  project_id: number;

  @ApiProperty({ example: 'acme' })
  name: string;
}

/** The key of a request. */
export class MeDto {
  @ApiProperty({ example: '384573930291204096' })
  key_id: string;

  @ApiProperty({ example: 'loader in Lisbon' })
  name: string;

  @ApiProperty({ enum: ROLES, example: 'producer' })
  role: Role;

  @ApiProperty({
    type: KeyProjectDto,
    nullable: true,
    description: 'The project of the key; null for an operator key.',
  })
  project: KeyProjectDto | null;

  @ApiProperty({
    type: String,
    nullable: true,
    example: null,
    description: 'The device of a key with the role device; null for every other role.',
  })
  device_id: string | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    example: '2031-01-01T00:00:00.000Z',
    description: 'When the key stops working; null for never.',
  })
  expires_at: string | null;
}
