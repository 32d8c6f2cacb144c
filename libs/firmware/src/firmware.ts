import { batchOfDay, idOf, type FeedPlan } from '#feeds';
import { dataOf, valueIn, type NewObjectRow } from '#store';
import type { ObjectRow } from '#store';
import type { FirmwareEventDto } from './firmware.dto.js';

/** What a device says of itself: the version that it runs, since when (as PostgreSQL tells it), and how it came to it. */
export type FirmwareEvent = Omit<FirmwareEventDto, 'id'>;

/** The same event again has the same id, so that it is one event however often a device sends it. */
export function toObject({ device_id, version, timestamp, status }: FirmwareEvent): NewObjectRow {
  const pairs: [string, string][] = [['version', JSON.stringify(version)]];
  if (status !== null) pairs.push(['status', JSON.stringify(status)]);
  return {
    objectId: idOf('firmware', device_id, version, timestamp, status),
    subject: device_id,
    observedAt: timestamp,
    data: dataOf(pairs),
  };
}

/** The event that an object is, through whichever door it came; undefined for one whose values are no text. */
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

/** Stores events, those that are there already but once. */
export function storing(events: readonly FirmwareEvent[], receivedAtMicros: number): Omit<FeedPlan, 'outcome'> {
  return { batchId: batchOfDay('firmware', receivedAtMicros), objects: events.map(toObject), ifExists: 'keep' };
}
