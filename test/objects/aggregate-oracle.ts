/**
 * An oracle for aggregates: random objects and questions, and their results in exact arithmetic. A time is in the bucket whose
 * name its local date and clock give, computed without PostgreSQL.
 */
import { expect } from '@jest/globals';
import fc from 'fast-check';
import { OPS, type Aggregate, type Dimension, type Op } from '../../libs/analytics/src/aggregate.js';
import type { Bucket } from '../../libs/analytics/src/bucket.js';

/** A stored object; a value is JSON text with its exact spelling. */
export interface Known {
  data: { key: string; value: string }[];
  subject: string | null;
  observed_at: string;
}

/** Decimals are represented exactly, as integers in units of 10^-SCALE. */
const SCALE = 60;

function decimalOf(text: string): bigint {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? [];
  const units = BigInt(whole + fraction) * 10n ** BigInt(SCALE + Number(exponent) - fraction.length);
  return sign === '-' ? -units : units;
}

function textOf(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(SCALE + 1, '0');
  const fraction = digits.slice(-SCALE).replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${digits.slice(0, -SCALE)}${fraction === '' ? '' : `.${fraction}`}`;
}

function isNumber(json: string): boolean {
  return /^[-\d]/.test(json);
}

/** The canonical text of a JSON value. */
function normal(json: string): string {
  return isNumber(json) ? textOf(decimalOf(json)) : json;
}

/** The canonical texts of a scalar, or of the elements of a list of scalars without commas. */
function valuesIn(json: string): string[] {
  if (!json.startsWith('[')) return [normal(json)];
  return json
    .slice(1, -1)
    .split(',')
    .filter((element) => element !== '')
    .map(normal);
}

function compareJson(a: string, b: string): number {
  const kind = (json: string): number => (isNumber(json) ? 0 : json.startsWith('"') ? 1 : json === 'null' ? 3 : 2);
  if (kind(a) !== kind(b)) return kind(a) - kind(b);
  if (isNumber(a)) return decimalOf(a) < decimalOf(b) ? -1 : decimalOf(a) > decimalOf(b) ? 1 : 0;
  return Buffer.compare(Buffer.from(String(JSON.parse(a))), Buffer.from(String(JSON.parse(b))));
}

const DAY_MS = 86_400_000;
const QUARTER_MS = 900_000;
const ORIGIN_MS = Date.parse('2001-01-01T00:00:00Z');
const clocks = new Map<string, Intl.DateTimeFormat>();

/** The local date in a time zone, as midnight UTC. */
function dayOf(ms: number, zone: string): number {
  const [, sign = '', hours, minutes] = /^([-+])(\d\d):(\d\d)$/.exec(zone) ?? [];
  if (sign !== '') {
    const localMs = ms + Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes)) * 60_000;
    return Math.floor(localMs / DAY_MS) * DAY_MS;
  }
  const clock = clocks.get(zone) ?? new Intl.DateTimeFormat('en-CA', { timeZone: zone });
  clocks.set(zone, clock);
  return Date.parse(clock.format(ms));
}

/** Identifies the bucket that contains a time. */
function nameOfBucket(ms: number, bucket: Bucket, zone: string): string {
  const day = dayOf(ms, zone);
  if (bucket.kind === 'months') {
    const date = new Date(day);
    return `${String(date.getUTCFullYear())} ${String(Math.floor(date.getUTCMonth() / bucket.months))}`;
  }
  if (bucket.kind === 'days') return String(Math.floor((day - ORIGIN_MS) / DAY_MS / bucket.days));
  return String(
    Math.floor((ms - startOf(ORIGIN_MS + DAY_MS / 2, { kind: 'days', days: 1 }, zone)) / (bucket.minutes * 60_000)),
  );
}

/** The first moment of the bucket, found by stepping back: all buckets and clock changes begin at a multiple of the step. */
function startOf(ms: number, bucket: Bucket, zone: string): number {
  const step = bucket.kind === 'span' ? 60_000 : QUARTER_MS;
  let start = ms - (((ms % step) + step) % step);
  const name = nameOfBucket(ms, bucket, zone);
  for (const back of bucket.kind === 'months' ? [DAY_MS, step] : [step]) {
    while (nameOfBucket(start - back, bucket, zone) === name) start -= back;
  }
  return start;
}

function groupsOf(object: Known, dimension: Dimension | null): string[] {
  switch (dimension?.kind) {
    case undefined:
      return ['null'];
    case 'subject':
      return [JSON.stringify(object.subject)];
    case 'key':
      return [
        ...new Set(object.data.filter(({ key }) => key === dimension.key).flatMap(({ value }) => valuesIn(value))),
      ];
    case 'time':
      return [String(startOf(Date.parse(object.observed_at), dimension.bucket, dimension.timeZone) / 1_000)];
  }
}

function compute(op: Op, values: readonly bigint[]): bigint | null {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  /** Nearest rank: the smallest value that is not less than this percentage of the values. */
  const rank = (hundredths: number): bigint | null => sorted[Math.ceil((hundredths * sorted.length) / 100) - 1] ?? null;
  switch (op) {
    case 'count':
      return BigInt(values.length) * 10n ** BigInt(SCALE);
    case 'min':
      return sorted[0] ?? null;
    case 'max':
      return sorted.at(-1) ?? null;
    case 'p50':
      return rank(50);
    case 'p95':
      return rank(95);
    default: {
      const sum = values.length === 0 ? null : values.reduce((a, b) => a + b, 0n);
      return op === 'sum' || sum === null ? sum : sum / BigInt(values.length);
    }
  }
}

/** The groups of an aggregate with their values and counts, in the order of the response, in exact arithmetic. */
export function expectedOf(
  objects: readonly Known[],
  { op, key, by, series }: Aggregate,
): [string, string, bigint | null, number][] {
  const groups = new Map<string, bigint[]>();
  if (by === null) groups.set('["null","null"]', []);
  for (const object of objects) {
    const numbers = object.data.filter((pair) => pair.key === key && isNumber(pair.value));
    const values = key === null ? [0n] : numbers.map(({ value }) => decimalOf(value));
    if (values.length === 0) continue;
    for (const group of groupsOf(object, by)) {
      for (const line of groupsOf(object, series)) {
        const name = JSON.stringify([group, line]);
        groups.set(name, [...(groups.get(name) ?? []), ...values]);
      }
    }
  }
  return [...groups]
    .map(([name, values]): [string, string, bigint | null, number] => {
      const [group, line] = JSON.parse(name) as [string, string];
      return [group, line, compute(op, values), values.length];
    })
    .sort((a, b) => compareJson(a[0], b[0]) || compareJson(a[1], b[1]));
}

/** Compares the value of a group. An average is rounded to at least sixteen decimals; other values are exact. */
export function expectSame(op: Op, found: string | null, expected: bigint | null): void {
  if (op !== 'avg' || expected === null || found === null) {
    expect(found).toBe(expected === null ? null : textOf(expected));
    return;
  }
  const difference = decimalOf(found) - expected;
  expect(difference < 0n ? -difference : difference).toBeLessThanOrEqual(10n ** BigInt(SCALE - 16));
}

const NUMBERS = [
  '0',
  '-0.0',
  '1',
  '1.0',
  '1e0',
  '-7.25',
  '0.1',
  '0.20',
  '1e-20',
  '12345678901234567890',
  '12345678901234567890.5',
  '-9E25',
];
export const ROOMS = ['"a"', '"B"', '"é"', '""', '"1"', '1', '1.00', '10', '9.5', 'true', 'false', 'null'];
const LISTS = ['[]', '["a","B",1.0]', '["a","a"]'];
/** Times around clock changes in several zones, and far from them. */
const TIMES = [
  '2023-12-31T10:00:00Z',
  '2023-12-31T18:29:00Z',
  '2024-01-01T00:00:00Z',
  '2024-02-29T23:59:59.999999Z',
  '2024-03-10T04:59:00Z',
  '2024-03-10T05:00:00Z',
  '2024-03-30T23:59:59Z',
  '2024-03-31T00:59:00Z',
  '2024-03-31T01:00:00Z',
  '2024-03-31T22:59:00Z',
  '2024-03-31T23:00:00Z',
  '2024-04-06T14:29:00Z',
  '2024-04-06T15:10:00Z',
  '2024-10-26T22:59:00Z',
  '2024-10-27T00:30:00Z',
  '2024-10-27T01:30:00Z',
  '2024-10-27T23:59:59Z',
  '2024-11-03T04:00:00Z',
  '2024-11-03T04:30:00Z',
  '2024-11-03T05:30:00Z',
  '2024-11-04T04:59:00Z',
];
const ZONES = [
  'UTC',
  'Europe/Lisbon',
  'America/Havana',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  '-05:00',
  '+05:30',
  '+14:00',
];

const pair = fc.oneof(
  fc.record({
    key: fc.constantFrom('n', 'm'),
    value: fc.oneof(
      { arbitrary: fc.constantFrom(...NUMBERS), weight: 3 },
      {
        arbitrary: fc.tuple(fc.integer(), fc.nat()).map(([whole, part]) => `${String(whole)}.${String(part)}`),
        weight: 2,
      },
      fc.constantFrom('"5"', '"NaN"', 'true', 'null', '""', '[1,2.50]'),
    ),
  }),
  fc.record({ key: fc.constant('room'), value: fc.constantFrom(...ROOMS, ...LISTS) }),
);
export const objects = fc.array(
  fc.record<Known>({
    data: fc.array(pair, { maxLength: 6 }),
    subject: fc.constantFrom('s', 'S', 'ß', '10', null),
    observed_at: fc.constantFrom(...TIMES),
  }),
  { maxLength: 30 },
);
const bucket: fc.Arbitrary<Bucket> = fc.oneof(
  fc.record({ kind: fc.constant('span' as const), minutes: fc.constantFrom(1, 15, 60, 180, 1_440) }),
  fc.record({ kind: fc.constant('days' as const), days: fc.constantFrom(1, 3, 7, 14) }),
  fc.record({ kind: fc.constant('months' as const), months: fc.constantFrom(1, 2, 3, 4, 6, 12) }),
);
const named = fc.oneof(
  fc.constant<Dimension>({ kind: 'subject' }),
  fc.record({ kind: fc.constant('key' as const), key: fc.constantFrom('room', 'n', 'none') }),
);
const time = fc.record({ kind: fc.constant('time' as const), bucket, timeZone: fc.constantFrom(...ZONES) });
export const question: fc.Arbitrary<Aggregate> = fc
  .record({
    op: fc.constantFrom(...OPS),
    key: fc.constantFrom('n', 'm', 'none'),
    isOfObjects: fc.boolean(),
    by: fc.oneof(fc.constant(null), named, time),
    series: fc.oneof(fc.constant(null), named),
  })
  .map(({ op, key, isOfObjects, by, series }) => ({
    op,
    key: op === 'count' && isOfObjects ? null : key,
    by,
    series: by === null ? null : series,
  }));
