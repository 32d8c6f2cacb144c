/** How long one step of a series in time is. */
export type Bucket =
  /** So much time that passes, whatever the clocks on the wall do. */
  | { kind: 'span'; minutes: number }
  /** Days of the calendar, of 23 or 25 hours where the clocks change; weeks are seven of them, from Monday. */
  | { kind: 'days'; days: number }
  | { kind: 'month' };

export const BUCKET_RULE = 'must be a number and m, h, d or w, such as 15m, 1h, 1d, at most 366d, or else month';

const MINUTES_MAX = 366 * 24 * 60;

/** Null where the text is no bucket. */
export function parseBucket(text: string): Bucket | null {
  if (text === 'month') return { kind: 'month' };
  const [, digits = '', unit = ''] = /^([1-9]\d{0,6})([mhdw])$/.exec(text) ?? [];
  const count = Number(digits);
  const bucket = unit === '' ? null : bucketOf(count, unit);
  const minutes = bucket?.kind === 'days' ? bucket.days * 24 * 60 : bucket?.kind === 'span' ? bucket.minutes : 0;
  return minutes > MINUTES_MAX ? null : bucket;
}

function bucketOf(count: number, unit: string): Bucket {
  switch (unit) {
    case 'm':
      return { kind: 'span', minutes: count };
    case 'h':
      return { kind: 'span', minutes: count * 60 };
    case 'd':
      return { kind: 'days', days: count };
    default:
      return { kind: 'days', days: count * 7 };
  }
}

export const TIME_ZONE_RULE = 'must be the name of a time zone such as Europe/Lisbon, or UTC';

/**
 * Whether this names a time zone of the IANA database, by area and place. Abbreviations and offsets, which JavaScript takes
 * too, are refused: IST is three zones, and PostgreSQL reads +01:00 as an hour west.
 */
export function isTimeZone(text: string): boolean {
  if (!/^(?:UTC|[A-Za-z][\w+-]*(?:\/[A-Za-z][\w+-]*)+)$/.test(text)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}

/** The start of a bucket as it goes out. A bucket of the year 1 may start in the year 0, which RFC 3339 has. */
export function timeOfEpoch(seconds: string): string {
  return new Date(Number(seconds) * 1_000).toISOString().replace('.000Z', 'Z');
}
