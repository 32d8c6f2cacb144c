import { Maintenance } from '#jobs';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApp } from '../harness/app.js';

let api: TestApp;

beforeAll(async () => {
  api = await TestApp.start();
});
afterAll(() => api.stop());

it('marks are deleted after a day, and with them the sums that they end', async () => {
  const [hour, old] = ['2024-12-10T16:00:00Z', `now() - interval '25 hours'`];
  await api.db.sql(`
    INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
    VALUES (1, 'old', '${hour}', ${old}), (1, 'new', '${hour}', now()), (1, 'both', '${hour}', ${old}),
      (1, 'both', '${hour}', now())`);
  await api.db.sql(`
    INSERT INTO rollups (project_id, subject, hour, count, sum, min, max)
    SELECT 1, subject, '${hour}', 1, 1, 1, 1 FROM unnest(ARRAY['old', 'new', 'both', 'good']) AS s (subject)`);
  await api.app.get(Maintenance).run();
  const left = async (table: string): Promise<string[]> =>
    (await api.db.sql<{ subject: string }>(`SELECT subject FROM ${table} ORDER BY subject`)).map((row) => row.subject);
  expect([await left('rollup_marks'), await left('rollups')]).toEqual([
    ['both', 'new'],
    ['good', 'new'],
  ]);
});
