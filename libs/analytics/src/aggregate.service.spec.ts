import { parseFilter, type Filter, type FilterParameters } from '#filter';
import { Config } from '#platform';
import { Problem } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import {
  expectedOf,
  expectSame,
  objects,
  question,
  ROOMS,
  type Known,
} from '../../../test/objects/aggregate-oracle.js';
import type { Aggregate, GroupResult, Dimension, Op } from './aggregate.js';
import { aggregateSql } from './aggregate-sql.js';
import { AggregateService } from './aggregate.service.js';
import { AggregateStore } from './aggregate.store.js';
import { RollupRefresher } from './rollup-refresher.js';
import { RollupStore } from './rollup.store.js';

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
async function totalOf(projectId: number, filter: Filter, op: Op, key: string): Promise<GroupResult> {
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
      await waitFor(async () => ((await waiting()) < share ? undefined : true));
      const { ok } = (await db.database.query<{ ok: boolean }>('SELECT true AS ok'))[0] ?? { ok: false };
      expect([ok, await waiting()]).toEqual([true, share]);
    });
    expect(await Promise.all(asked)).toHaveLength(30);
  });
});
