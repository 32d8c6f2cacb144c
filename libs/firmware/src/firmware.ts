import { dailyBatchId, contentId, type FeedInput } from '#feeds';
import { dataOf, type NewObjectRow, type ObjectRow, valueIn } from '#store';
import type { FirmwareEventDto } from './firmware.dto.js';

/** The version that a device runs, the time since which it runs it (RFC 3339 in UTC), and the status of the update. */
export type FirmwareEvent = Omit<FirmwareEventDto, 'id'>;

export const FIRMWARE_KEYS = ['version', 'status'] as const;

/** The id is derived from the event, so that an event is stored once however often a device sends it. */
export function toObject({ device_id, version, timestamp, status }: FirmwareEvent): NewObjectRow {
  const pairs: [string, string][] = [['version', JSON.stringify(version)]];
  if (status !== null) pairs.push(['status', JSON.stringify(status)]);
  return {
    objectId: contentId('firmware', device_id, version, timestamp, status),
    subject: device_id,
    observedAt: timestamp,
    data: dataOf(pairs),
  };
}

/** The event that an object stores; undefined for an object of another shape, which another route may have stored. */
export function fromObject({
  object_id,
  subject,
  observed_at,
  data,
}: Omit<ObjectRow, 'seq' | 'batch_id'>): FirmwareEventDto | undefined {
  const [version, status] = [valueIn(data, 'version'), valueIn(data, 'status')];
  if (subject === null || typeof version !== 'string') return undefined;
  if (status !== null && typeof status !== 'string') return undefined;
  return { id: object_id, device_id: subject, version, timestamp: observed_at, status };
}

/** The objects that store events, in the batch of the day; existing events are kept. */
export function eventsToStore(events: readonly FirmwareEvent[], receivedAtMicros: number): FeedInput {
  return { batchId: dailyBatchId('firmware', receivedAtMicros), objects: events.map(toObject), ifExists: 'keep' };
}
