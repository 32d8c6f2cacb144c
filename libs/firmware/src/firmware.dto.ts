import { IdField, PageQuery, readBody, TextField, TIME_RULE, type JsonBody } from '#platform';
import { applyDecorators } from '@nestjs/common';
import { ApiProperty, OmitType } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';
import {
  EPOCH_SECONDS_MAX,
  isTimestamp,
  isVersion,
  timeIn,
  VERSION_LENGTH_MAX,
  type FirmwareEvent,
} from './firmware.js';

const DEVICE_ID = { description: 'The device.', example: 'sensor-9' };

function VersionField(example: string): PropertyDecorator {
  const description = 'The version of the firmware: Semantic Versioning 2.0.0, without a leading v.';
  const message = `must be a version such as 1.0.0 (Semantic Versioning 2.0.0), of at most ${String(VERSION_LENGTH_MAX)} characters`;
  return applyDecorators(
    ApiProperty({ description, example, minLength: 1, maxLength: VERSION_LENGTH_MAX }),
    ValidateBy({ name: 'rule', validator: { validate: isVersion, defaultMessage: () => message } }),
  );
}

function TimestampField(example: string | number): PropertyDecorator {
  const description = 'When it was so: seconds since 1970, whole or with a fraction to the microsecond, or RFC 3339.';
  const message = `must be seconds since 1970, from 0 to ${String(EPOCH_SECONDS_MAX)}, or text that ${TIME_RULE}`;
  const oneOf = [
    { type: 'number', minimum: 0, maximum: EPOCH_SECONDS_MAX },
    { type: 'string', format: 'date-time' },
  ];
  return applyDecorators(
    ApiProperty({ description, example, oneOf }),
    ValidateBy({ name: 'rule', validator: { validate: isTimestamp, defaultMessage: () => message } }),
  );
}

/** What a device runs. */
export class FirmwareReportDto {
  @VersionField('1.0.0')
  version: string;

  @TimestampField(1700000000)
  timestamp: number | string;
}

/** What became of an update of a device. */
export class FirmwareUpdateDto {
  @VersionField('1.0.3')
  firmware: string;

  @TimestampField('2023-01-01T00:00:00.000000Z')
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
  @ApiProperty({
    description: 'The id of the object that it is.',
    example: 'firmware-x7Qa2nVb0pLr5sTu8wYz1cDe3fGh6jKm',
  })
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
  @IdField(DEVICE_ID)
  device_id: string;
}

/** @throws Problem malformed-request or invalid-body */
export function readReport(deviceId: string, body: JsonBody): FirmwareEvent {
  const { dto, text } = readBody(FirmwareReportDto, body);
  return { deviceId, version: dto.version, time: timeIn(text), status: null };
}

/** @throws Problem malformed-request or invalid-body */
export function readUpdate(deviceId: string, body: JsonBody): FirmwareEvent {
  const { dto, text } = readBody(FirmwareUpdateDto, body);
  return { deviceId, version: dto.firmware, time: timeIn(text), status: dto.status ?? null };
}

export function eventDto(id: string, { deviceId, version, time, status }: FirmwareEvent): FirmwareEventDto {
  return { id, device_id: deviceId, version, timestamp: time, status };
}
