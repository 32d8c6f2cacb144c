import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
});
afterAll(() => api.stop());

it('deletes marks after a day, together with the rollups that they invalidate', async () => {
  const [hour, old] = ['2024-12-10T16:00:00Z', `now() - interval '25 hours'`];
  await api.db.sql(`
    INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
    VALUES (1, 'old', '${hour}', ${old}), (1, 'new', '${hour}', now()), (1, 'both', '${hour}', ${old}),
      (1, 'both', '${hour}', now())`);
  await api.db.sql(`
    INSERT INTO rollups (project_id, subject, hour, count, sum, min, max)
    SELECT 1, subject, '${hour}', 1, 1, 1, 1 FROM unnest(ARRAY['old', 'new', 'both', 'good']) AS s (subject)`);
  const subjectsIn = async (table: string): Promise<string[]> =>
    (await api.db.sql<{ subject: string }>(`SELECT subject FROM ${table} ORDER BY subject`)).map((row) => row.subject);
  const remaining = async (): Promise<string[][]> => [await subjectsIn('rollup_marks'), await subjectsIn('rollups')];
  // A server that runs jobs starts with its maintenance.
  const server = await api.another({ WORKER: 'inline' });
  try {
    await waitFor(async () => ((await remaining()).every(({ length }) => length === 2) ? true : undefined));
    expect(await remaining()).toEqual([
      ['both', 'new'],
      ['good', 'new'],
    ]);
  } finally {
    await server.stop();
  }
});
