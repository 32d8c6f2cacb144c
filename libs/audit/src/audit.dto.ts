import { isSeq } from '#database';
import { ChoiceField, IdField, IntegerParameter, pageOf, PageQuery, ROLES, RuleField, TimeParameter } from '#http';
import { PROJECT_ID_MAX } from '#platform';
import { ApiProperty } from '@nestjs/swagger';
import { ValidateIf } from 'class-validator';
import { AUDIT_ACTIONS, TARGET_TYPES } from './audit-entry.js';

export class AuditQuery extends PageQuery {
  @IntegerParameter({
    min: 1,
    max: PROJECT_ID_MAX,
    description: 'For operators: the project; default: the installation itself, with projects and operator keys.',
    example: 1804289383,
  })
  project_id?: number;

  @ChoiceField({ optional: true, choices: AUDIT_ACTIONS, description: 'Only entries about this action.' })
  action?: string;

  @ValidateIf((_, value) => value !== undefined)
  @RuleField(
    { type: String, required: false, description: 'Only what was done with this key.', example: '384573930291204096' },
    'must be the id of a key',
    (value) => typeof value === 'string' && isSeq(value),
  )
  key_id?: string;

  @ChoiceField({ optional: true, choices: TARGET_TYPES, description: 'Only entries about a target of this type.' })
  target_type?: string;

  @IdField({ optional: true, description: 'Only entries about the target with this id.', example: 'shoe-9' })
  target_id?: string;

  @TimeParameter({ description: 'Only entries of this time or later.' })
  from?: string;

  @TimeParameter({ description: 'Only entries before this time.' })
  until?: string;
}

class AuditActorDto {
  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The key; null for the command line, the first start of the server, and several keys together.',
    example: '384573930291204096',
  })
  key_id: string | null;

  @ApiProperty({ type: String, enum: [...ROLES, null], nullable: true, example: 'admin' })
  role: string | null;

  @ApiProperty({ description: 'The name of the key at that time.', example: 'loader in Lisbon' })
  name: string;
}

class AuditTargetDto {
  @ApiProperty({ enum: TARGET_TYPES, example: 'object' })
  type: string;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'null where an operator reads an entry about an object or batch, whose ids are data of the project.',
    example: 'shoe-9',
  })
  id: string | null;
}

export class AuditEntryDto {
  @ApiProperty({ description: 'Counts the entries of the project from 1, without gaps.', example: 12 })
  number: number;

  @ApiProperty({
    format: 'date-time',
    description: 'In UTC, with six digits of a second.',
    example: '2026-11-26T09:00:00.123450Z',
  })
  created_at: string;

  @ApiProperty({ enum: AUDIT_ACTIONS, example: 'object.delete' })
  action: string;

  @ApiProperty({ type: AuditActorDto })
  actor: AuditActorDto;

  @ApiProperty({ type: AuditTargetDto, nullable: true, description: 'null for an action on several objects.' })
  target: AuditTargetDto | null;

  @ApiProperty({
    type: Object,
    description:
      'Further facts, such as counts and the first ids, at most 100 and at most 2 KiB. Operators get only counts of actions on data.',
    example: { batch_id: 'spring-2024' },
  })
  details: object;

  @ApiProperty({ type: String, nullable: true, example: '8f14e45fceea-1k' })
  request_id: string | null;

  @ApiProperty({ type: String, nullable: true, description: 'The address of the client.', example: '192.0.2.7' })
  address: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description:
      'SHA-256 of the previous hash and this entry, in hexadecimal; docs/audit.md has the computation. `stowage audit verify` checks it. null where an operator reads an entry about data.',
    example: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  })
  hash: string | null;
}

export class AuditPageDto extends pageOf(AuditEntryDto) {}
