import { createHash } from 'node:crypto';
import { findMember } from '#json';
import { isTime } from '#platform';
import { dataOf, pairsOf, type FeedObject, type ObjectRow } from '#warehouse';
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
/** The last whole second of the year 9999. */
export const EPOCH_SECONDS_MAX = 253_402_300_799;

/** The same event again has the same id, so that it is one event however often a device sends it. */
export function toObject({ deviceId, version, time, status }: FirmwareEvent): FeedObject {
  const identity = JSON.stringify([deviceId, version, time, status]);
  const pairs: [string, string][] = [['version', JSON.stringify(version)]];
  if (status !== null) pairs.push(['status', JSON.stringify(status)]);
  return {
    objectId: `firmware-${createHash('sha256').update(identity).digest('base64url').slice(0, 32)}`,
    subject: deviceId,
    observedAt: time,
    data: dataOf(pairs),
  };
}

/** The event that an object is, through whichever door it came; undefined for one whose values are no text. */
export function fromObject(row: Pick<ObjectRow, 'subject' | 'observed_at' | 'data'>): FirmwareEvent | undefined {
  const pairs = pairsOf(row.data);
  const valueOf = (name: string): unknown => JSON.parse(pairs.find(({ key }) => key === name)?.valueText ?? 'null');
  const [version, status] = [valueOf('version'), valueOf('status')];
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

/** Seconds since 1970, or RFC 3339. */
export function isTimestamp(value: unknown): boolean {
  return typeof value === 'number' ? value >= 0 && value <= EPOCH_SECONDS_MAX : isTime(value);
}

/** The time in the member `timestamp` of a body that was checked: from its text, for a double has not every digit. */
export function timeIn(body: string): string {
  const { start, end } = findMember(body, body.indexOf('{'), 'timestamp').value ?? { start: 0, end: 0 };
  const text = body.slice(start, end);
  return text.startsWith('"') ? timeOfText(JSON.parse(text) as string) : timeOfSeconds(text);
}

function timeOfText(text: string): string {
  const [, second = '', fraction = '', zone = ''] = /^(.{19})(?:\.(\d+))?(.*)$/.exec(text.toUpperCase()) ?? [];
  return write(Date.parse(second + (zone || 'Z')), fraction);
}

/** To the nearest microsecond: what a clock's double has beyond it is noise, and PostgreSQL keeps no more. */
function timeOfSeconds(number: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  const digits = BigInt(whole + fraction);
  const shift = digits === 0n ? 0 : Number(exponent) - fraction.length + 6;
  const divisor = 10n ** BigInt(Math.max(-shift, 0));
  const micros = (digits * 10n ** BigInt(Math.max(shift, 0)) + divisor / 2n) / divisor;
  return write(Number(micros / 1_000_000n) * 1_000, (micros % 1_000_000n).toString().padStart(6, '0'));
}

/** As the database tells a time. */
function write(epochMs: number, fraction: string): string {
  const digits = fraction.replace(/0+$/, '');
  return `${new Date(epochMs).toISOString().slice(0, 19)}${digits === '' ? '' : `.${digits}`}Z`;
}
