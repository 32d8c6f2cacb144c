import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { address, kindOf, places, postBatch, type ObjectBody, type PageBody, type ProblemBody } from './wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const objects = Array.from({ length: 25 }, (_, i) => ({
    object_id: `o-${String(i)}`,
    data: { cost: i, type: i % 2 === 0 ? 'shoe' : 'boot', owner: { city: i % 5 === 0 ? 'Lisbon' : 'Porto' } },
    subject: `shelf-${String(i % 3)}`,
  }));
  await postBatch(api, project.keys.producer, 'b', objects);
});
afterAll(() => api.stop());

function search(body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  return api.call('POST', '/objects/search', { key: project.keys.analyst, body, headers });
}

async function pageOf(body: unknown): Promise<PageBody<ObjectBody>> {
  const reply = await search(body);
  expect(reply.status).toBe(200);
  return reply.json<PageBody<ObjectBody>>();
}

const DATA = { cost: { $gte: 5, $lt: 20 }, $or: [{ type: 'shoe' }, { 'owner.city': 'Lisbon' }] };

describe('POST /objects/search', () => {
  it.each<[Record<string, unknown>, Record<string, string>]>([
    [{}, {}],
    [{ data: {} }, { data: '{}' }],
    [
      { data: DATA, page_size: 5 },
      { data: JSON.stringify(DATA), page_size: '5' },
    ],
    [
      { data: { type: 'shoe', cost: 3 }, match: 'any' },
      { data: '{"type":"shoe","cost":3}', match: 'any' },
    ],
    [
      { key: 'cost', value: '7', batch_id: 'b', subject_prefix: 'shelf-', count: 'exact' },
      { key: 'cost', value: '7', batch_id: 'b', subject_prefix: 'shelf-', count: 'exact' },
    ],
    [
      { subject: 'shelf-1', page: 2, page_size: 3, count: 'none' },
      { subject: 'shelf-1', page: '2', page_size: '3', count: 'none' },
    ],
    [
      { key: 'cost', fields: 'object_id,data.cost', data_as: 'object' },
      { key: 'cost', fields: 'object_id,data.cost', data_as: 'object' },
    ],
    [{ observed_until: '2020-01-01T00:00:00Z' }, { observed_until: '2020-01-01T00:00:00Z' }],
  ])('returns the same objects and count as GET /objects: %j', async (body, parameters) => {
    const { results, count, count_is } = await pageOf(body);
    const list = await api.call('GET', address('/objects', parameters), { key: project.keys.analyst });
    expect(list.json()).toMatchObject({ results, count, ...(count_is === undefined ? {} : { count_is }) });
  });

  it('has the cursors of the next and the previous page, and null at the ends', async () => {
    const body = { data: DATA, page_size: 4 };
    const pages = [await pageOf(body)];
    for (let next = pages[0]?.next; next != null; next = pages.at(-1)?.next)
      pages.push(await pageOf({ ...body, cursor: next }));
    const found = pages.flatMap(({ results }) => results.map(({ object_id }) => object_id));
    expect(found).toEqual((await pageOf({ data: DATA, page_size: 100 })).results.map(({ object_id }) => object_id));
    expect(pages.length).toBeGreaterThan(2);
    expect(pages[0]?.previous).toBeNull();
    const back = await pageOf({ ...body, cursor: pages[1]?.previous });
    expect(back.results).toEqual(pages[0]?.results);
  });

  it('rejects a cursor of another filter, and accepts that of a list with the same filter', async () => {
    const { next } = await pageOf({ data: { type: 'shoe' }, page_size: 2 });
    const other = await search({ data: { type: 'boot' }, page_size: 2, cursor: next });
    expect([kindOf(other), ...places(other)]).toEqual(['400 invalid-cursor', '/cursor']);
    const made = await search({ cursor: 'made up' });
    expect([kindOf(made), ...places(made)]).toEqual(['400 invalid-cursor', '/cursor']);
    const list = address('/objects', { data: '{"type":"shoe"}', page_size: '2', cursor: next ?? '' });
    expect((await api.call('GET', list, { key: project.keys.analyst })).status).toBe(200);
  });

  it.each<[unknown, string]>([
    [{ data: { cost: { $gte: [1] } } }, '/data/cost/$gte'],
    [{ data: { cost: { $near: 1 } } }, '/data/cost/$near'],
    [{ data: { $or: [{ a: 1 }, { 'a/b': { '>': 1 } }] } }, '/data/$or/1/a~1b/>'],
    [{ data: [] }, '/data'],
    [{ data: '{"type":"shoe"}' }, '/data'],
    [{ data: null }, '/data'],
    ['{"data":{"a":{"$eq":{"b":1,"b":2}}}}', '/data/a/$eq/b'],
    ['{"data":{"a":"\\u0000"}}', '/data/a'],
    ['{"data":{},"data":{}}', '/data'],
    [{ match: 'any' }, '/match'],
    [{ key: 1 }, '/key'],
    [{ value: 1 }, '/value'],
    [{ page_size: '10' }, '/page_size'],
    [{ page_size: 2_000 }, '/page_size'],
    [{ page: 0 }, '/page'],
    [{ page: 2, cursor: 'x' }, '/page'],
    [{ count: 'all' }, '/count'],
    [{ observed_from: 'yesterday' }, '/observed_from'],
    [{ colour: 'red' }, '/colour'],
    [{ fields: 'colour' }, '/fields'],
    [{ data_as: 'list' }, '/data_as'],
  ])('rejects %j with a pointer', async (body, pointer) => {
    const reply = await search(body);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-body', pointer]);
  });

  it('returns the right form of a range that is written wrongly', async () => {
    const reply = await search({ data: { cost: { $gte: [10] } } });
    expect(reply.json<ProblemBody>().detail).toBe(
      '/data/cost/$gte must be a number or text, such as {"cost":{"$gte":10}}.',
    );
  });

  it('reads a name that appears twice as two conditions', async () => {
    expect((await pageOf('{"data":{"cost":{"$gte":5},"cost":{"$lt":7}}}')).results).toHaveLength(2);
  });

  it('accepts a filter that is too long for a URL', async () => {
    const long = Array.from({ length: 98 }, (_, i) => `${String(i)}${'x'.repeat(1_000)}`);
    expect((await pageOf({ data: { type: { $in: [...long, 'boot'] }, cost: 3 } })).results).toHaveLength(1);
  });

  it('remembers nothing for an idempotency key', async () => {
    const headers = { 'Idempotency-Key': 'same' };
    expect((await search({ data: { cost: 1 } }, headers)).json<PageBody<ObjectBody>>().count).toBe(1);
    expect((await search({ data: { cost: -1 } }, headers)).json<PageBody<ObjectBody>>().count).toBe(0);
  });

  it('lets a count take as long as the client prefers', async () => {
    expect((await search({}, { Prefer: 'wait=5' })).headers.get('preference-applied')).toBe('wait=5');
  });

  it('responds to a deep or large body without an error of the server', async () => {
    const deep = (depth: number): string => `{"data":${'{"$not":'.repeat(depth)}{}${'}'.repeat(depth)}}`;
    for (const body of [
      deep(20),
      deep(100_000),
      `{"data":{"$or":[${'{},'.repeat(90_000)}{}]}}`,
      `{"data":{"a":"${'x'.repeat(900_000)}"}}`,
    ]) {
      expect((await search(body)).status).toBeLessThan(500);
    }
  });
});
