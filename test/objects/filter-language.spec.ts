import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { encrypt } from '../encryption/encrypted-project.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { RUN } from '../harness/run.js';
import { abbreviatedLike, address, type ObjectBody, type PageBody, type ProblemBody } from './wire.js';

let api: TestApi;
/** A project with only the fixtures. */
let fixtures: TestProject;
let page: string;

beforeAll(async () => {
  api = await TestApi.start({ STOWAGE_SEED: 'true', STOWAGE_DATA_KEY: RUN.dataKey });
  fixtures = await api.project('default');
  await encrypt(api, fixtures, ['name']);
  page = await readFile('docs/filter-language.md', 'utf8');
});
afterAll(() => api.stop());

/** The rows of the tables below the heading that begins with this text: the query and the next cell. */
function rowsBelow(heading: string): [query: string, cell: string][] {
  return page
    .split(/^(?=\|[^\n]*\n\| -)/m)
    .filter((table) => table.startsWith(heading))
    .flatMap((table) =>
      Array.from(table.matchAll(/^\| (?:`([^`]*=[^`]*)`|no filter) *\| *(.*?) *\|/gm), ([, query = '', cell = '']) => {
        const row: [string, string] = [query, cell];
        return row;
      }),
    );
}

async function read<T>(path: string, query: string): Promise<T> {
  const parameters = new URLSearchParams(query).toString();
  const reply = await api.call('GET', `${path}?${parameters}`, { key: fixtures.keys.analyst });
  return reply.json<T>();
}

/** The rows of the table of stored pairs. */
function storedPairs(): { stored: string; data: string; matches: boolean }[] {
  return Array.from(
    page.matchAll(/^\| `([^`]*)` *\| `([^`]*)` *\| (yes|no) *\|/gm),
    ([, stored = '', data = '', cell]) => ({
      stored,
      data,
      matches: cell === 'yes',
    }),
  );
}

describe('docs/filter-language.md', () => {
  it.each([
    ['/objects', 35],
    ['/batches', 5],
  ])('shows the actual counts for the fixtures in lists of %s', async (path, atLeast) => {
    const rows = rowsBelow(`| on \`/api/v1${path}\``);
    expect(rows.length).toBeGreaterThan(atLeast);
    for (const [query, expected] of rows) {
      const { count } = await read<PageBody<ObjectBody>>(path, query);
      expect([query, count]).toEqual([query, Number(expected)]);
    }
  });

  it('shows which stored pairs a filter matches', async () => {
    const { keys } = await api.project();
    const rows = storedPairs();
    expect(rows.length).toBeGreaterThan(15);
    for (const [i, { stored, data, matches }] of rows.entries()) {
      const batch = `pair-${String(i)}`;
      const body = `{"batch_id":"${batch}","objects":[{"object_id":"${batch}","data":${stored}}]}`;
      expect((await api.call('POST', '/batches', { key: keys.producer, body })).status).toBe(201);
      const list = await api.call('GET', address('/objects', { batch_id: batch, data }), { key: keys.analyst });
      expect([stored, data, list.json<PageBody<ObjectBody>>().results.length === 1]).toEqual([stored, data, matches]);
    }
  });

  it('shows the actual errors of invalid queries', async () => {
    const rows = rowsBelow('| request');
    expect(rows.length).toBeGreaterThan(5);
    for (const [query, expected] of rows) {
      const detail = (await read<ProblemBody>('/objects', query)).errors?.[0]?.detail ?? '';
      expect([query, abbreviatedLike(expected, detail)]).toEqual([query, expected]);
    }
  });
});
