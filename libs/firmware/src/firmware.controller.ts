import { DeviceService } from '#access';
import { hasKey } from '#filter';
import { jsonBody, ApiRespondAsync, WriteService, type WriteOperation } from '#jobs';
import {
  ApiResult,
  API,
  Http,
  Problem,
  ApiProblems,
  readBody,
  requireBody,
  Rules,
  type HttpContext,
  type Principal,
  CurrentPrincipal,
} from '#http';
import { FeedOperations, FeedReader, type FeedList } from '#feeds';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import {
  FirmwareAcceptedDto,
  FirmwareEventDto,
  FirmwareListQuery,
  FirmwarePageQuery,
  FirmwareReportDto,
  FirmwareUpdateDto,
} from './firmware.dto.js';
import { fromObject } from './firmware.js';
import { eventResponse, parseReport, parseUpdate } from './firmware.operations.js';

/** Header names of the systems that Stowage replaces; their devices cannot be changed. */
const keyHeaders = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];
const KEYS = 'The key may also come as `X-Device-Api-Key`, `X-Project-Membership-Api-Key` or `api_key`.';
const EVENTS = { link: true, description: 'The events.' };

type Events = readonly FirmwareEventDto[];

@ApiTags('firmware')
@Controller(`${API}/firmware`)
export class FirmwareController {
  private readonly reporting: WriteOperation;
  private readonly updating: WriteOperation;

  constructor(
    private readonly writes: WriteService,
    private readonly devices: DeviceService,
    private readonly reader: FeedReader,
    feeds: FeedOperations,
  ) {
    this.reporting = feeds.register({ name: 'firmware.report', parse: parseReport, respond: eventResponse });
    this.updating = feeds.register({ name: 'firmware.update', parse: parseUpdate, respond: eventResponse });
  }

  @Post()
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'], bodyLimit: 'report_limit_bytes' })
  @ApiOperation({ summary: 'Report the version that the device runs; a job stores it', description: KEYS })
  @ApiBody({ type: FirmwareReportDto })
  @ApiResult(202, FirmwareAcceptedDto, { location: true, description: 'The report was accepted as a job.' })
  @ApiProblems('malformed-request', 'invalid-body', 'quota-exceeded')
  async reportFirmware(@CurrentPrincipal() { deviceId }: Principal, @Http() http: HttpContext): Promise<string> {
    if (deviceId === null) throw new Error('a key of the role device has no device');
    // Validated before it is accepted, so that the device gets errors in this response and not only in the job.
    readBody(FirmwareReportDto, jsonBody({ body: requireBody(http.request.body) }));
    const textOf = (job: string): string => JSON.stringify({ message: 'Update Accepted.', job });
    return this.writes.accept(this.reporting, http, { params: { device_id: deviceId }, textOf });
  }

  @Post(':device_id')
  @Rules({
    roles: ['device'],
    keyHeaders,
    consumes: ['application/json'],
    bodyLimit: 'report_limit_bytes',
    sharesWrites: true,
  })
  @ApiOperation({ summary: 'Report the result of an update of the device', description: KEYS })
  @ApiParam({ name: 'device_id', type: String })
  @ApiBody({ type: FirmwareUpdateDto })
  @ApiRespondAsync()
  @ApiResult(201, FirmwareEventDto)
  @ApiProblems('malformed-request', 'invalid-body', 'quota-exceeded')
  createFirmwareEvent(
    @CurrentPrincipal() principal: Principal,
    @Param('device_id') deviceId: string,
    @Http() http: HttpContext,
  ): Promise<string> {
    if (principal.deviceId !== deviceId)
      throw new Problem('forbidden', { detail: 'A device key can report only for its own device.' });
    // Validated now even with respond-async, where a job stores it later.
    readBody(FirmwareUpdateDto, jsonBody({ body: requireBody(http.request.body) }));
    return this.writes.handle(this.updating, http);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: 'List the events of a device, newest first; a device key lists its own', description: KEYS })
  @ApiResult(200, [FirmwareEventDto], EVENTS)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  listFirmwareEvents(
    @CurrentPrincipal() principal: Principal,
    @Query() query: FirmwareListQuery,
    @Http() http: HttpContext,
  ): Promise<Events> {
    return this.eventsOf(query.device_id, principal, query, http);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: 'List the events of a device, newest first; a device key lists its own', description: KEYS })
  @ApiResult(200, [FirmwareEventDto], EVENTS)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  listDeviceFirmwareEvents(
    @CurrentPrincipal() principal: Principal,
    @Param('device_id') deviceId: string,
    @Query() query: FirmwarePageQuery,
    @Http() http: HttpContext,
  ): Promise<Events> {
    return this.eventsOf(deviceId, principal, query, http);
  }

  private async eventsOf(
    deviceId: string,
    principal: Principal,
    query: FirmwarePageQuery,
    http: HttpContext,
  ): Promise<Events> {
    const list: FeedList<FirmwareEventDto> = {
      scope: ['firmware', deviceId],
      subject: deviceId,
      filter: hasKey('version'),
      authorize: () => this.devices.requireReadable(principal, deviceId),
      read: fromObject,
    };
    return (await this.reader.page(list, { ...query, count: 'none' }, http)).linked();
  }
}
