import { Injectable } from '@nestjs/common';

/**
 * The server's time in microseconds since 1970, never the same twice: readings of one room that come in one millisecond
 * without a time of their own are two, and an average asked for afterwards has both.
 */
@Injectable()
export class Clock {
  private last = 0;

  /** The first of so many times, a microsecond apart. */
  next(count = 1): number {
    const first = Math.max(Date.now() * 1_000, this.last + 1);
    this.last = first + count - 1;
    return first;
  }
}

/** As PostgreSQL tells it, see `utcOf`. */
export function timeOfMicros(micros: number): string {
  const time = new Date(Math.floor(micros / 1_000)).toISOString().slice(0, -1);
  return utcOf(`${time}${String(micros % 1_000).padStart(3, '0')}`);
}

/** A time that was checked, as PostgreSQL tells it: in UTC, a fraction without zeros at its end. */
export function utcOf(time: string): string {
  const [, local = '', fraction = '', zone = 'Z'] = /^(.{19})(?:\.(\d*?)0*)?([Zz]|[+-].{5})?$/.exec(time) ?? [];
  const sent = `${local}${zone}`.toUpperCase();
  const seconds = sent.endsWith('Z') ? sent.slice(0, 19) : new Date(sent).toISOString().slice(0, 19);
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`;
}
