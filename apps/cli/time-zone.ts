import { UsageError } from './usage-error.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const FIXED = /^([+-])(\d\d):(\d\d)$/;
/** Offsets that are remembered; those of a year of hours. */
const REMEMBERED_MAX = 10_000;

/** Converts local times of a zone to UTC. */
export class TimeZone {
  private readonly format: Intl.DateTimeFormat | undefined;
  /** Of a zone that is an offset. */
  private readonly fixedMs: number = 0;
  /** The offset of the zone in milliseconds, by the hour in UTC. */
  private readonly offsets = new Map<number, number>();

  /** @param name such as Europe/Berlin, UTC or +02:00 @throws UsageError */
  constructor(name: string) {
    const [, sign, hours, minutes] = FIXED.exec(name) ?? [];
    if (sign !== undefined) {
      this.fixedMs = Number(`${sign}1`) * (Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS);
      return;
    }
    try {
      this.format = new Intl.DateTimeFormat('en', {
        timeZone: name,
        hourCycle: 'h23',
        era: 'short',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
    } catch {
      throw new UsageError(`--time-zone must be a time zone such as Europe/Berlin or +02:00; got "${name}"`);
    }
  }

  /**
   * As a calendar does: a time that clocks show twice, when they are set back, is the first one; one that they skip is that much later.
   * @param local such as 2026-10-25T02:30:00 @returns the same form, in UTC
   */
  toUtc(local: string): string {
    const ms = Date.parse(`${local}Z`);
    const before = this.offsetAt(ms - DAY_MS);
    const after = this.offsetAt(ms + DAY_MS);
    const isOnlyAfter = this.offsetAt(ms - before) !== before && this.offsetAt(ms - after) === after;
    return new Date(ms - (isOnlyAfter ? after : before)).toISOString().slice(0, 19);
  }

  /** Zones change their offsets at quarters of an hour, if not at full hours. */
  private offsetAt(utcMs: number): number {
    const { format } = this;
    if (format === undefined) return this.fixedMs;
    const quarter = Math.floor(utcMs / (HOUR_MS / 4));
    let offset = this.offsets.get(quarter);
    if (offset === undefined) {
      if (this.offsets.size >= REMEMBERED_MAX) this.offsets.clear();
      offset = offsetOf(format, quarter * (HOUR_MS / 4));
      this.offsets.set(quarter, offset);
    }
    return offset;
  }
}

function offsetOf(format: Intl.DateTimeFormat, utcMs: number): number {
  const parts = new Map(format.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]));
  const get = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  // `Date.UTC` takes the years 0 to 99 for those of the 20th century.
  const local = new Date(Date.UTC(2000, 0, 1, get('hour'), get('minute'), get('second')));
  const localMs = local.setUTCFullYear(get('year'), get('month') - 1, get('day'));
  return Math.round((localMs - utcMs) / MINUTE_MS) * MINUTE_MS;
}
