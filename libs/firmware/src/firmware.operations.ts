import { memberText, skipSpace } from '#json';
import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { readBody, utcOfTimestamp, type JsonBody } from '#platform';
import { FeedWriter, type Became, type Note } from '#warehouse';
import { Injectable } from '@nestjs/common';
import { FirmwareReportDto, FirmwareUpdateDto, type FirmwareEventDto } from './firmware.dto.js';
import { toObject, type FirmwareEvent } from './firmware.js';

/** What the routes that store an event do, at once or as a job: in the project that the device was in when it sent it. */
@Injectable()
export class FirmwareOperations {
  readonly report: Operation = { name: 'firmware.report', run: (write) => this.run(write, readReport) };
  readonly update: Operation = { name: 'firmware.update', run: (write) => this.run(write, readUpdate) };

  constructor(
    private readonly writer: FeedWriter,
    operations: Operations,
  ) {
    operations.add(this.report, this.update);
  }

  /** Stores events, those that are there already but once, in the batch of the day. */
  async store(projectId: number, events: readonly FirmwareEvent[], note?: Note<Became[]>): Promise<void> {
    const batchId = `firmware-${new Date().toISOString().slice(0, 10)}`;
    await this.writer.write({ projectId, batchId, objects: events.map(toObject), ifExists: 'keep' }, note);
  }

  private async run(write: Write, read: (deviceId: string, body: JsonBody) => FirmwareEvent): Promise<Outcome> {
    const { projectId, params, receipt } = write;
    const event = read(params.device_id ?? '', jsonBodyOf(write));
    const outcome = { status: 201, text: JSON.stringify(eventDto(toObject(event).objectId, event)), items: 1 };
    await this.store(projectId, [event], receipt && ((tx) => receipt(tx, outcome)));
    return outcome;
  }
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

/** From the text of a body that was checked, for a double has not every digit. */
function timeIn(body: string): string {
  return utcOfTimestamp(memberText(body, skipSpace(body, 0), 'timestamp'));
}
