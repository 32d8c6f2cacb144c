import { parseFilter, type Filter, type FilterParameters } from '#filter';
import { Config } from '#platform';
import { Problem } from '#http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { OPS, type Aggregate, type Computed, type Dimension, type Op } from './aggregate.js';
import { aggregateSql } from './aggregate-sql.js';
import { AggregateService } from './aggregate.service.js';
import { AggregateStore } from './aggregate.store.js';
import type { Bucket } from './bucket.js';
import { RollupRefresher } from './rollup-refresher.js';
import { RollupStore } from './rollup.store.js';

/** A stored object; a value is JSON text with its exact spelling. */
interface Known {
  data: { key: string; value: string }[];
  subject: string | null;
  observed_at: string;
}

let db: TestDatabase;
let aggregates: AggregateService;
let projects = 0;

beforeAll(async () => {
  db = await cloneDatabase();
  const rollups = new RollupStore(db.database);
  aggregates = new AggregateService(
    new AggregateStore(db.database),
    rollups,
    new RollupRefresher(rollups),
    new Config({}),
  );
});
afterAll(() => db.close());

/** The single result over all objects that match a filter. */
async function totalOf(projectId: number, filter: Filter, op: Op, key: string): Promise<Computed> {
  const [row] = await aggregates.compute(projectId, filter, { op, key, by: null, series: null });
  if (row === undefined) throw new Error('an aggregate without groups returned no row');
  return { value: row.value, count: row.count };
}

async function projectOf(objects: readonly Known[]): Promise<number> {
  const list = objects.map(({ data, subject, observed_at }) => {
    const pairs = data.map(({ key, value }) => `{"key":${JSON.stringify(key)},"value":${value}}`);
    return `{"subject":${JSON.stringify(subject)},"observed_at":"${observed_at}","data":[${pairs.join()}]}`;
  });
  const text = `
    INSERT INTO objects (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
    SELECT $1::int, 'b', n::text, n, o->>'subject', (o->>'observed_at')::timestamptz, o->'data', 0
    FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY AS list (o, n)`;
  await db.sql(text, [++projects, `[${list.join()}]`]);
  return projects;
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

function expectedOf(
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

/** An average is rounded to at least sixteen decimals; other results are exact. */
function expectSame(op: Op, found: string | null, expected: bigint | null): void {
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
const ROOMS = ['"a"', '"B"', '"é"', '""', '"1"', '1', '1.00', '10', '9.5', 'true', 'false', 'null'];
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
const objects = fc.array(
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
const question: fc.Arbitrary<Aggregate> = fc
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

describe('an aggregate', () => {
  it('equals the result of an oracle with exact arithmetic, for any objects and groups', async () => {
    await fc.assert(
      fc.asyncProperty(objects, fc.array(question, { minLength: 8, maxLength: 8 }), async (known, questions) => {
        const projectId = await projectOf(known);
        for (const asked of questions) {
          const rows = await aggregates.compute(projectId, parseFilter({}), asked);
          const expected = expectedOf(known, asked);
          const isTime = asked.by?.kind === 'time';
          const found = rows.map(({ by, series, count }) => [isTime ? String(Number(by)) : by, series, count]);
          expect(found).toEqual(expected.map(([group, line, , count]) => [group, line, count]));
          expected.forEach(([, , value], i) => {
            expectSame(asked.op, rows[i]?.value ?? null, value);
          });
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each<[string, FilterParameters, number]>([
    ['of a subject', { subject: 's' }, 24],
    ['of a batch', { batch_id: 'b' }, 48],
    ['of a pair', { data: '{"room":"a"}' }, 4],
    ['of either pair, where 1.00 equals 1', { data: '{"room":"a","room":1}', match: 'any' }, 12],
  ])('without groups, %s, returns one result', async (_, parameters, count) => {
    const known: Known[] = ['s', null].flatMap((subject) =>
      ROOMS.map((room) => ({
        data: [
          { key: 'room', value: room },
          { key: 'n', value: '0.1' },
          { key: 'n', value: '0.2' },
        ],
        subject,
        observed_at: '2024-01-01T00:00:00Z',
      })),
    );
    const projectId = await projectOf(known);
    const filter = parseFilter(parameters);
    expect(await totalOf(projectId, filter, 'avg', 'n')).toEqual({ value: '0.15', count });
    expect(await totalOf(projectId, filter, 'max', 'none')).toEqual({ value: null, count: 0 });
    expect(await totalOf(projectId + 1, filter, 'sum', 'n')).toEqual({ value: null, count: 0 });
  });

  it('keeps the decimals of an average of numbers beyond the precision of a double', async () => {
    const numbers = ['12345678901234567890', '12345678901234567891'];
    const data = numbers.map((value) => ({ key: 'n', value }));
    const projectId = await projectOf([{ data, subject: null, observed_at: '2024-01-01T00:00:00Z' }]);
    expect(await totalOf(projectId, parseFilter({}), 'avg', 'n')).toEqual({
      value: '12345678901234567890.5',
      count: 2,
    });
  });

  it.each([
    ['rollups and objects', ['1.5', '2'], '1.75', 2],
    ['objects only, where one of them has several numbers', ['1.5', '2', '[3,4]'], '2.625', 4],
  ])('averages a subject over a span of time from %s', async (_, values, value, count) => {
    const known: Known[] = values.map((text, i) => ({
      data: (JSON.parse(`[${text}]`) as unknown[]).flat().map((one) => ({ key: 'temperature', value: String(one) })),
      subject: 'HQ/lab',
      observed_at: `2024-01-01T0${String(i)}:30:00Z`,
    }));
    const projectId = await projectOf([...known, { ...known[0], subject: 'HQ/attic' } as Known]);
    const span = { projectId, subject: 'HQ/lab', from: '2024-01-01T00:00:00Z', until: '2024-01-02T00:00:00Z' };
    const overflow = { parameter: 'duration', detail: 'is too long' };
    expect(await aggregates.average(span, overflow)).toMatchObject({ value, count });
    const query = { subject: 'HQ/lab', observed_from: span.from, observed_until: span.until };
    expect(await totalOf(projectId, parseFilter(query), 'avg', 'temperature')).toEqual({ value, count });
    expect(await aggregates.average({ ...span, subject: 'HQ' }, overflow)).toMatchObject({ value: null, count: 0 });
  });

  it("throws the caller's problem when an average has too many digits", async () => {
    const values = ['1e131071', '9e131071', '9e131071'];
    const known = values.map((value) => ({
      data: [{ key: 'temperature', value }],
      subject: 's',
      observed_at: '2024-01-01T00:00:00Z',
    }));
    const span = {
      projectId: await projectOf(known),
      subject: 's',
      from: '2024-01-01T00:00:00Z',
      until: '2024-01-02T00:00:00Z',
    };
    const overflow = { parameter: 'duration', detail: 'is too long' };
    await expect(aggregates.average(span, overflow)).rejects.toMatchObject({
      slug: 'invalid-query',
      errors: [overflow],
    });
  });

  it('rejects a time zone that is unknown to the database', async () => {
    const by: Dimension = { kind: 'time', bucket: { kind: 'months', months: 1 }, timeZone: 'Europe/Atlantis' };
    const known: Known = { data: [], subject: null, observed_at: '2024-01-01T00:00:00Z' };
    const asked = aggregates.compute(await projectOf([known]), parseFilter({}), {
      op: 'count',
      key: null,
      by,
      series: null,
    });
    const problem = await asked.then(
      () => null,
      (error: unknown) => error,
    );
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({ slug: 'invalid-query', errors: [{ parameter: 'time_zone' }] });
  });

  it('returns no groups if the result exceeds the limits', async () => {
    const data = [{ key: 'n', value: '12345' }];
    const known: Known[] = ['a', 'b'].map((subject) => ({ data, subject, observed_at: '2024-01-01T00:00:00Z' }));
    const asked: Aggregate = { op: 'max', key: 'n', by: { kind: 'subject' }, series: null };
    const projectId = await projectOf(known);
    const rowsWithin = (groups: number, bytes: number): Promise<{ value: string | null }[]> => {
      const { text, values } = aggregateSql(projectId, parseFilter({}), asked, { groups, bytes });
      return db.sql(text, values);
    };
    expect(await rowsWithin(2, 24)).toMatchObject([{ value: '12345' }, { value: '12345' }]);
    expect(await rowsWithin(1, 24)).toMatchObject([{ value: null }]);
    expect(await rowsWithin(2, 23)).toMatchObject([{ value: null }]);
  });

  it('uses the index on data for the key, unless there is a subject or a batch', () => {
    const asked: Aggregate = { op: 'max', key: 'n', by: null, series: null };
    const valuesWith = (filter: FilterParameters): unknown[] =>
      aggregateSql(1, parseFilter(filter), asked, { groups: 1, bytes: 1 }).values;
    expect(valuesWith({})).toContain('[{"key":"n"}]');
    expect(valuesWith({ data: '{"a":1}' })).toContain('[{"key":"a","value":1},{"key":"n"}]');
    expect(valuesWith({ subject: 's' })).not.toContain('[{"key":"n"}]');
    expect(valuesWith({ batch_id: 'b' })).not.toContain('[{"key":"n"}]');
  });
});

describe('the aggregates of one project', () => {
  it.each<[string, Aggregate, FilterParameters]>([
    ['over objects', { op: 'p50', key: 'temperature', by: null, series: null }, {}],
    [
      'over rollups',
      { op: 'avg', key: 'temperature', by: null, series: null },
      { subject: 'lab', observed_from: '2024-01-01T00:00:00Z', observed_until: '2024-03-01T00:00:00Z' },
    ],
  ])('%s leave connections to other projects', async (_, aggregate, filter) => {
    const project = await projectOf([]);
    const share = Math.floor(new Config({}).database.sharedMax / 4);
    let asked: Promise<unknown>[] = [];
    await db.database.transactionOnce(async (tx) => {
      await tx.query('LOCK TABLE objects');
      asked = Array.from({ length: 30 }, () => aggregates.compute(project, parseFilter(filter), aggregate));
      const waiting = async (): Promise<number> => {
        const [row] = await tx.query<{ n: string }>(
          // Tables of other databases can have the same OID.
          `SELECT count(*) AS n FROM pg_locks JOIN pg_database ON pg_database.oid = database
            WHERE datname = current_database() AND relation = 'objects'::regclass AND NOT granted`,
        );
        return Number(row?.n);
      };
      while ((await waiting()) < share) await sleep(10);
      const { ok } = (await db.database.query<{ ok: boolean }>('SELECT true AS ok'))[0] ?? { ok: false };
      expect([ok, await waiting()]).toEqual([true, share]);
    });
    expect(await Promise.all(asked)).toHaveLength(30);
  });
});
