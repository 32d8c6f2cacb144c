import { IdField, IntegerField, pageOf } from '#http';
import { PROJECT_ID_MAX } from '#platform';
import { ApiProperty } from '@nestjs/swagger';

export class CreateDeviceDto {
  @IdField({ description: 'The id of the device, unique in the installation.', example: 'thermometer-7' })
  device_id: string;
}

export class CreatedDeviceDto {
  @ApiProperty({ example: 'thermometer-7' })
  device_id: string;

  @ApiProperty({ description: 'Identifies the key, to revoke it.', example: '384573930291204096' })
  key_id: string;

  @ApiProperty({ description: 'The key of the device. Only this response contains it.', example: 'stw_device_x7Qa…' })
  key: string;
}

export class DeviceDto {
  @ApiProperty({ example: 'thermometer-7' })
  device_id: string;

  @ApiProperty({ description: 'The project that the device belongs to.', example: 1804289383 })
  project_id: number;

  @ApiProperty({ format: 'date-time', example: '2026-11-21T09:00:00.000Z' })
  created_at: string;
}

export class MoveDeviceDto {
  @IntegerField({ min: 1, max: PROJECT_ID_MAX, description: 'The project to move the device to.', example: 1804289383 })
  project_id: number;
}

export class DevicePageDto extends pageOf(DeviceDto) {}
