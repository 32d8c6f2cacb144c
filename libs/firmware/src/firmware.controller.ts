import { DeviceService, From, projectOf } from '#access';
import { MayRunLater, WriteRequests } from '#jobs';
import {
  Answer,
  API,
  Config,
  fingerprintOf,
  JsonBody,
  JsonHeader,
  linkHeader,
  pageRequest,
  Problem,
  Problems,
  Rules,
  type Principal,
} from '#platform';
import { ObservationStore } from '#warehouse';
import { Body, Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  eventDto,
  FirmwareAcceptedDto,
  FirmwareEventDto,
  FirmwareListQuery,
  FirmwarePageQuery,
  FirmwareReportDto,
  FirmwareUpdateDto,
  readReport,
  readUpdate,
} from './firmware.dto.js';
import { fromObject } from './firmware.js';
import { FirmwareOperations } from './firmware.operations.js';

/** Names of the systems that this one replaces; their devices cannot be changed. */
const keyHeaders = ['x-device-api-key', 'x-project-membership-api-key', 'api_key'];
const KEYS = 'The key may also come as `X-Device-Api-Key`, `X-Project-Membership-Api-Key` or `api_key`.';
const EVENTS = {
  type: FirmwareEventDto,
  isArray: true,
  description: 'The events; the header Link leads to the pages beside this.',
};
const HAS_VERSION = { kind: 'pair', key: 'version', value: null } as const;

@ApiTags('firmware')
@Controller(`${API}/firmware`)
export class FirmwareController {
  constructor(
    private readonly requests: WriteRequests,
    private readonly operations: FirmwareOperations,
    private readonly devices: DeviceService,
    private readonly observations: ObservationStore,
    private readonly config: Config,
  ) {}

  @Post()
  @JsonHeader()
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report which version the device runs; it is stored by a job', description: KEYS })
  @ApiBody({ type: FirmwareReportDto })
  @Answer(202, FirmwareAcceptedDto, { location: true, description: 'Accepted, and on disk.' })
  @Problems('malformed-request', 'invalid-body')
  report(
    @From() from: Principal,
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    const device_id = deviceOf(from);
    // What a job would refuse is refused now: nobody may look at the job.
    readReport(device_id, body);
    const write = { body, params: { device_id }, request, reply };
    return this.requests.accept(this.operations.report, write, (job) =>
      JSON.stringify({ message: 'Update Accepted.', job }),
    );
  }

  @Post(':device_id')
  @JsonHeader()
  @Rules({ roles: ['device'], keyHeaders, consumes: ['application/json'] })
  @ApiOperation({ summary: 'Report what became of an update of the device', description: KEYS })
  @ApiParam({ name: 'device_id', type: String })
  @ApiBody({ type: FirmwareUpdateDto })
  @MayRunLater()
  @Answer(201, FirmwareEventDto)
  @Problems('malformed-request', 'invalid-body')
  async update(
    @From() from: Principal,
    @Param('device_id') deviceId: string,
    @Body() body: JsonBody,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    if (from.deviceId !== deviceId) throw new Problem('forbidden', { detail: 'A device reports for itself only.' });
    readUpdate(deviceId, body);
    return this.requests.answer(this.operations.update, { body, request, reply });
  }

  @Get()
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: "List a device's events, newest first; a device its own", description: KEYS })
  @ApiOkResponse(EVENTS)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  list(
    @From() from: Principal,
    @Query() query: FirmwareListQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<FirmwareEventDto[]> {
    return this.eventsOf(from, query.device_id, query, request, reply);
  }

  @Get(':device_id')
  @Rules({ roles: ['admin', 'analyst', 'device'], keyHeaders, query: true })
  @ApiOperation({ summary: 'The same, the device in the address', description: KEYS })
  @ApiOkResponse(EVENTS)
  @Problems('invalid-query', 'invalid-cursor', 'not-found')
  listAt(
    @From() from: Principal,
    @Param('device_id') deviceId: string,
    @Query() query: FirmwarePageQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<FirmwareEventDto[]> {
    return this.eventsOf(from, deviceId, query, request, reply);
  }

  private async eventsOf(
    from: Principal,
    deviceId: string,
    query: FirmwarePageQuery,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FirmwareEventDto[]> {
    const projectId = projectOf(request);
    const page = pageRequest(query, this.config.limits, fingerprintOf('firmware', projectId, deviceId), request);
    await this.requireReadable(from, projectId, deviceId);
    const slice = await this.observations.page(projectId, deviceId, HAS_VERSION, page);
    reply.itemCount = slice.items.length;
    const link = linkHeader(page, slice);
    if (link !== undefined) reply.header('Link', link);
    const events = slice.items.map((row) => ({ id: row.object_id, event: fromObject(row) }));
    return events.flatMap(({ id, event }) => (event === undefined ? [] : eventDto(id, event)));
  }

  /** @throws Problem not-found: one answer for what does not exist, is another project's, or is not this device's to see */
  private async requireReadable(from: Principal, projectId: number, deviceId: string): Promise<void> {
    const isOthers = from.role === 'device' && from.deviceId !== deviceId;
    if (isOthers || (await this.devices.find(projectId, deviceId)) === null)
      throw new Problem('not-found', { detail: 'There is no such device.' });
  }
}

function deviceOf({ deviceId }: Principal): string {
  if (deviceId === null) throw new Error('a key of the role device is bound to none');
  return deviceId;
}
