import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { abbreviatedLike, address, postBatch, type Scalar } from './wire.js';

interface AggregateBody {
  op: string;
  key: string | null;
  results: { group: Scalar; series?: Scalar; value: number | null; count: number }[];
}

let api: TestApi;
/** A project with only the fixtures. */
let fixtures: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ STOWAGE_SEED: 'true' });
  fixtures = await api.project('default');
});
afterAll(() => api.stop());

function requestAggregate(project: TestProject, query: Record<string, string>): Promise<Reply> {
  return api.call('GET', address('/objects/aggregate', query), { key: project.keys.analyst });
}

async function resultsOf(project: TestProject, query: Record<string, string>): Promise<AggregateBody['results']> {
  const reply = await requestAggregate(project, query);
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.json<AggregateBody>().results;
}

/** The value of each group. */
async function valuesOf(project: TestProject, query: Record<string, string>): Promise<[Scalar, number | null][]> {
  return (await resultsOf(project, query)).map(({ group, value }) => [group, value]);
}

/** A project with one batch; `data` is JSON text. */
async function projectWith(
  objects: readonly { data: string; subject?: string; observed_at?: string }[],
): Promise<TestProject> {
  const project = await api.project();
  const list = objects.map(({ data, ...rest }, i) => {
    const members = JSON.stringify({ object_id: `o-${String(i)}`, ...rest }).slice(1, -1);
    return `{${members},"data":${data}}`;
  });
  const body = `{"batch_id":"b","objects":[${list.join()}]}`;
  const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return project;
}

describe('docs/aggregates.md', () => {
  let page: string;
  /** The rows of its tables that begin with a query. */
  const rows = (): [string, string][] =>
    Array.from(page.matchAll(/^\| `(op=[^`]*)` *\| *(.*?) *\|$/gm), ([, query = '', cell = '']) => [query, cell]);

  beforeAll(async () => {
    page = await readFile('docs/aggregates.md', 'utf8');
  });

  it('shows the actual results and errors for the fixtures', async () => {
    expect(rows().length).toBeGreaterThan(15);
    for (const [query, documented] of rows()) {
      const reply = await api.call('GET', `/objects/aggregate?${query}`, { key: fixtures.keys.analyst });
      expect([query, abbreviatedLike(documented, outcomeOf(reply))]).toEqual([query, documented]);
    }
  });

  /** The value of each group with all digits, or the errors. */
  function outcomeOf(reply: Reply): string {
    if (reply.status !== 200) return expectProblem(reply, 'invalid-query').errors?.[0]?.detail ?? '';
    const exact = reply.text.replace(/"value":([-\d.]+)/g, '"value":"$1"');
    const { results } = JSON.parse(exact) as AggregateBody;
    return results.map((one) => [one.group ?? [], one.series ?? [], String(one.value)].flat().join(' ')).join(', ');
  }
});

describe('a chart of a building with all its rooms', () => {
  const reading = (building: string, room: string, at: string, temperature: Scalar): object => ({
    object_id: `${building}-${room}-${at}`,
    data: { building, room, temperature },
    subject: `${building}/${room}`,
    observed_at: at,
  });

  it('takes one request: the average per hour and room, without other buildings', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'readings', [
      reading('HQ', 'attic', '2024-12-10T08:00:00Z', 20),
      reading('HQ', 'attic', '2024-12-10T08:59:59.999Z', 21),
      reading('HQ', 'attic', '2024-12-10T09:00:00Z', -0.5),
      reading('HQ', 'attic', '2024-12-10T09:30:00Z', 'broken'),
      reading('HQ', 'cellar', '2024-12-10T09:15:00Z', 12.25),
      reading('HQ', 'cellar', '2024-12-10T11:15:00Z', null),
      reading('Annex', 'attic', '2024-12-10T08:00:00Z', 99),
    ]);
    const path = '/objects/aggregate?op=avg&key=temperature&data={"building":"HQ"}&by=time&bucket=1h&series=data.room';
    const reply = await api.call('GET', path, { key: project.keys.analyst });
    expect([reply.status, reply.json()]).toEqual([
      200,
      {
        op: 'avg',
        key: 'temperature',
        results: [
          { group: '2024-12-10T08:00:00Z', series: 'attic', value: 20.5, count: 2 },
          { group: '2024-12-10T09:00:00Z', series: 'attic', value: -0.5, count: 1 },
          { group: '2024-12-10T09:00:00Z', series: 'cellar', value: 12.25, count: 1 },
        ],
      },
    ]);
    expect(reply.headers.get('etag')).toMatch(/^"/);
    const headers = { 'If-None-Match': reply.headers.get('etag') ?? '' };
    expect((await api.call('GET', path, { key: project.keys.analyst, headers })).status).toBe(304);
  });
});

describe('an operation', () => {
  it('keeps every digit, without exponents or trailing zeros', async () => {
    const project = await projectWith([
      { data: '{"big":12345678901234567890,"small":0.1,"long":1e400,"zeros":10.00}' },
      { data: '[{"key":"big","value":0.5},{"key":"small","value":0.20},{"key":"small","value":-1e-25}]' },
    ]);
    const text = async (op: string, key: string): Promise<string> =>
      (await requestAggregate(project, { op, key })).text;
    const responseText = (op: string, key: string, value: string, count: number): string =>
      `{"op":"${op}","key":"${key}","results":[{"group":null,"value":${value},"count":${String(count)}}]}`;
    expect(await text('sum', 'big')).toBe(responseText('sum', 'big', '12345678901234567890.5', 2));
    expect(await text('avg', 'big')).toBe(responseText('avg', 'big', '6172839450617283945.25', 2));
    expect(await text('sum', 'small')).toBe(responseText('sum', 'small', '0.2999999999999999999999999', 3));
    expect(await text('min', 'small')).toBe(responseText('min', 'small', '-0.0000000000000000000000001', 3));
    expect(await text('max', 'long')).toBe(responseText('max', 'long', `1${'0'.repeat(400)}`, 1));
    expect(await text('p50', 'zeros')).toBe(responseText('p50', 'zeros', '10', 1));
  });

  it('without values returns null, or 0 for count; empty groups are omitted', async () => {
    const project = await projectWith([{ data: '{"n":"5","m":true}' }]);
    for (const op of ['sum', 'avg', 'min', 'max', 'p50', 'p95']) {
      expect(await resultsOf(project, { op, key: 'n' })).toEqual([{ group: null, value: null, count: 0 }]);
      expect(await resultsOf(project, { op, key: 'n', by: 'subject' })).toEqual([]);
    }
    expect(await resultsOf(project, { op: 'count', key: 'n' })).toEqual([{ group: null, value: 0, count: 0 }]);
    expect(await resultsOf(project, { op: 'count' })).toEqual([{ group: null, value: 1, count: 1 }]);
    expect((await requestAggregate(project, { op: 'count' })).json()).toMatchObject({ key: null });
  });

  it('returns percentiles by the nearest rank', async () => {
    const project = await projectWith(Array.from({ length: 100 }, (_, i) => ({ data: `{"n":${String(100 - i)}}` })));
    expect(await valuesOf(project, { op: 'p50', key: 'n' })).toEqual([[null, 50]]);
    expect(await valuesOf(project, { op: 'p95', key: 'n' })).toEqual([[null, 95]]);
  });

  it('counts objects without a key, and numbers with one', async () => {
    const project = await projectWith([
      { data: '[{"key":"n","value":1},{"key":"n","value":2},{"key":"n","value":"3"}]' },
      { data: '{"m":1}' },
    ]);
    expect(await valuesOf(project, { op: 'count' })).toEqual([[null, 2]]);
    expect(await valuesOf(project, { op: 'count', key: 'n' })).toEqual([[null, 2]]);
  });

  it('does not include objects of another project', async () => {
    await projectWith([{ data: '{"n":1}', subject: 'theirs' }]);
    const mine = await projectWith([{ data: '{"n":2}', subject: 'mine' }]);
    expect(await valuesOf(mine, { op: 'sum', key: 'n' })).toEqual([[null, 2]]);
    expect(await valuesOf(mine, { op: 'count', by: 'subject' })).toEqual([['mine', 1]]);
    expect(await valuesOf(mine, { op: 'count', by: 'data.n', subject: 'theirs' })).toEqual([]);
  });
});

describe('every filter', () => {
  it.each<[Record<string, string>, number]>([
    [{}, 1565],
    [{ data: '{"type":"boot","color":"red"}' }, 70],
    [{ data: '{"type":"boot","color":"red"}', match: 'any' }, 311],
    [{ batch_id: '2024-05-03-delivery-lisbon', data: '{"color":"red"}' }, 42],
    [{ subject: 'till-2' }, 111],
    [{ data: '{"type":{"$in":["boot","clog"]},"$nor":[{"color":"red"},{"price":{"$lt":100}}]}' }, 171],
    [{ subject_prefix: 'till-' }, 371],
    [{ data: '{"$or":[{"price":{"$gte":200}},{"color":{"$exists":false}}]}', subject_prefix: 'till-' }, 31],
    [{ subject: 'till-2', observed_from: '2024-05-12T00:00:00Z', observed_until: '2024-05-13T00:00:00Z' }, 44],
  ])('applies: %j matches %d objects', async (filter, count) => {
    expect(await valuesOf(fixtures, { op: 'count', ...filter })).toEqual([[null, count]]);
  });
});

describe('groups', () => {
  it('of a key are its values, ordered by type and value; a repeated value counts once per object', async () => {
    const project = await projectWith([
      { data: '[{"key":"g","value":"a"},{"key":"g","value":"a"},{"key":"n","value":1},{"key":"n","value":2}]' },
      { data: '[{"key":"g","value":"a"},{"key":"g","value":"B"},{"key":"n","value":5}]' },
      { data: '[{"key":"g","value":10.0},{"key":"g","value":9.50},{"key":"g","value":10},{"key":"n","value":7}]' },
      { data: '[{"key":"g","value":null},{"key":"g","value":true},{"key":"g","value":"10"},{"key":"n","value":8}]' },
      { data: '[{"key":"n","value":100}]' },
    ]);
    const reply = await requestAggregate(project, { op: 'sum', key: 'n', by: 'data.g' });
    expect(reply.text).toBe(
      '{"op":"sum","key":"n","results":[{"group":9.5,"value":7,"count":1},{"group":10,"value":7,"count":1},' +
        '{"group":"10","value":8,"count":1},{"group":"B","value":5,"count":1},{"group":"a","value":8,"count":3},' +
        '{"group":true,"value":8,"count":1},{"group":null,"value":8,"count":1}]}',
    );
    expect(await valuesOf(project, { op: 'count', by: 'data.g', data: '{"g":"a"}' })).toEqual([
      ['B', 1],
      ['a', 2],
    ]);
  });

  it('of a key that has lists are their elements, so that a filter by a group matches its objects', async () => {
    const values = ['["b","a"]', 'null', '{"x":1}', '"z"', '["a",["c"]]', '["a","a"]', '[]'];
    const project = await projectWith(values.map((value) => ({ data: `{"g":${value},"n":[5]}` })));
    const groups = await valuesOf(project, { op: 'count', by: 'data.g' });
    expect(groups).toEqual([
      ['a', 3],
      ['b', 1],
      ['z', 1],
      [null, 1],
      [['c'], 1],
      [{ x: 1 }, 1],
    ]);
    for (const [group, count] of groups.slice(0, 4)) {
      const data = JSON.stringify({ g: group });
      expect(await valuesOf(project, { op: 'count', data })).toEqual([[null, count]]);
    }
    expect(await valuesOf(project, { op: 'count', key: 'n' })).toEqual([[null, 0]]);
  });

  it('of subjects end with null for objects without a subject', async () => {
    const project = await projectWith([{ data: '{}' }, { data: '{}', subject: 'b' }, { data: '{}', subject: 'B' }]);
    expect(await valuesOf(project, { op: 'count', by: 'subject' })).toEqual([
      ['B', 1],
      ['b', 1],
      [null, 1],
    ]);
    expect(await resultsOf(project, { op: 'count', by: 'time', bucket: '366d', series: 'subject' })).toMatchObject([
      { series: 'B' },
      { series: 'b' },
      { series: null },
    ]);
  });

  it('of a key match the key literally', async () => {
    const keys = ['a.b', ' ', '$.x', '"', "'; DROP TABLE objects; --", 'ключ', 'x'.repeat(255), 'data.time'];
    const project = await projectWith([{ data: JSON.stringify(Object.fromEntries(keys.map((key, i) => [key, i]))) }]);
    for (const [i, key] of keys.entries()) {
      expect(await valuesOf(project, { op: 'max', key, by: `data.${key}` })).toEqual([[i, i]]);
    }
  });
});

describe('time buckets', () => {
  /** One object for each full hour from `from` (inclusive) to `until` (exclusive). */
  const hourly = (from: string, until: string): Promise<TestProject> => {
    const hours = (Date.parse(until) - Date.parse(from)) / 3_600_000;
    const at = (hour: number): string => new Date(Date.parse(from) + hour * 3_600_000).toISOString();
    return projectWith(Array.from({ length: hours }, (_, hour) => ({ data: '{}', observed_at: at(hour) })));
  };
  const count = (project: TestProject, bucket: string, time_zone?: string): Promise<[Scalar, number | null][]> =>
    valuesOf(project, { op: 'count', by: 'time', bucket, ...(time_zone === undefined ? {} : { time_zone }) });

  it('follow the days of the time zone, also of 23 and 25 hours when the clocks change', async () => {
    const spring = await hourly('2024-03-30T00:00:00Z', '2024-04-01T23:00:00Z');
    expect(await count(spring, '1d', 'Europe/Lisbon')).toEqual([
      ['2024-03-30T00:00:00Z', 24],
      ['2024-03-31T00:00:00Z', 23],
      ['2024-03-31T23:00:00Z', 24],
    ]);
    const autumn = await hourly('2024-10-25T23:00:00Z', '2024-10-29T00:00:00Z');
    expect(await count(autumn, '1d', 'Europe/Lisbon')).toEqual([
      ['2024-10-25T23:00:00Z', 24],
      ['2024-10-26T23:00:00Z', 25],
      ['2024-10-28T00:00:00Z', 24],
    ]);
    expect(await count(autumn, '1d')).toHaveLength(4);
  });

  it('start weeks on Monday and months on the first, at midnight in the time zone', async () => {
    const project = await hourly('2024-02-29T00:00:00Z', '2024-04-03T00:00:00Z');
    expect(await count(project, '1w', 'Europe/Lisbon')).toEqual([
      ['2024-02-26T00:00:00Z', 96],
      ['2024-03-04T00:00:00Z', 168],
      ['2024-03-11T00:00:00Z', 168],
      ['2024-03-18T00:00:00Z', 168],
      ['2024-03-25T00:00:00Z', 167],
      ['2024-03-31T23:00:00Z', 49],
    ]);
    expect(await count(project, '1mo', 'America/New_York')).toEqual([
      ['2024-02-01T05:00:00Z', 29],
      ['2024-03-01T05:00:00Z', 743],
      ['2024-04-01T04:00:00Z', 44],
    ]);
  });

  it('start quarters and years on the first, at midnight in the time zone or at a fixed offset', async () => {
    const at = ['2023-12-31T18:29:00Z', '2023-12-31T18:30:00Z', '2024-01-01T04:59:00Z', '2024-01-01T05:00:00Z'];
    const objects = [...at, '2024-06-30T23:30:00Z', '2025-01-01T00:00:00Z'].map((observed_at) => ({
      data: '{}',
      observed_at,
    }));
    const project = await projectWith(objects);
    expect(await count(project, '1y')).toEqual([
      ['2023-01-01T00:00:00Z', 2],
      ['2024-01-01T00:00:00Z', 3],
      ['2025-01-01T00:00:00Z', 1],
    ]);
    expect(await count(project, '1y', '+05:30')).toEqual([
      ['2022-12-31T18:30:00Z', 1],
      ['2023-12-31T18:30:00Z', 4],
      ['2024-12-31T18:30:00Z', 1],
    ]);
    for (const zone of ['-05:00', 'America/New_York']) {
      expect(await count(project, '1y', zone)).toEqual([
        ['2023-01-01T05:00:00Z', 3],
        ['2024-01-01T05:00:00Z', 3],
      ]);
    }
    expect(await count(project, '3mo', 'Europe/Lisbon')).toEqual([
      ['2023-09-30T23:00:00Z', 2],
      ['2024-01-01T00:00:00Z', 2],
      ['2024-06-30T23:00:00Z', 1],
      ['2025-01-01T00:00:00Z', 1],
    ]);
  });

  it('of hours and days at a fixed offset begin at its hours and midnights, whatever the season', async () => {
    const project = await hourly('2024-03-30T00:00:00Z', '2024-04-01T04:00:00Z');
    expect(await count(project, '1d', '-05:00')).toEqual([
      ['2024-03-29T05:00:00Z', 5],
      ['2024-03-30T05:00:00Z', 24],
      ['2024-03-31T05:00:00Z', 23],
    ]);
    const [first] = await count(project, '12h', '+05:30');
    expect(first).toEqual(['2024-03-29T18:30:00Z', 7]);
  });

  it('of hours are elapsed hours, also when the clocks change', async () => {
    const project = await hourly('2024-10-27T00:00:00Z', '2024-10-27T03:00:00Z');
    expect(await count(project, '1h', 'Europe/Lisbon')).toEqual([
      ['2024-10-27T00:00:00Z', 1],
      ['2024-10-27T01:00:00Z', 1],
      ['2024-10-27T02:00:00Z', 1],
    ]);
    // Full hours of a zone whose offset has half an hour.
    expect(await count(project, '1h', 'Asia/Kolkata')).toMatchObject([
      ['2024-10-26T23:30:00Z', 1],
      [expect.any(String), 1],
      ['2024-10-27T01:30:00Z', 1],
    ]);
  });

  it('cover all times that can be stored', async () => {
    const project = await projectWith([
      { data: '{}', observed_at: '0001-01-01T00:00:00Z' },
      { data: '{}', observed_at: '9999-12-31T23:59:59.999999Z' },
    ]);
    for (const bucket of ['1m', '15m', '8784h', '1d', '366d', '52w', '1mo', '4mo', '1y']) {
      for (const zone of ['UTC', 'America/New_York', 'Asia/Tokyo', 'Pacific/Kiritimati', '-14:59', '+14:59']) {
        const groups = await count(project, bucket, zone);
        expect(groups.map(([group]) => String(group))).toEqual([
          expect.stringMatching(/^000[01]-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
          expect.stringMatching(/^999[89]-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        ]);
      }
    }
    expect(await count(project, '1mo')).toEqual([
      ['0001-01-01T00:00:00Z', 1],
      ['9999-12-01T00:00:00Z', 1],
    ]);
    expect(await count(project, '1y', '-05:00')).toEqual([
      ['0000-01-01T05:00:00Z', 1],
      ['9999-01-01T05:00:00Z', 1],
    ]);
  });
});

describe('limits of a response', () => {
  const THOUSAND = Array.from({ length: 1_000 }, (_, i) => i);

  it('reject too many groups, name the parameter to change, and never truncate', async () => {
    const project = await api.project();
    const post = (name: string, count: number): Promise<void> =>
      postBatch(
        api,
        project.keys.producer,
        name,
        Array.from({ length: count }, (_, i) => ({
          object_id: `${name}-${String(i)}`,
          data: { n: `${name} ${String(i)}` },
          observed_at: new Date(Date.UTC(2024, 0, 1, 0, i + (name === 'more' ? 10_000 : 0))).toISOString(),
        })),
      );
    await post('full', 10_000);
    expect(await resultsOf(project, { op: 'count', by: 'data.n' })).toHaveLength(10_000);
    expect(await resultsOf(project, { op: 'count', by: 'time', bucket: '1m' })).toHaveLength(10_000);
    await post('more', 1);
    for (const [query, parameter] of [
      [{ by: 'data.n' }, 'by'],
      [{ by: 'time', bucket: '1m' }, 'bucket'],
      [{ by: 'time', bucket: '1d', series: 'data.n' }, 'bucket'],
    ] as const) {
      const problem = expectProblem(await requestAggregate(project, { op: 'count', ...query }), 'invalid-query');
      expect([placesOf(problem), problem.detail]).toEqual([[parameter], expect.stringContaining('too many groups')]);
    }
    expect(await resultsOf(project, { op: 'count', by: 'time', bucket: '1h' })).toHaveLength(167);
  });

  it('reject a number with too many digits, and accept the largest number', async () => {
    const project = await projectWith(THOUSAND.slice(0, 20).map(() => ({ data: '{"n":9e131071}' })));
    for (const op of ['sum', 'avg']) {
      expect(placesOf(expectProblem(await requestAggregate(project, { op, key: 'n' }), 'invalid-query'))).toEqual([
        'op',
      ]);
    }
    for (const op of ['min', 'max', 'p50', 'p95']) {
      expect((await requestAggregate(project, { op, key: 'n' })).text).toContain(
        `"value":9${'0'.repeat(131_071)},"count":20`,
      );
    }
  });

  it('reject too many bytes of numbers or groups', async () => {
    const long = await projectWith(
      THOUSAND.slice(0, 130).map((i) => ({ data: '{"n":1e131071}', subject: `s${String(i)}` })),
    );
    expect(
      placesOf(expectProblem(await requestAggregate(long, { op: 'max', key: 'n', by: 'subject' }), 'invalid-query')),
    ).toEqual(['by']);
    expect(await resultsOf(long, { op: 'count', key: 'n', by: 'data.n' })).toHaveLength(1);
  });
});

describe('an invalid request', () => {
  it.each<[Record<string, string>, string[]]>([
    [{}, ['op']],
    [{ op: 'mean', key: 'n' }, ['op']],
    [{ op: 'AVG', key: 'n' }, ['op']],
    [{ op: 'avg' }, ['key']],
    [{ op: 'p95', key: '' }, ['key']],
    [{ op: 'avg', key: 'a\0' }, ['key']],
    [{ op: 'avg', key: 'k'.repeat(256) }, ['key']],
    [{ op: 'count', by: '' }, ['by']],
    [{ op: 'count', by: 'Time', bucket: '1h' }, ['bucket', 'by']],
    [{ op: 'count', by: 'data' }, ['by']],
    [{ op: 'count', by: 'data.' }, ['by']],
    [{ op: 'count', by: `data.${'k'.repeat(256)}` }, ['by']],
    [{ op: 'count', by: 'data.a\0' }, ['by']],
    [{ op: 'count', by: 'batch_id' }, ['by']],
    [{ op: 'count', by: 'time' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: '' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: '1s' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: '0m' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: '367d' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: 'month' }, ['bucket']],
    [{ op: 'count', by: 'time', bucket: '2y' }, ['bucket']],
    [{ op: 'count', bucket: '1h' }, ['bucket']],
    [{ op: 'count', by: 'subject', bucket: '1h' }, ['bucket']],
    [{ op: 'count', time_zone: 'UTC' }, ['time_zone']],
    [{ op: 'count', by: 'time', bucket: '1d', time_zone: 'Europe/Atlantis' }, ['time_zone']],
    [{ op: 'count', by: 'time', bucket: '1d', time_zone: ' 01:00' }, ['time_zone']],
    [{ op: 'count', by: 'time', bucket: '1d', time_zone: 'a\0' }, ['time_zone']],
    [{ op: 'count', by: 'time', bucket: '1x', time_zone: 'x' }, ['bucket', 'time_zone']],
    [{ op: 'count', series: 'subject' }, ['series']],
    [{ op: 'count', by: 'subject', series: 'time' }, ['series']],
    [{ op: 'count', by: 'subject', series: 'data.' }, ['series']],
    [{ op: 'avg', series: 'subject', bucket: '1h' }, ['key', 'bucket', 'series']],
    [{ op: 'count', value: 'shoe' }, ['value']],
    [{ op: 'count', page: '1' }, ['page']],
    [{ op: 'count', page_size: '10' }, ['page_size']],
    [{ op: 'count', cursor: 'x' }, ['cursor']],
    [{ op: 'count', count: 'none' }, ['count']],
    [{ op: 'count', data: '{' }, ['data']],
    [{ op: 'count', match: 'any' }, ['match']],
    [{ op: 'count', subject: 'a\0' }, ['subject']],
    [{ op: 'count', observed_from: 'yesterday' }, ['observed_from']],
  ])('%j is rejected with the names of the invalid parameters', async (query, parameters) => {
    expect(placesOf(expectProblem(await requestAggregate(fixtures, query), 'invalid-query'))).toEqual(parameters);
  });

  it('is rejected when a parameter is given twice', async () => {
    for (const query of ['op=count&op=count', 'op=count&by=time&by=time&bucket=1h', 'op=avg&key=a&key=b']) {
      const reply = await api.call('GET', `/objects/aggregate?${query}`, { key: fixtures.keys.analyst });
      expectProblem(reply, 'invalid-query');
    }
  });

  it('does not hide objects whose ids start like the route', async () => {
    await postBatch(api, fixtures.keys.producer, 'alike', [{ object_id: 'aggregates', data: {} }]);
    expect((await api.call('GET', '/objects/aggregates', { key: fixtures.keys.analyst })).status).toBe(200);
    await api.call('DELETE', '/batches/alike?cascade=true', { key: fixtures.keys.admin });
  });
});
