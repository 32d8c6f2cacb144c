import { IdField, PageQuery, RuleField, TextField, TimestampField } from '#http';
import { ApiProperty, OmitType } from '@nestjs/swagger';

const VERSION_LENGTH_MAX = 255;

const NUMBER = '(?:0|[1-9]\\d*)';
/** A pre-release identifier: a number, or alphanumeric with at least one letter or hyphen. */
const PRE_RELEASE = `(?:${NUMBER}|\\d*[A-Za-z-][0-9A-Za-z-]*)`;
const BUILD = '[0-9A-Za-z-]+';
/** Semantic Versioning 2.0.0, section "Backus-Naur Form Grammar"; its numbers may have any length. */
const VERSION = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-${PRE_RELEASE}(?:\\.${PRE_RELEASE})*)?(?:\\+${BUILD}(?:\\.${BUILD})*)?$`,
);

/** Whether a value is a version by Semantic Versioning 2.0.0, of at most 255 characters. */
export function isVersion(value: unknown): boolean {
  return typeof value === 'string' && value.length <= VERSION_LENGTH_MAX && VERSION.test(value);
}

function VersionField(example: string): PropertyDecorator {
  const description = 'The version of the firmware by Semantic Versioning 2.0.0, without a leading v.';
  const rule = `must be a version such as 1.0.0 (Semantic Versioning 2.0.0) of at most ${String(VERSION_LENGTH_MAX)} characters`;
  return RuleField({ description, example, minLength: 1, maxLength: VERSION_LENGTH_MAX }, rule, isVersion);
}

const WHEN =
  'The time since which the device runs this version: seconds since 1970 with up to six decimals, or RFC 3339.';

/** The version that a device runs. */
export class FirmwareReportDto {
  @VersionField('1.0.0')
  version: string;

  @TimestampField({ description: WHEN, example: 1700000000 })
  timestamp: number | string;
}

/** The result of an update of a device. */
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
    description: 'The result of the update. Free text.',
    example: 'updated',
  })
  status?: string | null;
}

export class FirmwareAcceptedDto {
  @ApiProperty({ example: 'Update Accepted.' })
  message: string;

  @ApiProperty({
    format: 'uri',
    description: 'URL of the job that stores the event; the same as the header Location.',
    example: 'http://127.0.0.1:8000/api/v1/jobs/378104958201857',
  })
  job: string;
}

export class FirmwareEventDto {
  @ApiProperty({
    description: 'Id of the object that stores the event.',
    example: 'firmware-x7Qa2nVb0pLr5sTu8wYz1cDe3fGh6jKm',
  })
  id: string;

  @ApiProperty({ example: 'sensor-9' })
  device_id: string;

  @ApiProperty({ example: '1.0.3' })
  version: string;

  @ApiProperty({ format: 'date-time', description: 'In UTC.', example: '2023-01-01T00:00:00Z' })
  timestamp: string;

  @ApiProperty({ type: String, nullable: true, description: 'null where no status was sent.', example: 'updated' })
  status: string | null;
}

/** The response is an array and has no count. */
export class FirmwarePageQuery extends OmitType(PageQuery, ['count'] as const) {}

export class FirmwareListQuery extends FirmwarePageQuery {
  @IdField({ description: 'The id of the device.', example: 'sensor-9' })
  device_id: string;
}
