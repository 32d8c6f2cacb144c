import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch, type Scalar } from './wire.js';

interface FacetBody {
  key: string;
  results: { value: Scalar; count: number }[];
  other: number;
  count_is: string;
}

let api: TestApi;
/** A project with only the fixtures. */
let fixtures: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ STOWAGE_SEED: 'true' });
  fixtures = await api.project('default');
});
afterAll(() => api.stop());

function requestFacet(project: TestProject, query: string): Promise<Reply> {
  const parameters = new URLSearchParams(query).toString();
  return api.call('GET', `/objects/facets?${parameters}`, { key: project.keys.analyst });
}

async function textOf(project: TestProject, query: string): Promise<string> {
  const reply = await requestFacet(project, query);
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.text;
}

/** A project with one batch; `datas` are JSON texts. */
async function projectWith(datas: readonly string[]): Promise<TestProject> {
  const project = await api.project();
  const objects = datas.map((data, i) => `{"object_id":"o-${String(i)}","data":${data}}`);
  const body = `{"batch_id":"b","objects":[${objects.join()}]}`;
  expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
  return project;
}

describe('docs/aggregates.md', () => {
  it('shows the actual facets of the fixtures', async () => {
    const page = await readFile('docs/aggregates.md', 'utf8');
    const rows = Array.from(page.matchAll(/^\| `(key=[^`]*)` *\| *(.*?) *\| *(\d+) \|$/gm), (row) => row.slice(1));
    expect(rows.length).toBeGreaterThan(6);
    for (const [query = '', ...documented] of rows) {
      const { results, other, count_is } = JSON.parse(await textOf(fixtures, query)) as FacetBody;
      const values = results.map(({ value, count }) => `${String(value)} ${String(count)}`).join(', ');
      expect([query, values === '' ? 'none' : values, String(other), count_is]).toEqual([
        query,
        ...documented,
        'exact',
      ]);
    }
  });
});

describe('a facet', () => {
  it('has every digit, and counts equal numbers as one value', async () => {
    const project = await projectWith([
      '{"n":12345678901234567890.10}',
      '{"n":12345678901234567890.1}',
      '{"n":-1e-25}',
      '{"n":1e25}',
      '{"n":1E300}',
      '{"n":"1"}',
    ]);
    const zeros = (count: number): string => '0'.repeat(count);
    expect(await textOf(project, 'key=n')).toBe(
      '{"key":"n","results":[{"value":12345678901234567890.1,"count":2},{"value":"1","count":1},' +
        `{"value":-0.${zeros(24)}1,"count":1},{"value":1${zeros(25)},"count":1},{"value":1${zeros(300)},"count":1}],` +
        '"other":0,"count_is":"exact"}',
    );
  });

  it('counts arrays by their elements, and what is not listed in other', async () => {
    const text = 'x'.repeat(1_000);
    const project = await projectWith([
      '{"v":["a","b","a"]}',
      '{"v":[{"w":"deep"}]}',
      '{"v":{"w":"deep"}}',
      '{"v":[]}',
      `{"v":"${text}"}`,
      `{"v":["${text}x","${text}y","a"]}`,
      `{"v":${'1'.repeat(201)}}`,
      '{"other":1}',
    ]);
    // Three objects have only arrays and objects, and two a value that is too long.
    expect(JSON.parse(await textOf(project, 'key=v'))).toEqual({
      key: 'v',
      results: [
        { value: 'a', count: 2 },
        { value: 'b', count: 1 },
        { value: text, count: 1 },
      ],
      other: 5,
      count_is: 'exact',
    });
    expect(JSON.parse(await textOf(project, 'key=v.w'))).toMatchObject({ results: [{ value: 'deep', count: 2 }] });
  });

  it('includes a write of any kind at once', async () => {
    const project = await projectWith(['{"v":"a"}', '{"v":"a"}', '{"v":"b"}']);
    const { admin: key } = project.keys;
    await api.call('PUT', '/objects/o-0', { key, body: { data: { v: 'c' } } });
    await api.call('DELETE', '/objects/o-2', { key });
    await postBatch(api, project.keys.producer, 'later', [{ object_id: 'p', data: { v: 'a' } }]);
    expect(JSON.parse(await textOf(project, 'key=v'))).toMatchObject({
      results: [
        { value: 'a', count: 2 },
        { value: 'c', count: 1 },
      ],
    });
  });

  it('of a batch with more than 10,000 objects has lower bounds, from the newest objects', async () => {
    const project = await projectWith(Array.from({ length: 10_001 }, (_, i) => `{"v":${String(i === 0)}}`));
    const newest = { results: [{ value: false, count: 10_000 }], other: 0, count_is: 'at_least' };
    expect(JSON.parse(await textOf(project, 'key=v&batch_id=b'))).toMatchObject(newest);
    const exact = { results: [{ value: false }, { value: true, count: 1 }], count_is: 'exact' };
    expect(JSON.parse(await textOf(project, 'key=v'))).toMatchObject(exact);
  });

  it.each([
    ['', 'key'],
    ['key=', 'key'],
    ['key=a%00b', 'key'],
    ['key=a&size=0', 'size'],
    ['key=a&size=1001', 'size'],
    ['key=a&size=many', 'size'],
    ['key=a&value=b', 'value'],
    ['key=a&data={', 'data'],
  ])('rejects an invalid query: %s', async (query, parameter) => {
    const { errors } = expectProblem(await requestFacet(fixtures, query), 'invalid-query');
    expect(errors?.map((one) => one.parameter)).toContain(parameter);
  });
});
