import { memberText, skipSpace } from '#json';
import { jsonBody, pathParam, type WriteRequest, type WriteResponse } from '#jobs';
import { readBody } from '#http';
import { utcFromTimestamp } from '#platform';
import type { FeedInput } from '#feeds';
import { FirmwareReportDto, FirmwareUpdateDto } from './firmware.dto.js';
import { eventsToStore, toObject, type FirmwareEvent } from './firmware.js';

export interface EventInput extends FeedInput {
  event: FirmwareEvent;
}

/** Parses a report of the version that a device runs. @throws Problem malformed-request; invalid-body */
export function parseReport(request: WriteRequest): EventInput {
  const { dto, text } = readBody(FirmwareReportDto, jsonBody(request));
  return eventInput(request, text, { version: dto.version, status: null });
}

/** Parses the result of an update of a device. @throws Problem malformed-request; invalid-body */
export function parseUpdate(request: WriteRequest): EventInput {
  const { dto, text } = readBody(FirmwareUpdateDto, jsonBody(request));
  return eventInput(request, text, { version: dto.firmware, status: dto.status ?? null });
}

export function eventResponse({ event }: EventInput): WriteResponse {
  return { status: 201, text: JSON.stringify({ id: toObject(event).objectId, ...event }), items: 1 };
}

/** The event belongs to the project that the device was in when it sent it. */
function eventInput(
  request: WriteRequest,
  body: string,
  fields: Pick<FirmwareEvent, 'version' | 'status'>,
): EventInput {
  // From the text of the body: a double does not hold every digit.
  const timestamp = utcFromTimestamp(memberText(body, skipSpace(body, 0), 'timestamp'));
  const { version, status } = fields;
  const event = { device_id: pathParam(request, 'device_id'), version, timestamp, status };
  return { ...eventsToStore([event], request.receivedAtMicros), event };
}
