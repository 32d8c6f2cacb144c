/** The length of a time bucket. */
export type Bucket =
  /** Elapsed time, independent of changes between standard and daylight time. */
  | { kind: 'span'; minutes: number }
  /** Calendar days, which have 23 or 25 hours when the clocks change. A week is seven days from Monday. */
  | { kind: 'days'; days: number }
  | { kind: 'month' };

export const BUCKET_RULE = 'must be a number and m, h, d or w, such as 15m, 1h, 1d, at most 366d, or else month';

const MINUTES_MAX = 366 * 24 * 60;

/** Null for text that is not a bucket. */
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
 * True for names of the IANA time zone database such as Europe/Lisbon, and UTC. False for abbreviations and offsets, which
 * JavaScript accepts too: IST means three zones, and PostgreSQL reads +01:00 as one hour west of UTC.
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

/** The start of a bucket in RFC 3339. A bucket of the year 1 may start in the year 0, which RFC 3339 allows. */
export function timeOfEpoch(seconds: string): string {
  return new Date(Number(seconds) * 1_000).toISOString().replace('.000Z', 'Z');
}
