import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';

/** More than the objects of a block that is left out where another condition has few. */
const OBJECTS = 1_500;
/** Every 300th object is rare; of these, every second one is open. */
const RARE = [0, 300, 600, 900, 1200];
const OPEN_AND_RARE = ['o-1200', 'o-600', 'o-0'];

interface Listed {
  count: number;
  count_is: string;
  next: string | null;
  previous: string | null;
  results: { object_id: string }[];
  explain?: { steps: { step: string; matches?: number; is_exact?: boolean }[] };
}

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  const objects = Array.from({ length: OBJECTS }, (_, n) => ({
    object_id: `o-${String(n)}`,
    data: {
      status: n % 600 === 0 || n % 2 === 1 ? 'open' : 'closed',
      size: n % 7,
      sku: `sku-${String(n)}`,
      ...(RARE.includes(n) ? { rare: 'yes' } : {}),
    },
  }));
  const { status } = await api.call('POST', '/batches', { key: project.keys.admin, body: { batch_id: 'b', objects } });
  expect(status).toBe(201);
});
afterAll(() => api.stop());

async function list(data: unknown, parameters = '', of = project): Promise<Listed> {
  const path = `/objects?data=${encodeURIComponent(JSON.stringify(data))}${parameters}`;
  const reply = await api.call('GET', path, { key: of.keys.admin });
  expect([reply.status, reply.text]).toEqual([200, expect.anything()]);
  return reply.json<Listed>();
}

const idsOf = ({ results }: Listed): string[] => results.map(({ object_id }) => object_id);

describe('a filter of which one condition has few objects', () => {
  const filter = { status: 'open', rare: 'yes' };

  it('reads these objects instead of the blocks of frequent values', async () => {
    const page = await list(filter, '&explain=true');
    expect(idsOf(page)).toEqual(OPEN_AND_RARE);
    const search = page.explain?.steps.find(({ step }) => step === 'inverted_index');
    expect(search).toMatchObject({ matches: RARE.length, is_exact: false });
  });

  it.each(['', '&count=exact', '&page_size=1', '&page_size=2'])('counts exactly with%s', async (parameters) => {
    const { count, count_is } = await list(filter, parameters);
    expect([count, count_is]).toEqual([OPEN_AND_RARE.length, 'exact']);
  });

  it('has the same pages forwards and backwards', async () => {
    const pages: string[] = [];
    let page = await list(filter, '&page_size=1');
    pages.push(...idsOf(page));
    while (page.next !== null) {
      page = (await api.call('GET', page.next, { key: project.keys.admin })).json<Listed>();
      pages.push(...idsOf(page));
    }
    expect(pages).toEqual(OPEN_AND_RARE);
    const back: string[] = [];
    while (page.previous !== null) {
      page = (await api.call('GET', page.previous, { key: project.keys.admin })).json<Listed>();
      back.unshift(...idsOf(page));
    }
    expect(back).toEqual(OPEN_AND_RARE.slice(0, -1));
  });

  it.each([
    [{ status: 'open', sku: 'sku-301' }, ['o-301']],
    [{ status: 'closed', sku: 'sku-301' }, []],
    [{ rare: 'yes', $not: { status: 'open' } }, ['o-900', 'o-300']],
    [{ rare: 'yes', $or: [{ status: 'open' }, { size: 300 % 7 }] }, ['o-1200', 'o-600', 'o-300', 'o-0']],
    [{ rare: 'yes', status: { $ne: 'open' }, sku: { $prefix: 'sku-' } }, ['o-900', 'o-300']],
    [{ rare: 'no', status: 'open' }, []],
  ])('finds the matches of %j', async (data, ids) => {
    const page = await list(data);
    expect([idsOf(page), page.count, page.count_is]).toEqual([ids, ids.length, 'exact']);
  });

  it('is right after changes of the objects', async () => {
    const { keys } = project;
    const body = { data: { status: 'closed' } };
    const headers = { 'Content-Type': 'application/merge-patch+json' };
    expect((await api.call('PATCH', '/objects/o-600', { key: keys.admin, body, headers })).status).toBe(200);
    expect(idsOf(await list(filter))).toEqual(['o-1200', 'o-0']);
    expect((await api.call('DELETE', '/objects/o-0', { key: keys.admin })).status).toBe(204);
    const page = await list(filter);
    expect([idsOf(page), page.count]).toEqual([['o-1200'], 1]);
  });
});

describe('a filter of which one condition has few objects in some segments only', () => {
  const filter = { status: 'open', rare: 'yes' };
  /** The rare objects of each batch, which is a segment of its own; half of the objects are open. */
  const RARE_OF = [8, 600];
  const MATCHES = 304;
  let mixed: TestProject;

  beforeAll(async () => {
    mixed = await api.project();
    for (const [batch, rare] of RARE_OF.entries()) {
      const objects = Array.from({ length: 3_000 }, (_, n) => ({
        object_id: `${String(batch)}-${String(n)}`,
        data: { status: n % 2 === 0 ? 'open' : 'closed', ...(n < rare ? { rare: 'yes' } : {}) },
      }));
      const body = { batch_id: `b-${String(batch)}`, objects };
      expect((await api.call('POST', '/batches', { key: mixed.keys.admin, body })).status).toBe(201);
    }
  });

  it.each(['', '&count=exact', '&page_size=100', '&page_size=303', '&page=3'])(
    'counts exactly with%s',
    async (more) => {
      const { count, count_is } = await list(filter, more, mixed);
      expect([count, count_is]).toEqual([MATCHES, 'exact']);
    },
  );

  it.each([['next'], ['previous']] as const)('has every match once on the pages by %s', async (direction) => {
    let page = await list(filter, `&page_size=40${direction === 'previous' ? '&page=8' : ''}`, mixed);
    const ids = idsOf(page);
    for (let url = page[direction]; url !== null; url = page[direction]) {
      page = (await api.call('GET', url, { key: mixed.keys.admin })).json<Listed>();
      ids.push(...idsOf(page));
    }
    expect([ids.length, new Set(ids).size]).toEqual([MATCHES, MATCHES]);
  });
});

describe('a rare pair, and two bounds of a key with frequent values', () => {
  it('finds the object although the blocks between the bounds are left out', async () => {
    const other = await api.project();
    const objects = Array.from({ length: OBJECTS }, (_, n) => ({
      object_id: `o-${String(n)}`,
      data: { rating: (n % 5) + 1, grade: 'abcde'.charAt(n % 5), ...(n === 8 ? { code: 'x' } : {}) },
    }));
    const body = { batch_id: 'b', objects };
    expect((await api.call('POST', '/batches', { key: other.keys.admin, body })).status).toBe(201);
    for (const bounds of [{ rating: { $gte: 3, $lte: 4 } }, { grade: { $gt: 'c', $lt: 'e' } }]) {
      for (const parameters of ['', '&count=exact', '&count=none']) {
        const page = await list({ code: 'x', ...bounds }, parameters, other);
        expect([bounds, idsOf(page)]).toEqual([bounds, ['o-8']]);
      }
    }
  });
});
