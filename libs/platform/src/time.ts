import { parseNumber } from '#json';

const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.\d{1,6}0{0,20})?([Zz]|[+-](?:0\d|1[0-4]):[0-5]\d)?$/;

const DATE_LENGTH = '2024-12-10'.length;
const YEAR_1_MS = Date.parse('0001-01-01T00:00:00Z');
const YEAR_10000_MS = 253_402_300_800_000;
/** The first time that `isTime` accepts, in microseconds since 1970. */
export const FIRST_MICROS = BigInt(YEAR_1_MS) * 1_000n;

/**
 * Whether a value is a time that PostgreSQL stores exactly: RFC 3339, UTC where the zone is missing, an existing date, years
 * 1 to 9999 in UTC, an offset of at most 14:59, no leap second, at most microseconds.
 */
export function isTime(text: unknown): text is string {
  if (typeof text !== 'string') return false;
  const match = RFC_3339.exec(text);
  if (match === null) return false;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', zone = 'Z'] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  // Date.parse turns 30 February into 1 March.
  const lastDay = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  // PostgreSQL has no year 0, not even for the hours that are in the year 1 in UTC.
  return Number(day) <= lastDay && year !== '0000' && ms >= YEAR_1_MS && ms < YEAR_10000_MS;
}

/** A time that `isTime` accepts, as PostgreSQL returns it: in UTC, a fraction without trailing zeros. */
export function toUtc(time: string): string {
  const [, local = '', fraction = '', zone = 'Z'] = /^(.{19})(?:\.(\d*?)0*)?([Zz]|[+-].{5})?$/.exec(time) ?? [];
  const sent = `${local}${zone}`.toUpperCase();
  const seconds = sent.endsWith('Z') ? sent.slice(0, 19) : new Date(sent).toISOString().slice(0, 19);
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** Whether a value is a time that `isTime` accepts, or a date. */
export function isTimeOrDate(text: unknown): text is string {
  return isTime(text) || (typeof text === 'string' && isTime(`${text}T00:00:00`));
}

/** Microseconds since 1970 of a time, or of the midnight in UTC of a date, that `isTimeOrDate` accepts. */
export function microsOf(time: string): bigint {
  const utc = toUtc(time.length === DATE_LENGTH ? `${time}T00:00:00` : time);
  const fraction = utc.slice(20, -1).padEnd(6, '0');
  return BigInt(Date.parse(`${utc.slice(0, 19)}Z`)) * 1_000n + BigInt(fraction);
}

/** Microseconds since 1970, which may be before it, in the same form. */
export function utcFromMicros(value: number | bigint): string {
  const micros = BigInt(value);
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = (micros - fraction) / 1_000_000n;
  const time = new Date(Number(seconds) * 1_000).toISOString().slice(0, 19);
  return toUtc(`${time}.${fraction.toString().padStart(6, '0')}`);
}

/**
 * Seconds since 1970 in the same form, rounded to the microsecond that PostgreSQL keeps.
 * @param number the text of a JSON number that is not negative; a double would lose digits
 */
function utcOfSeconds(number: string): string {
  const parts = parseNumber(number);
  if (parts === null) throw new Error('not a JSON number');
  const { whole, fraction, exponent } = parts;
  const digits = BigInt(whole + fraction);
  const shift = digits === 0n ? 0 : exponent - fraction.length + 6;
  const divisor = 10n ** BigInt(Math.max(-shift, 0));
  return utcFromMicros((digits * 10n ** BigInt(Math.max(shift, 0)) + divisor / 2n) / divisor);
}

/** The last second of the year 9999, in seconds since 1970. */
export const EPOCH_SECONDS_MAX = YEAR_10000_MS / 1_000 - 1;

/** Whether a value is seconds since 1970 or a time that `isTime` accepts. */
export function isTimestamp(value: unknown): boolean {
  return typeof value === 'number' ? value >= 0 && value <= EPOCH_SECONDS_MAX : isTime(value);
}

/** The JSON text of a timestamp in the form of `toUtc`. */
export function utcFromTimestamp(text: string): string {
  return text.startsWith('"') ? toUtc(JSON.parse(text) as string) : utcOfSeconds(text);
}
