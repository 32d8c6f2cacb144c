import { EPOCH_SECONDS_MAX, FIRST_MICROS, isTime, utcFromMicros } from '#platform';
import type { TimeZone } from './time-zone.js';
import { UsageError } from './usage-error.js';

/** Epoch formats, with the number of decimal places that turn them into microseconds. */
const EPOCHS: Readonly<Record<string, number>> = { s: 6, ms: 3, us: 0, ns: -3 };
const LAST_MICROS = BigInt(EPOCH_SECONDS_MAX) * 1_000_000n + 999_999n;
const NUMBER = /^(-?\d{1,20})(?:\.(\d{1,20}))?$/;
const ISO =
  /^(?<yyyy>\d{4})-(?<MM>\d\d)-(?<dd>\d\d)(?:[T ](?<HH>\d\d):(?<mm>\d\d)(?::(?<ss>\d\d)(?:[.,](?<S>\d{1,9}))?)?)? ?(?<X>Z|[+-]\d\d(?::?\d\d)?)?$/;

/** A time that begins with the day, or the month. */
const DAY_FIRST = /^\d{1,2}([./-])\d{1,2}\1(\d{4}|\d\d)(?:([ T,]+)\d{1,2}:\d\d(:\d\d)?( ?[AP]M)?)?$/i;

/** The parts of a pattern: each letter is one digit or two, a repeated letter that many digits. */
const TOKEN = /yyyy|yy|MM?|dd?|HH?|hh?|mm?|ss?|S+|a|X|'[^']*'|./gs;
const TOKENS: Readonly<Record<string, string>> = {
  yyyy: '\\d{4}',
  yy: '\\d\\d',
  a: '[AaPp][Mm]',
  X: 'Z|[+-]\\d\\d(?::?\\d\\d)?',
};
const DATE_PARTS = ['y', 'M', 'd'];

type Parts = Partial<Record<string, string>>;

/** Reads times of one format as RFC 3339 in UTC. */
export class TimeFormat {
  private readonly read: (text: string) => string | null;

  /**
   * @param format `iso`, `s`, `ms`, `us`, `ns` since 1970, or a pattern such as `dd.MM.yyyy HH:mm`; undefined for RFC 3339
   * @param zone of times without one
   * @throws UsageError
   */
  constructor(
    private readonly format: string | undefined,
    zone: TimeZone,
  ) {
    const places = format === undefined ? undefined : EPOCHS[format === 'µs' ? 'us' : format];
    if (format === undefined) this.read = (text) => (isTime(text) ? withZone(text, zone) : null);
    else if (places !== undefined) this.read = (text) => fromEpoch(text, places);
    else {
      const pattern = format === 'iso' ? ISO : patternOf(format);
      this.read = (text) => fromParts(pattern.exec(text)?.groups, zone);
    }
  }

  /** @returns null for a text that is no such time */
  toUtc(text: string): string | null {
    const time = this.read(text);
    return time !== null && isTime(time) ? time : null;
  }

  /** What is wrong with a text that is no such time, and what to do. */
  detailOf(text: string): string {
    const shown = JSON.stringify(text.slice(0, 40));
    if (this.format !== undefined) return `${shown} is no time of the format ${this.format} (--time-format)`;
    return `${shown} is no time in RFC 3339; name its format, for example --time-format ${exampleFor(text)}`;
  }
}

/** @param time that `isTime` accepts */
function withZone(time: string, zone: TimeZone): string | null {
  return /(?:[Zz]|[+-]\d\d:\d\d)$/.test(time) ? time : fromParts(ISO.exec(time.toUpperCase())?.groups, zone);
}

function fromEpoch(text: string, places: number): string | null {
  const [, whole, fraction = ''] = NUMBER.exec(text) ?? [];
  if (whole === undefined) return null;
  // Digits below a microsecond are cut off: PostgreSQL has none.
  const digits = whole + fraction.padEnd(20, '0');
  const micros = BigInt(digits.slice(0, digits.length - 20 + places) || '0');
  return micros < FIRST_MICROS || micros > LAST_MICROS ? null : utcFromMicros(micros);
}

/** @throws UsageError for a pattern without a date */
function patternOf(format: string): RegExp {
  const seen = new Set<string>();
  const source = Array.from(format.matchAll(TOKEN), ([token]) => {
    const letter = token.charAt(0);
    const isPart = /^[yMdHhmsSaX]/.test(token);
    if (!isPart) return escaped(token.startsWith("'") && token.length > 1 ? token.slice(1, -1) : token);
    const name = letter === 'S' ? 'S' : token;
    if (seen.has(letter)) throw new UsageError(`--time-format "${format}" has "${letter}" twice`);
    seen.add(letter);
    const digits = letter === 'S' ? '\\d{1,9}' : (TOKENS[token] ?? (token.length === 1 ? '\\d{1,2}' : '\\d\\d'));
    return `(?<${name}>${digits})`;
  }).join('');
  if (!DATE_PARTS.every((part) => seen.has(part))) {
    const known = 'iso, s, ms, us, ns, or a pattern with yyyy, MM, dd, HH, mm, ss, SSS, such as "dd.MM.yyyy HH:mm"';
    throw new UsageError(`--time-format must be ${known}; got "${format}"`);
  }
  return new RegExp(`^${source}$`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function fromParts(parts: Parts | undefined, zone: TimeZone): string | null {
  if (parts === undefined) return null;
  const get = (...names: string[]): string =>
    names.map((name) => parts[name]).find((text) => text !== undefined) ?? '0';
  const year = parts.yyyy ?? yearOf(get('yy'));
  const hour = hourOf(parts, get);
  const date = [year, get('MM', 'M').padStart(2, '0'), get('dd', 'd').padStart(2, '0')].join('-');
  const clock = [hour, get('mm', 'm'), get('ss', 's')].map((text) => text.padStart(2, '0')).join(':');
  const local = `${date}T${clock}`;
  if (!isTime(local)) return null;
  const fraction = (parts.S ?? '').slice(0, 6);
  const offset = parts.X;
  const utc = offset === undefined ? zone.toUtc(local) : inUtc(local, offset);
  return utc === null ? null : `${utc}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** The year of two digits, as in POSIX: 69 is 1969, and 68 is 2068. */
function yearOf(digits: string): string {
  return `${digits >= '69' ? '19' : '20'}${digits}`;
}

function hourOf(parts: Parts, get: (...names: string[]) => string): string {
  const hour = get('HH', 'H', 'hh', 'h');
  if (parts.a === undefined) return hour;
  const isAfternoon = parts.a.toLowerCase() === 'pm';
  return String((Number(hour) % 12) + (isAfternoon ? 12 : 0));
}

/** @param offset `Z`, `+02`, `+0200` or `+02:00` */
function inUtc(local: string, offset: string): string | null {
  const [, sign = '+', hours = '00', minutes = '00'] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) ?? [];
  const time = `${local}${sign}${hours}:${minutes}`;
  return isTime(time) ? new Date(time).toISOString().slice(0, 19) : null;
}

/** The format that a text probably has, as an example. */
function exampleFor(text: string): string {
  if (/^\d+(?:\.\d+)?$/.test(text)) {
    const length = text.split('.')[0]?.length ?? 0;
    return length <= 11 ? 's' : length <= 14 ? 'ms' : length <= 17 ? 'us' : 'ns';
  }
  if (ISO.test(text)) return 'iso';
  const [, separator = '.', year = '2000', space = ' ', seconds, half] = DAY_FIRST.exec(text) ?? [];
  const date = ['dd', 'MM', 'y'.repeat(year.length)].join(separator);
  return `'${date}${space}${half === undefined ? 'HH' : 'h'}:mm${seconds === undefined ? '' : ':ss'}${half ?? ''}'`.replace(
    /[AP]M/i,
    'a',
  );
}
