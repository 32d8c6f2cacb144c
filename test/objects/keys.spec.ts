import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch } from './wire.js';

interface KeysBody {
  results: { key: string; objects: number; types: string[]; example?: unknown }[];
  truncated: boolean;
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

function requestKeys(project: TestProject): Promise<Reply> {
  return api.call('GET', '/objects/keys', { key: project.keys.analyst });
}

async function keysOf(project: TestProject): Promise<KeysBody['results']> {
  const { results, ...rest } = (await requestKeys(project)).json<KeysBody>();
  expect(rest).toEqual({ truncated: false, count_is: 'exact' });
  return results;
}

describe('the keys in use', () => {
  it('are those that docs/aggregates.md shows for the fixtures', async () => {
    const page = await readFile('docs/aggregates.md', 'utf8');
    const rows = Array.from(page.matchAll(/^\| `(\w+)` +\| +(\d+) \| ([a-z, ]+?) *\|$/gm), (row) => row.slice(1));
    expect(rows.length).toBeGreaterThan(5);
    const keys = await keysOf(fixtures);
    for (const [key, ...documented] of rows) {
      const { objects, types } = keys.find((one) => one.key === key) ?? {};
      expect([key, String(objects), types?.join(', ')]).toEqual([key, ...documented]);
    }
    const sorted = [...keys].sort((a, b) => b.objects - a.objects || (a.key < b.key ? -1 : 1));
    expect(keys).toEqual(sorted);
  });

  it('include a write of any kind at once', async () => {
    const project = await api.project();
    expect(await keysOf(project)).toEqual([]);
    await postBatch(api, project.keys.producer, 'b', [
      { object_id: 'o', data: { n: 1 } },
      { object_id: 'p', data: { n: 'x', list: [1] } },
    ]);
    expect(await keysOf(project)).toEqual([
      { key: 'n', objects: 2, types: ['number', 'string'], example: 'x' },
      { key: 'list', objects: 1, types: ['array', 'number'], example: [1] },
    ]);
    const { admin: key } = project.keys;
    await api.call('PUT', '/objects/p', { key, body: { data: { n: null } } });
    expect(await keysOf(project)).toMatchObject([{ key: 'n', objects: 2, types: ['null', 'number'] }]);
    await api.call('DELETE', '/objects/o', { key });
    expect(await keysOf(project)).toEqual([{ key: 'n', objects: 1, types: ['null'], example: null }]);
  });

  it('have an example with every digit, and none that is longer than 1,000 bytes', async () => {
    const project = await api.project();
    const long = JSON.stringify('x'.repeat(999));
    const data = `{"n":12345678901234567890.10,"short":${JSON.stringify('x'.repeat(998))},"long":${long}}`;
    const body = `{"batch_id":"b","objects":[{"object_id":"o","data":${data}}]}`;
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
    const { text } = await requestKeys(project);
    expect(text).toContain('{"key":"n","objects":1,"types":["number"],"example":12345678901234567890.10}');
    expect(text).toContain('{"key":"long","objects":1,"types":["string"]}');
    expect(text).toContain(`{"key":"short","objects":1,"types":["string"],"example":"${'x'.repeat(998)}"}`);
  });

  it('are at most 1,000, those of the most objects', async () => {
    const project = await api.project();
    const names = Array.from({ length: 1_100 }, (_, i) => `k${String(i)}`);
    await postBatch(api, project.keys.producer, 'b', [
      { object_id: 'o', data: Object.fromEntries(names.map((name) => [name, 1])) },
      { object_id: 'p', data: { k1099: 2 } },
    ]);
    const { results, truncated } = (await requestKeys(project)).json<KeysBody>();
    expect([results.length, truncated]).toEqual([1_000, true]);
    expect(results[0]).toMatchObject({ key: 'k1099', objects: 2 });
  });

  it('have no parameters', async () => {
    const reply = await api.call('GET', '/objects/keys?key=n', { key: fixtures.keys.analyst });
    expect(expectProblem(reply, 'invalid-query').errors?.[0]?.parameter).toBe('key');
  });
});
