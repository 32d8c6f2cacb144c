import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { encrypt } from './encrypted-project.js';

const PAGE = 'docs/operations/backup.md';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', STOWAGE_DATA_KEY: randomBytes(32).toString('base64') });
  project = await api.project();
});
afterAll(() => api.stop());

it('without the data key a server starts after the SQL of the page, and shows encrypted text for the lost values', async () => {
  await encrypt(api, project, ['name']);
  const data = { name: 'Ada', type: 'shoe' };
  const write = (id: string, on: TestApi): ReturnType<TestApi['call']> =>
    on.call('POST', '/batches', {
      key: project.keys.admin,
      body: { batch_id: id, objects: [{ object_id: id, data }] },
    });
  await waitFor(async () => {
    expect((await write(`b${String(Date.now())}`, api)).status).toBe(201);
    const rows = await api.db.sql(`SELECT FROM objects WHERE strpos(data::text, '$enc1:') > 0`);
    return rows.length > 0 || undefined;
  });
  await expect(api.another({ STOWAGE_DATA_KEY: '' })).rejects.toThrow();

  const [, sql] = /## A lost data key[^]*?```sql\n([^]*?)```/.exec(await readFile(PAGE, 'utf8')) ?? [];
  for (const statement of (sql ?? '').split(';').filter((text) => text.trim() !== '')) {
    if (!/BEGIN|COMMIT/.test(statement)) await api.db.sql(statement);
  }
  const other = await api.another({ STOWAGE_DATA_KEY: '' });
  try {
    const reply = await other.call('GET', '/objects', { key: project.keys.admin });
    expect([reply.status, reply.text.includes('"$enc1:'), reply.text.includes('shoe')]).toEqual([200, true, true]);
    expect((await write('later', other)).status).toBe(201);
    const later = await other.call('GET', '/objects/later', { key: project.keys.admin });
    expect(later.text).toContain('"Ada"');
  } finally {
    await other.stop();
  }
});
