import { IdField, PageQuery, RuleField, TextField, TimestampField } from '#http';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import { parse } from 'semver';

const VERSION_LENGTH_MAX = 255;

/**
 * Semantic Versioning 2.0.0, its numbers up to 2^53 - 1, which the library can compare. Alone it would take white space around
 * a version and a leading v.
 */
export function isVersion(value: unknown): boolean {
  return (
    typeof value === 'string' && value.length <= VERSION_LENGTH_MAX && /^\d\S*$/.test(value) && parse(value) !== null
  );
}

function VersionField(example: string): PropertyDecorator {
  const description =
    'The version of the firmware: Semantic Versioning 2.0.0, without a leading v, its numbers up to 2^53 - 1.';
  const rule = `must be a version such as 1.0.0 (Semantic Versioning 2.0.0), of at most ${String(VERSION_LENGTH_MAX)} characters`;
  return RuleField({ description, example, minLength: 1, maxLength: VERSION_LENGTH_MAX }, rule, isVersion);
}

const WHEN = 'When it was so: seconds since 1970, whole or with a fraction to the microsecond, or RFC 3339.';

/** What a device runs. */
export class FirmwareReportDto {
  @VersionField('1.0.0')
  version: string;

  @TimestampField({ description: WHEN, example: 1700000000 })
  timestamp: number | string;
}

/** What became of an update of a device. */
export class FirmwareUpdateDto {
  @VersionField('1.0.3')
  firmware: string;

  @TimestampField({ description: WHEN, example: '2023-01-01T00:00:00.000000Z' })
  timestamp: number | string;

  @TextField({
    optional: true,
    nullable: true,
    min: 1,
    max: 255,
    description: 'What became of the update, in words of your own.',
    example: 'updated',
  })
  status?: string | null;
}

export class FirmwareAcceptedDto {
  @ApiProperty({ example: 'Update Accepted.' })
  message: string;

  @ApiProperty({
    format: 'uri',
    description: 'The job that stores it; the same as Location.',
    example: 'http://127.0.0.1:8000/api/v1/jobs/378104958201857',
  })
  job: string;
}

export class FirmwareEventDto {
  @ApiProperty({ description: 'Of the object that it is.', example: 'firmware-x7Qa2nVb0pLr5sTu8wYz1cDe3fGh6jKm' })
  id: string;

  @ApiProperty({ example: 'sensor-9' })
  device_id: string;

  @ApiProperty({ example: '1.0.3' })
  version: string;

  @ApiProperty({ format: 'date-time', description: 'In UTC.', example: '2023-01-01T00:00:00Z' })
  timestamp: string;

  @ApiProperty({ type: String, nullable: true, description: 'null where none was sent.', example: 'updated' })
  status: string | null;
}

/** An array says nothing of how many there are in all, so it cannot be asked to. */
export class FirmwarePageQuery extends OmitType(PageQuery, ['count'] as const) {}

export class FirmwareListQuery extends FirmwarePageQuery {
  @IdField({ description: 'The device.', example: 'sensor-9' })
  device_id: string;
}
