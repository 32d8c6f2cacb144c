import { DeviceService, CurrentPrincipal } from '#access';
import { Incoming, jsonBodyOf, MayRunLater, WriteRequests, type Operation, type WriteRequest } from '#jobs';
import { ApiResult, API, Http, Problem, ApiProblems, readBody, Rules, type HttpContext, type Principal } from '#http';
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
import { report, update } from './firmware.operations.js';

/** Names of the systems that this one replaces; their devices cannot be changed. */
const keyHeaders = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];
const KEYS = 'The key may also come as `X-Device-Api-Key`, `X-Project-Membership-Api-Key` or `api_key`.';
const EVENTS = { link: true, description: 'The events.' };

type Events = readonly FirmwareEventDto[];

@ApiTags('firmware')
@Controller(`${API}/firmware`)
export class FirmwareController {
  private readonly reporting: Operation;
  private readonly updating: Operation;

  constructor(
    private readonly requests: WriteRequests,
    private readonly devices: DeviceService,
    private readonly reader: FeedReader,
    feeds: FeedOperations,
  ) {
    this.reporting = feeds.add('firmware.report', report);
    this.updating = feeds.add('firmware.update', update);
  }

  @Post()
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report which version the device runs; it is stored by a job', description: KEYS })
  @ApiBody({ type: FirmwareReportDto })
  @ApiResult(202, FirmwareAcceptedDto, { location: true, description: 'Accepted, and on disk.' })
  @ApiProblems('malformed-request', 'invalid-body')
  reportFirmware(@CurrentPrincipal() { deviceId }: Principal, @Incoming() write: WriteRequest): Promise<string> {
    if (deviceId === null) throw new Error('a key of the role device is bound to none');
    // What a job would refuse is refused now: to a device its 202 is the last word.
    readBody(FirmwareReportDto, jsonBodyOf(write));
    const textOf = (job: string): string => JSON.stringify({ message: 'Update Accepted.', job });
    return this.requests.accept(this.reporting, { ...write, params: { device_id: deviceId } }, textOf);
  }

  @Post(':device_id')
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report what became of an update of the device', description: KEYS })
  @ApiParam({ name: 'device_id', type: String })
  @ApiBody({ type: FirmwareUpdateDto })
  @MayRunLater()
  @ApiResult(201, FirmwareEventDto)
  @ApiProblems('malformed-request', 'invalid-body')
  createFirmwareEvent(
    @CurrentPrincipal() from: Principal,
    @Param('device_id') deviceId: string,
    @Incoming() write: WriteRequest,
  ): Promise<string> {
    if (from.deviceId !== deviceId) throw new Problem('forbidden', { detail: 'A device reports for itself only.' });
    // Here too, for it may be run as a job.
    readBody(FirmwareUpdateDto, jsonBodyOf(write));
    return this.requests.answer(this.updating, write);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: "List a device's events, newest first; a device its own", description: KEYS })
  @ApiResult(200, [FirmwareEventDto], EVENTS)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  listFirmwareEvents(
    @CurrentPrincipal() from: Principal,
    @Query() query: FirmwareListQuery,
    @Http() http: HttpContext,
  ): Promise<Events> {
    return this.eventsOf(query.device_id, from, query, http);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: 'The same, the device in the address', description: KEYS })
  @ApiResult(200, [FirmwareEventDto], EVENTS)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  listDeviceFirmwareEvents(
    @CurrentPrincipal() from: Principal,
    @Param('device_id') deviceId: string,
    @Query() query: FirmwarePageQuery,
    @Http() http: HttpContext,
  ): Promise<Events> {
    return this.eventsOf(deviceId, from, query, http);
  }

  private async eventsOf(
    deviceId: string,
    from: Principal,
    query: FirmwarePageQuery,
    http: HttpContext,
  ): Promise<Events> {
    const list: FeedList<FirmwareEventDto> = {
      is: ['firmware', deviceId],
      subject: deviceId,
      filter: { kind: 'pair', key: 'version', value: null },
      allow: () => this.devices.requireReadable(from, deviceId),
      read: fromObject,
    };
    return (await this.reader.page(list, query, http)).linked();
  }
}
