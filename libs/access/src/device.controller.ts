import { type Actor, CurrentActor } from '#audit';
import {
  API,
  ApiPreconditions,
  ApiProblems,
  ApiResult,
  baseUrl,
  etagOfJson,
  fingerprintOf,
  pageBody,
  PageQuery,
  pageRequest,
  preconditionsOf,
  Rules,
  ProjectId,
  ApiPage,
  Http,
  type HttpContext,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Get, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CreatedDeviceDto, CreateDeviceDto, DeviceDto, DevicePageDto, MoveDeviceDto } from './device.dto.js';
import { DeviceService } from './device.service.js';
import { DeviceStore } from './device.store.js';
import { PATCH_TYPES } from './patch-types.js';

@ApiTags('devices')
@Controller(`${API}/devices`)
export class DeviceController {
  constructor(
    private readonly devices: DeviceService,
    private readonly store: DeviceStore,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['admin'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Create a device and its first key; only this response contains the key' })
  @ApiResult(201, CreatedDeviceDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict')
  async createDevice(
    @ProjectId() projectId: number,
    @Body() body: CreateDeviceDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedDeviceDto> {
    const device = await this.devices.create(projectId, body.device_id, actor);
    reply.header('Location', `${baseUrl(request)}/devices/${encodeURIComponent(body.device_id)}`);
    return device;
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the devices of the project, newest first' })
  @ApiPage(DevicePageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listDevices(
    @ProjectId() projectId: number,
    @Query() query: PageQuery,
    @Http() http: HttpContext,
  ): Promise<object> {
    const page = pageRequest(query, this.config, fingerprintOf('devices', projectId), http);
    const { slice, count } = await this.store.list(projectId, page);
    return pageBody(page, slice, count);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst'] })
  @ApiOperation({ summary: 'Get a device' })
  @ApiResult(200, DeviceDto, { etag: true })
  @ApiProblems('not-found')
  getDevice(@ProjectId() projectId: number, @Param('device_id') deviceId: string): Promise<DeviceDto> {
    return this.devices.get(projectId, deviceId);
  }

  @Patch(':device_id')
  @Rules({ roles: ['operator'], consumes: PATCH_TYPES, bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Move a device to another project; its keys stop working' })
  @ApiConsumes(...PATCH_TYPES)
  @ApiPreconditions({ isExempt: true })
  @ApiResult(200, DeviceDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found')
  async moveDevice(
    @Param('device_id') deviceId: string,
    @Body() body: MoveDeviceDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DeviceDto> {
    const device = await this.devices.move(deviceId, body.project_id, actor, preconditionsOf(request));
    reply.header('ETag', etagOfJson(device));
    return device;
  }
}
