import { memberText, skipSpace } from '#json';
import { jsonBody, pathParam, type WriteRequest } from '#jobs';
import { readBody } from '#http';
import { utcFromTimestamp } from '#platform';
import type { FeedPlan } from '#feeds';
import { FirmwareReportDto, FirmwareUpdateDto } from './firmware.dto.js';
import { eventsPlan, toObject, type FirmwareEvent } from './firmware.js';

/** Plans a report of the version that a device runs. @throws Problem malformed-request; invalid-body */
export function planReport(write: WriteRequest): FeedPlan {
  const { dto, text } = readBody(FirmwareReportDto, jsonBody(write));
  return planEvent(write, text, { version: dto.version, status: null });
}

/** Plans the result of an update of a device. @throws Problem malformed-request; invalid-body */
export function planUpdate(write: WriteRequest): FeedPlan {
  const { dto, text } = readBody(FirmwareUpdateDto, jsonBody(write));
  return planEvent(write, text, { version: dto.firmware, status: dto.status ?? null });
}

/** The event belongs to the project that the device was in when it sent it. */
function planEvent(write: WriteRequest, body: string, fields: Pick<FirmwareEvent, 'version' | 'status'>): FeedPlan {
  // From the text of the body: a double does not hold every digit.
  const timestamp = utcFromTimestamp(memberText(body, skipSpace(body, 0), 'timestamp'));
  const event = { device_id: pathParam(write, 'device_id'), version: fields.version, timestamp, status: fields.status };
  const text = JSON.stringify({ id: toObject(event).objectId, ...event });
  return { ...eventsPlan([event], write.receivedAtMicros), respond: () => ({ status: 201, text, items: 1 }) };
}
