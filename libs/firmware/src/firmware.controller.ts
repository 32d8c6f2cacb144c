import { DeviceService, From, projectOf } from '#access';
import { Incoming, jsonBodyOf, MayRunLater, WriteRequests, type WriteRequest } from '#jobs';
import { Answer, API, Http, Problem, Problems, Rules, type Exchange, type Principal } from '#platform';
import { FeedReader, type FeedList, type ObjectRow } from '#warehouse';
import { Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import {
  FirmwareAcceptedDto,
  FirmwareEventDto,
  FirmwareListQuery,
  FirmwarePageQuery,
  FirmwareReportDto,
  FirmwareUpdateDto,
} from './firmware.dto.js';
import { fromObject } from './firmware.js';
import { eventDto, FirmwareOperations, readReport, readUpdate } from './firmware.operations.js';

/** Names of the systems that this one replaces; their devices cannot be changed. */
const keyHeaders = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];
const KEYS = 'The key may also come as `X-Device-Api-Key`, `X-Project-Membership-Api-Key` or `api_key`.';
const EVENTS = {
  type: FirmwareEventDto,
  isArray: true,
  description: 'The events; the header Link leads to the pages beside this.',
};

@ApiTags('firmware')
@Controller(`${API}/firmware`)
export class FirmwareController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: FirmwareOperations,
    private readonly devices: DeviceService,
    private readonly reader: FeedReader,
  ) {}

  @Post()
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report which version the device runs; it is stored by a job', description: KEYS })
  @ApiBody({ type: FirmwareReportDto })
  @Answer(202, FirmwareAcceptedDto, { location: true, description: 'Accepted, and on disk.' })
  @Problems('malformed-request', 'invalid-body')
  report(@From() { deviceId }: Principal, @Incoming() write: WriteRequest): Promise<string> {
    if (deviceId === null) throw new Error('a key of the role device is bound to none');
    // What a job would refuse is refused now: nobody may look at the job.
    readReport(deviceId, jsonBodyOf(write));
    const textOf = (job: string): string => JSON.stringify({ message: 'Update Accepted.', job });
    return this.requests.accept(this.operations.report, { ...write, params: { device_id: deviceId } }, textOf);
  }

  @Post(':device_id')
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report what became of an update of the device', description: KEYS })
  @ApiParam({ name: 'device_id', type: String })
  @ApiBody({ type: FirmwareUpdateDto })
  @MayRunLater()
  @Answer(201, FirmwareEventDto)
  @Problems('malformed-request', 'invalid-body')
  update(
    @From() from: Principal,
    @Param('device_id') deviceId: string,
    @Incoming() write: WriteRequest,
  ): Promise<string> {
    if (from.deviceId !== deviceId) throw new Problem('forbidden', { detail: 'A device reports for itself only.' });
    readUpdate(deviceId, jsonBodyOf(write));
    return this.requests.answer(this.operations.update, write);
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: "List a device's events, newest first; a device its own", description: KEYS })
  @ApiOkResponse(EVENTS)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  list(@Query() query: FirmwareListQuery, @Http() http: Exchange): Promise<readonly FirmwareEventDto[]> {
    return this.eventsOf(query.device_id, query, http);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: 'The same, the device in the address', description: KEYS })
  @ApiOkResponse(EVENTS)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  listAt(
    @Param('device_id') deviceId: string,
    @Query() query: FirmwarePageQuery,
    @Http() http: Exchange,
  ): Promise<readonly FirmwareEventDto[]> {
    return this.eventsOf(deviceId, query, http);
  }

  private async eventsOf(
    deviceId: string,
    query: FirmwarePageQuery,
    http: Exchange,
  ): Promise<readonly FirmwareEventDto[]> {
    const list: FeedList<FirmwareEventDto> = {
      is: ['firmware', deviceId],
      subject: deviceId,
      filter: { kind: 'pair', key: 'version', value: null },
      allow: () => this.requireReadable(deviceId, http),
      read: eventOf,
    };
    return (await this.reader.page(list, query, http)).linked();
  }

  /** @throws Problem not-found: one answer for what does not exist, is another project's, or is not this device's to see */
  private async requireReadable(deviceId: string, { request }: Exchange): Promise<void> {
    const { principal } = request;
    const isOthers = principal?.role === 'device' && principal.deviceId !== deviceId;
    if (isOthers || (await this.devices.find(projectOf(request), deviceId)) === null)
      throw new Problem('not-found', { detail: 'There is no such device.' });
  }
}

function eventOf(row: ObjectRow): FirmwareEventDto | undefined {
  const event = fromObject(row);
  return event && eventDto(row.object_id, event);
}
