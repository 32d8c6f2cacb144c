import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import {
  address,
  allOf,
  kindOf,
  pagesFrom,
  places,
  postBatch,
  type BatchBody,
  type ObjectBody,
  type PageBody,
  type WholeBatchBody,
} from '../objects/wire.js';

let api: TestApi;
/** Stores batches b-0 to b-11 in this order. Batch b-n has n objects; those of even batches are shoes. */
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  for (let n = 0; n < 12; n++) {
    const objects = Array.from({ length: n }, (_, i) => ({
      object_id: `o-${String(n)}-${String(i)}`,
      data: { type: n % 2 === 0 ? 'shoe' : 'boot', place: i },
    }));
    await postBatch(api, project.keys.producer, `b-${String(n)}`, objects);
  }
});
afterAll(() => api.stop());

const get = (url: string): Promise<Reply> => api.call('GET', url, { key: project.keys.analyst });
const page = async (url: string): Promise<PageBody<BatchBody>> => (await get(url)).json<PageBody<BatchBody>>();
const ids = ({ results }: PageBody<BatchBody>): string[] => results.map((one) => one.batch_id);
const batchIds = (...numbers: number[]): string[] => numbers.map((n) => `b-${String(n)}`);

describe('GET /batches', () => {
  it('lists batches newest first, each as POST returned it', async () => {
    const first = await page('/batches');
    expect(ids(first)).toEqual(batchIds(11, 10, 9, 8, 7, 6, 5, 4, 3, 2));
    expect([first.count, first.count_is, first.previous]).toEqual([12, 'exact', null]);
    const batch = first.results[0];
    expect(Object.keys(batch ?? {})).toEqual(['batch_id', 'object_count', 'created_at', 'url', 'objects_url']);
    expect(batch?.object_count).toBe(11);
    expect((await get(batch?.url ?? '')).json<WholeBatchBody>().objects).toHaveLength(11);
    expect((await get(batch?.objects_url ?? '')).json<PageBody<ObjectBody>>().count).toBe(11);
  });

  it.each([1, 5, 6, 12, 13])('returns the same batches in pages of %d, forwards and backwards', async (size) => {
    const forwards = await pagesFrom<BatchBody>(api, project.keys.analyst, `/batches?page_size=${String(size)}`);
    expect(forwards.flatMap(ids)).toEqual(batchIds(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const backwards: string[][] = [];
    let last = forwards.at(-1);
    while (last !== undefined) {
      backwards.unshift(ids(last));
      last = last.previous === null ? undefined : await page(last.previous);
    }
    expect(backwards).toEqual(forwards.map(ids));
  });

  it('lists a batch once if several of its objects match', async () => {
    const shoes = await page(address('/batches', { data: '{"type":"shoe"}' }));
    expect([ids(shoes), shoes.count]).toEqual([batchIds(10, 8, 6, 4, 2), 5]);
    expect(shoes.results.map((one) => one.object_count)).toEqual([10, 8, 6, 4, 2]);
  });

  it('requires one object to match all conditions of a filter', async () => {
    const { keys } = await api.project();
    await postBatch(api, keys.producer, 'split', [
      { object_id: '1', data: { type: 'shoe' }, subject: 'a' },
      { object_id: '2', data: { color: 'red' }, subject: 'b' },
    ]);
    for (const filter of [{ data: '{"type":"shoe","color":"red"}' }, { data: '{"type":"shoe"}', subject: 'b' }]) {
      expect(await allOf(api, keys.analyst, address('/batches', filter))).toEqual([]);
    }
    expect(await allOf(api, keys.analyst, address('/batches', { data: '{"type":"shoe"}', subject: 'a' }))).toHaveLength(
      1,
    );
  });

  it('finds a batch by batch_id, even if it is empty', async () => {
    expect(ids(await page('/batches?batch_id=b-0'))).toEqual(['b-0']);
    expect(ids(await page('/batches?batch_id=b-4&key=type&value=shoe'))).toEqual(['b-4']);
    expect(ids(await page('/batches?batch_id=b-5&key=type&value=shoe'))).toEqual([]);
  });

  it('updates object_count when objects are added and deleted', async () => {
    const { keys } = await api.project();
    await postBatch(api, keys.producer, 'b', [{ object_id: '1', data: [] }]);
    const read = async (): Promise<unknown[]> =>
      (await allOf<BatchBody>(api, keys.analyst, '/batches')).map((one) => [one.batch_id, one.object_count]);
    await api.call('POST', '/objects', { key: keys.producer, body: { batch_id: 'b', object_id: '2', data: [] } });
    expect(await read()).toEqual([['b', 2]]);
    await api.call('DELETE', '/objects/1', { key: keys.admin });
    expect(await read()).toEqual([['b', 1]]);
    await api.call('DELETE', '/batches/b?cascade=true', { key: keys.admin });
    expect(await read()).toEqual([]);
  });
});

describe('GET /batches?include=objects', () => {
  it('nests the objects of each batch in the order sent', async () => {
    const pages = await pagesFrom<BatchBody>(api, project.keys.analyst, '/batches?include=objects&page_size=5');
    const batches = pages.flatMap((one) => one.results);
    expect(batches.map((one) => one.batch_id)).toEqual(batchIds(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    for (const batch of batches) {
      expect(batch.objects_next).toBeNull();
      expect(batch.objects).toEqual((await get(batch.url)).json<WholeBatchBody>().objects);
    }
  });

  it('nests all objects of a batch if one of them matches', async () => {
    const found = await page(address('/batches', { data: '{"type":"boot","place":10}', include: 'objects' }));
    expect(ids(found)).toEqual(['b-11']);
    expect(found.results[0]?.objects).toHaveLength(11);
  });

  it('returns an empty page if nothing matches', async () => {
    expect((await page('/batches?include=objects&key=never')).results).toEqual([]);
  });

  it.each([1_000, 1_001, 2_345])(
    'nests the first 1,000 of %d objects, and links to the others in order',
    async (count) => {
      const { keys } = await api.project();
      const objects = Array.from({ length: count }, (_, i) => ({ object_id: `n-${String(i)}`, data: [] }));
      await postBatch(api, keys.producer, 'a/b c', objects);
      await postBatch(api, keys.producer, 'small', [{ object_id: 'last', data: [] }]);
      const reply = await api.call('GET', '/batches?include=objects', { key: keys.analyst });
      const [small, large] = reply.json<PageBody<BatchBody>>().results;
      expect([small?.objects?.length, small?.objects_next]).toEqual([1, null]);
      expect(large?.objects).toEqual(objects.slice(0, 1_000));
      if (count === 1_000) expect(large?.objects_next).toBeNull();
      else {
        const next = `${large?.objects_next ?? ''}&page_size=300`;
        const pages = await pagesFrom<ObjectBody>(api, keys.analyst, next);
        const rest = pages.flatMap((one) => one.results.map((object) => object.object_id));
        expect(rest).toEqual(objects.slice(1_000).map((one) => one.object_id));
        // Also follows the previous links back, past the nested objects.
        const back: string[] = [];
        for (let url = pages.at(-1)?.previous ?? null; url !== null;) {
          const one: PageBody<ObjectBody> = (await api.call('GET', url, { key: keys.analyst })).json();
          back.unshift(...one.results.map((object) => object.object_id));
          url = one.previous;
        }
        const last = pages.at(-1)?.results.length ?? 0;
        expect(back).toEqual(objects.slice(0, count - last).map((one) => one.object_id));
      }
    },
  );

  it.each(['include=all', 'include=', 'include=objects&include=objects'])('rejects ?%s', async (query) => {
    const reply = await get(`/batches?${query}`);
    expect([kindOf(reply), ...places(reply)]).toEqual(['400 invalid-query', 'include']);
    expect(kindOf(await get('/objects?include=objects'))).toBe('400 invalid-query');
  });
});
