import { memberText, skipSpace } from '#json';
import { jsonBody, pathParam, type WriteRequest } from '#jobs';
import { readBody } from '#http';
import { utcFromTimestamp } from '#platform';
import type { FeedPlan } from '#feeds';
import { FirmwareReportDto, FirmwareUpdateDto } from './firmware.dto.js';
import { storing, toObject, type FirmwareEvent } from './firmware.js';

/** What a device runs. @throws Problem malformed-request; invalid-body */
export function report(write: WriteRequest): FeedPlan {
  const { dto, text } = readBody(FirmwareReportDto, jsonBody(write));
  return toStore(write, text, { version: dto.version, status: null });
}

/** What became of an update of a device. @throws Problem malformed-request; invalid-body */
export function update(write: WriteRequest): FeedPlan {
  const { dto, text } = readBody(FirmwareUpdateDto, jsonBody(write));
  return toStore(write, text, { version: dto.firmware, status: dto.status ?? null });
}

/** In the project that the device was in when it sent it. */
function toStore(write: WriteRequest, body: string, said: Pick<FirmwareEvent, 'version' | 'status'>): FeedPlan {
  // From the text of a body that was checked, for a double has not every digit.
  const timestamp = utcFromTimestamp(memberText(body, skipSpace(body, 0), 'timestamp'));
  const event = { device_id: pathParam(write, 'device_id'), version: said.version, timestamp, status: said.status };
  const text = JSON.stringify({ id: toObject(event).objectId, ...event });
  return { ...storing([event], write.receivedAtMicros), outcome: () => ({ status: 201, text, items: 1 }) };
}
