import {
  ApiResult,
  API,
  baseUrl,
  fingerprintOf,
  encodeIdForUrl,
  pageBody,
  PageQuery,
  pageRequest,
  ApiProblems,
  Rules,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Get, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProjectId } from './authentication.js';
import {
  CreatedDeviceDto,
  CreateDeviceDto,
  DeviceDto,
  DevicePageDto,
  MovedDeviceDto,
  MoveDeviceDto,
} from './device.dto.js';
import { DeviceService } from './device.service.js';

const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];

@ApiTags('devices')
@Controller(`${API}/devices`)
export class DeviceController {
  constructor(
    private readonly devices: DeviceService,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['admin'], consumes: ['application/json'] })
  @ApiOperation({ summary: 'Make a device and a key of it; the key is shown this once' })
  @ApiResult(201, CreatedDeviceDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict')
  async createDevice(
    @ProjectId() projectId: number,
    @Body() body: CreateDeviceDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedDeviceDto> {
    const device = await this.devices.create(projectId, body.device_id);
    reply.header('Location', `${baseUrl(request)}/devices/${encodeIdForUrl(body.device_id)}`);
    return device;
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the devices of the project, newest first' })
  @ApiResult(200, DevicePageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listDevices(
    @ProjectId() projectId: number,
    @Query() query: PageQuery,
    @Req() request: FastifyRequest,
  ): Promise<object> {
    const page = pageRequest(query, this.config.limits, fingerprintOf('devices', projectId), request);
    const { slice, count } = await this.devices.list(projectId, page);
    return pageBody(page, slice, count);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a device' })
  @ApiResult(200, DeviceDto)
  @ApiProblems('not-found')
  getDevice(@ProjectId() projectId: number, @Param('device_id') deviceId: string): Promise<DeviceDto> {
    return this.devices.get(projectId, deviceId);
  }

  @Patch(':device_id')
  @Rules({ roles: ['operator'], consumes: PATCH_TYPES })
  @ApiOperation({ summary: 'Move a device to another project; its keys stop working' })
  @ApiConsumes(...PATCH_TYPES)
  @ApiResult(200, MovedDeviceDto)
  @ApiProblems('malformed-request', 'invalid-body', 'not-found')
  moveDevice(@Param('device_id') deviceId: string, @Body() body: MoveDeviceDto): Promise<MovedDeviceDto> {
    return this.devices.move(deviceId, body.project_id);
  }
}
