const RFC_3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.\d{1,6}0{0,20})?([Zz]|[+-](?:0\d|1[0-4]):[0-5]\d)?$/;

const YEAR_1_MS = Date.parse('0001-01-01T00:00:00Z');
const YEAR_10000_MS = 253_402_300_800_000;

/**
 * Whether a text is a time that is stored as it is: RFC 3339, the zone left out for UTC, a date that exists, years 1 to
 * 9999 in UTC, no leap second, nothing finer than PostgreSQL's microsecond.
 */
export function isTime(text: unknown): text is string {
  if (typeof text !== 'string') return false;
  const match = RFC_3339.exec(text);
  if (match === null) return false;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', zone = 'Z'] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  // Date.parse turns 30 February into 1 March.
  const lastDay = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  // PostgreSQL knows no year 0, also where its last hours are in the year 1 in UTC.
  return Number(day) <= lastDay && year !== '0000' && ms >= YEAR_1_MS && ms < YEAR_10000_MS;
}
