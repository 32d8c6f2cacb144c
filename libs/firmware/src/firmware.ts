import { dataOf, idOf, valueIn, type FeedObject, type ObjectRow } from '#warehouse';
import { parse } from 'semver';

/** What a device says of itself: the version that it runs, since when, and how it came to it. */
export interface FirmwareEvent {
  deviceId: string;
  version: string;
  /** RFC 3339 in UTC, always written in the same way. */
  time: string;
  status: string | null;
}

export const VERSION_LENGTH_MAX = 255;

/** The same event again has the same id, so that it is one event however often a device sends it. */
export function toObject({ deviceId, version, time, status }: FirmwareEvent): FeedObject {
  const pairs: [string, string][] = [['version', JSON.stringify(version)]];
  if (status !== null) pairs.push(['status', JSON.stringify(status)]);
  return {
    objectId: idOf('firmware', deviceId, version, time, status),
    subject: deviceId,
    observedAt: time,
    data: dataOf(pairs),
  };
}

/** The event that an object is, through whichever door it came; undefined for one whose values are no text. */
export function fromObject(row: Pick<ObjectRow, 'subject' | 'observed_at' | 'data'>): FirmwareEvent | undefined {
  const [version, status] = [valueIn(row.data, 'version'), valueIn(row.data, 'status')];
  if (row.subject === null || typeof version !== 'string') return undefined;
  if (status !== null && typeof status !== 'string') return undefined;
  return { deviceId: row.subject, version, time: row.observed_at, status };
}

/** Semantic Versioning 2.0.0 to the letter; the library alone would take white space around it and a leading v. */
export function isVersion(value: unknown): boolean {
  return (
    typeof value === 'string' && value.length <= VERSION_LENGTH_MAX && /^\d\S*$/.test(value) && parse(value) !== null
  );
}
