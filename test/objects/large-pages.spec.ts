import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { allOf, type BatchBody, type ObjectBody, type PageBody, type WholeBatchBody } from './wire.js';

/** Of 3 MiB, which nothing makes smaller: with three of them before it no fourth is on a page. */
const LARGE = randomBytes(1.5 * 1024 * 1024).toString('hex');
const IDS = ['a', 'b', 'c', 'd'];

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ PAGE_BYTES_MAX: String(8 * 1024 * 1024) });
  project = await api.project();
  for (const [index, ids] of [IDS.slice(0, 2), IDS.slice(2)].entries()) {
    const objects = ids.map((id) => ({ object_id: id, subject: 'heavy', data: { id, text: LARGE } }));
    const options = { key: project.keys.producer, body: { batch_id: 'large', objects } };
    const [method, path] =
      index === 0 ? (['POST', '/batches'] as const) : (['PUT', '/batches/large?on_conflict=skip'] as const);
    const reply = await api.call(method, path, options);
    expect([reply.status, reply.text.slice(0, 200)]).toEqual([index === 0 ? 201 : 200, expect.any(String)]);
  }
});
afterAll(() => api.stop());

const get = (path: string): Promise<Reply> => api.call('GET', path, { key: project.keys.analyst });
const idsOf = (objects: { object_id: string }[]): string[] => objects.map((one) => one.object_id);

describe('objects of megabytes', () => {
  it.each(['', '&page=1', '&key=id', '&subject=heavy', '&batch_id=large'])(
    'are refused as a page that cannot be held: %s',
    async (parameters) => {
      const problem = expectProblem(await get(`/objects?page_size=4${parameters}`), 'invalid-query');
      expect(placesOf(problem)).toEqual(['page_size']);
      expect(problem.detail).toContain('PAGE_BYTES_MAX');
    },
  );

  it('are read in pages that can be held', async () => {
    const all = await allOf<ObjectBody>(api, project.keys.analyst, '/objects?page_size=2');
    expect(idsOf(all)).toEqual(IDS.toReversed());
    expect(all[0]?.data[1]?.value === LARGE).toBe(true);
    const [oldest] = (await get('/objects?page_size=1&page=4')).json<PageBody<ObjectBody>>().results;
    expect(oldest?.object_id).toBe('a');
  });

  it('are all in their batch, and as many as can be held where batches are listed', async () => {
    expect(idsOf((await get('/batches/large')).json<WholeBatchBody>().objects)).toEqual(IDS);
    const [batch] = (await get('/batches?include=objects')).json<PageBody<BatchBody>>().results;
    const nested = idsOf(batch?.objects ?? []);
    expect(nested.length).toBeGreaterThan(0);
    expect(nested.length).toBeLessThan(IDS.length);
    const rest = await allOf<ObjectBody>(api, project.keys.analyst, `${batch?.objects_next ?? ''}&page_size=2`);
    expect([...nested, ...idsOf(rest)]).toEqual(IDS);
  });
});
