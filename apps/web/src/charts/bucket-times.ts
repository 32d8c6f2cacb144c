const UNITS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  mo: 30 * 86_400_000,
  y: 365 * 86_400_000,
};
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** The usual length of a bucket, and the greatest: months differ, and so do days on which the clocks change. */
export function bucketLengths(bucket: string): { usualMs: number; maxMs: number } {
  const [, number = '1', unit = 'd'] = /^(\d+)([a-z]+)$/.exec(bucket) ?? [];
  const usualMs = Number(number) * (UNITS[unit] ?? DAY_MS);
  const extraMs = { m: 0, h: 0, d: HOUR_MS, w: HOUR_MS }[unit] ?? 2 * DAY_MS * Number(number) + HOUR_MS;
  return { usualMs, maxMs: usualMs + extraMs };
}

/** The start of a bucket as its time zone writes it, as exact as the bucket: `2024-12-10 09:00`, `2024-12-10`, `2024-12`. */
export function bucketText(start: string, bucket: string, timeZone: string): string {
  const unit = /[a-z]+$/.exec(bucket)?.[0];
  const text = timeFormat(timeZone).format(new Date(start));
  if (unit === 'y') return text.slice(0, 4);
  if (unit === 'mo') return text.slice(0, 7);
  return unit === 'd' || unit === 'w' ? text.slice(0, 10) : text;
}

/** Whether the browser knows the zone; the server knows some more. */
export function isKnownZone(timeZone: string): boolean {
  try {
    timeFormat(timeZone);
    return true;
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** @throws RangeError for a time zone that the browser does not know */
function timeFormat(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  // Sweden writes times as ISO 8601 does.
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  formats.set(timeZone, format);
  return format;
}
