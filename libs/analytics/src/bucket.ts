/** The length of a time bucket. */
export type Bucket =
  /** Elapsed time, independent of changes between standard and daylight time. */
  | { kind: 'span'; minutes: number }
  /** Calendar days, which have 23 or 25 hours when the clocks change. A week is seven days from Monday. */
  | { kind: 'days'; days: number }
  /** Calendar months, counted from January: a number that divides a year. */
  | { kind: 'months'; months: number };

export const BUCKET_RULE =
  'must be a number and m, h, d or w, such as 15m, 1h or 1d, at most 366d, or else 1mo, 2mo, 3mo, 4mo, 6mo or 1y';

const MINUTES_MAX = 366 * 24 * 60;
const MONTHS = new Map([
  ['1mo', 1],
  ['2mo', 2],
  ['3mo', 3],
  ['4mo', 4],
  ['6mo', 6],
  ['1y', 12],
]);

/** Null for text that is not a bucket. */
export function parseBucket(text: string): Bucket | null {
  const months = MONTHS.get(text);
  if (months !== undefined) return { kind: 'months', months };
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

export const TIME_ZONE_RULE =
  'must be the name of a time zone such as Europe/Lisbon, UTC, or an offset such as -05:00 or +05:30 (%2B05:30 in a URL)';

/** Whether a time zone is a fixed offset from UTC, positive east of Greenwich, of at most 14:59 as in times. */
export function isOffset(timeZone: string): boolean {
  return /^[+-](?:0\d|1[0-4]):[0-5]\d$/.test(timeZone);
}

/**
 * True for fixed offsets, names of the IANA time zone database such as Europe/Lisbon, and UTC. False for abbreviations, which
 * JavaScript accepts too: IST means three zones.
 */
export function isTimeZone(text: string): boolean {
  if (isOffset(text)) return true;
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
