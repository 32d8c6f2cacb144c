import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { UNUSABLE_REASONS } from '#inverted-index';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { address, kindOf, places, postBatch, type ObjectBody, type PageBody } from './wire.js';

interface Explained extends PageBody<ObjectBody> {
  explain?: {
    filter: unknown;
    sort: unknown;
    steps: ({ step: string } & Record<string, unknown>)[];
    statements: { sql: string; rows: number; ms: number }[];
    ms: number;
  };
}

const COUNT = 3_000;

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
  project = await api.project();
  const objects = Array.from({ length: COUNT }, (_, n) => ({
    object_id: `o${String(n)}`,
    data: { type: n % 3 === 0 ? 'shoe' : 'boot', n, ...(n === 5 ? { rare: true } : {}) },
  }));
  await postBatch(api, project.keys.producer, 'b', objects);
});
afterAll(() => api.stop());

async function explain(query: Record<string, string>): Promise<Explained> {
  const reply = await api.call('GET', address('/objects', { ...query, explain: 'true' }), { key: project.keys.admin });
  if (reply.status !== 200) throw new Error(reply.text);
  return reply.json<Explained>();
}

const stepsOf = ({ explain: explained }: Explained): string[] => explained?.steps.map(({ step }) => step) ?? [];

describe('explain=true', () => {
  it('adds the filter, the steps and the statements to an unchanged page', async () => {
    const query = { data: '{"rare":true}', count: 'none' };
    const plain = await api.call('GET', address('/objects', query), { key: project.keys.admin });
    const { explain: explained, ...page } = await explain(query);
    expect(page).toEqual(plain.json());
    expect(explained).toEqual({
      filter: {
        kind: 'and',
        of: [{ kind: 'value', key: 'rare', isLiteral: false, test: { op: 'eq', value: 'true' } }],
      },
      sort: null,
      steps: [{ step: 'inverted_index', segments_max: 4, searched: COUNT, matches: 1, is_exact: true }],
      statements: [
        { sql: expect.stringContaining('index_blocks'), rows: expect.any(Number), ms: expect.any(Number) },
        { sql: expect.stringContaining('FROM objects'), rows: 1, ms: expect.any(Number) },
      ],
      ms: expect.any(Number),
    });
  });

  it('shows that a frequent filter is scanned once the index has shown its share, in one statement', async () => {
    const query = { data: '{"type":"shoe"}', count: 'none' };
    const first = await explain(query);
    expect(stepsOf(first)).toEqual(['inverted_index']);
    const second = await explain(query);
    expect([stepsOf(second), second.explain?.statements.length]).toEqual([['scan'], 1]);
    expect(second.results).toEqual(first.results);
  });

  it.each([
    [{ batch_id: 'b' }, ['batch_in_order']],
    [{}, ['all_in_order']],
    [{ sort: '-data.n', count: 'none' }, ['sorted_blocks']],
    [{ sort: 'data.n', data: '{"rare":true}', count: 'none' }, ['sort_matches', 'inverted_index']],
    [{ sort: 'object_id', count: 'none' }, ['column_index']],
  ] as [Record<string, string>, string[]][])('shows the steps of %j', async (query, steps) => {
    expect(stepsOf(await explain(query))).toEqual(steps);
  });

  it.each([
    [{ subject: 's' }, 'no_condition'],
    [{ sort: 'object_id', subject: 's' }, 'no_condition'],
    [{ data: '{"n":5}', page: '1001' }, 'far_page'],
  ] as [Record<string, string>, string][])('names the reason not to use the index for %j', async (query, reason) => {
    const { explain: explained } = await explain({ ...query, count: 'none' });
    expect(explained?.steps[0]).toEqual({ step: 'inverted_index', is_usable: false, reasons: [reason] });
  });

  it('names all reasons not to use the index of the project', async () => {
    const other = await api.project();
    const objects = Array.from({ length: 500 }, (_, n) => ({ object_id: `o${String(n)}`, data: { type: 'shoe', n } }));
    await postBatch(api, other.keys.producer, 'b', objects);
    const sql = (text: string): Promise<unknown> => api.db.sql(text, [other.projectId]);
    const explained = async (query: Record<string, string>): Promise<unknown[]> => {
      const path = address('/objects', { ...query, explain: 'true', count: 'none' });
      const reply = await api.call('GET', path, { key: other.keys.admin });
      return reply.json<Explained>().explain?.steps ?? [];
    };
    const unusable = (step: string, ...reasons: string[]): unknown => ({ step, is_usable: false, reasons });
    const filter = { data: '{"type":"shoe"}' };

    await sql('INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)');
    expect(await explained(filter)).toEqual([
      unusable('inverted_index', 'being_built'),
      expect.objectContaining({ step: 'scan', found: 10 }),
    ]);
    await sql(
      'INSERT INTO index_pending (project_id, seq, is_wide) SELECT $1, -n, true FROM generate_series(1, 51) AS n',
    );
    expect((await explained(filter))[0]).toEqual(unusable('inverted_index', 'being_built', 'many_wide'));
    await sql('DELETE FROM index_builds WHERE project_id = $1');
    await sql('INSERT INTO index_pending (project_id, seq) SELECT $1, -n FROM generate_series(52, 5002) AS n');
    await sql('UPDATE index_pending SET is_wide = false WHERE project_id = $1');
    expect((await explained({ sort: 'data.n' }))[0]).toEqual(unusable('sorted_blocks', 'many_pending'));
    await sql('DELETE FROM index_pending WHERE project_id = $1');
    expect(await explained({ sort: 'data.n' })).toEqual([{ step: 'sorted_blocks', found: 11, is_exact: true }]);
    const outdated = 'INSERT INTO index_outdated (project_id, seq, before_segment)';
    await sql('UPDATE index_segments SET last_seq = first_seq + 30000 WHERE project_id = $1');
    await sql(`${outdated} SELECT project_id, generate_series(first_seq, first_seq + 20000), number + 1
               FROM index_segments WHERE project_id = $1`);
    expect((await explained(filter))[0]).toEqual(unusable('inverted_index', 'many_outdated'));
  });

  it('does not use the index where a filter needs more than 32 MiB of its values, in pages, counts and facets', async () => {
    const other = await api.project();
    const objects = Array.from({ length: 500 }, (_, n) => ({
      object_id: `o${String(n)}`,
      data: { text: `text ${String(n)}`, even: n % 2 === 0 },
    }));
    await postBatch(api, other.keys.producer, 'b', objects);
    // The block is not valid: it must not be read.
    const resized = `UPDATE index_blocks SET body = convert_to(repeat('x', 33 * 1024 * 1024), 'UTF8') WHERE ctid = (
      SELECT ctid FROM index_blocks WHERE project_id = $1 AND path = 'text' AND kind = 5 LIMIT 1) RETURNING 1`;
    expect(await api.db.sql(resized, [other.projectId])).toHaveLength(1);
    const get = async <T>(path: string, query: Record<string, string>): Promise<T> => {
      const filter = { data: '{"text":{"$contains":"t 49"}}' };
      return (await api.call('GET', address(path, { ...query, ...filter }), { key: other.keys.admin })).json<T>();
    };
    const page = await get<Explained>('/objects', { count: 'exact', explain: 'true' });
    expect(page.explain?.steps[0]).toEqual({ step: 'inverted_index', is_usable: false, reasons: ['many_bytes'] });
    expect([page.count, page.count_is, page.results[0]?.object_id]).toEqual([11, 'exact', 'o499']);
    expect(await get('/objects/facets', { key: 'even' })).toMatchObject({
      results: [
        { value: false, count: 6 },
        { value: true, count: 5 },
      ],
      count_is: 'exact',
    });
  });

  it('sorts by reading the objects where the values before a page have more than 8 MiB', async () => {
    const other = await api.project();
    const count = 9_000;
    const objects = Array.from({ length: count }, (_, n) => {
      const rank = (n * 7) % count;
      return { object_id: String(rank), data: { text: String(rank).padStart(4, '0').padEnd(990, 'x') } };
    });
    await postBatch(api, other.keys.producer, 'b', objects);
    const query = { sort: 'data.text', page_size: '1000', fields: 'object_id', count: 'none', explain: 'true' };
    const numbered = async (page: number): Promise<[string[], unknown[]]> => {
      const path = address('/objects', { ...query, page: String(page) });
      const body = (await api.call('GET', path, { key: other.keys.admin })).json<Explained>();
      return [body.results.map((object) => object.object_id), body.explain?.steps ?? []];
    };
    const ranks = (from: number): string[] => Array.from({ length: 1_000 }, (_, n) => String(from + n));
    expect(await numbered(1)).toEqual([ranks(0), [{ step: 'sorted_blocks', found: 1_001, is_exact: true }]]);
    const [last, steps] = await numbered(9);
    expect(last).toEqual(ranks(8_000));
    const tooLarge = { step: 'sorted_blocks', is_usable: false, reasons: ['many_sorted_blocks'] };
    expect(steps.slice(0, 2)).toEqual([tooLarge, { step: 'sort_matches' }]);
  });

  it('documents each reason', async () => {
    const page = await readFile('docs/filter-language.md', 'utf8');
    expect(Object.keys(UNUSABLE_REASONS).filter((reason) => !page.includes(`\n| \`${reason}\``))).toEqual([]);
  });

  it('is for admins, in the query and in a body', async () => {
    const replies: Reply[] = [
      await api.call('GET', '/objects?explain=true', { key: project.keys.analyst }),
      await api.call('POST', '/objects/search', { key: project.keys.analyst, body: { explain: true } }),
    ];
    expect(replies.map((reply) => [kindOf(reply), places(reply)])).toEqual([
      ['403 forbidden', ['explain']],
      ['403 forbidden', ['/explain']],
    ]);
    const searched = await api.call('POST', '/objects/search', { key: project.keys.admin, body: { explain: true } });
    expect(stepsOf(searched.json<Explained>())).toEqual(['all_in_order']);
    const off = await api.call('GET', '/objects?explain=false', { key: project.keys.analyst });
    expect([off.status, off.json<Explained>().explain]).toEqual([200, undefined]);
    expect(kindOf(await api.call('GET', '/objects?explain=1', { key: project.keys.admin }))).toBe('400 invalid-query');
  });
});
