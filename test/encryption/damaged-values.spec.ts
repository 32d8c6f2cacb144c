import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { samplesOf, valueOf } from '../telemetry/scrape.js';
import { encrypt } from './encrypted-project.js';

const SECRET = 'Hedy-Lamarr-19c4';
const OBJECTS = 30;
const DATA_KEY = { STOWAGE_DATA_KEY: randomBytes(32).toString('base64') };

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start(DATA_KEY);
  project = await api.project();
  // The key "note" is a removed one, whose values are not reported.
  for (const keys of [['name', 'note'], ['name']]) await encrypt(api, project, keys);
  const objects = Array.from({ length: OBJECTS }, (_, n) => ({
    object_id: `o${String(n)}`,
    data: { name: `${SECRET} ${String(n)}`, note: '$enc1:12345678:no-sealed-value' },
  }));
  const reply = await api.call('POST', '/batches', { key: project.keys.admin, body: { batch_id: 'b', objects } });
  expect(reply.status).toBe(201);
});
afterAll(() => api.stop());

async function countUnopened(on: TestApi = api): Promise<number> {
  const { text } = await on.call('GET', `${on.origin}/metrics`, { key: api.operatorKey });
  return valueOf(samplesOf(text), 'stowage_encryption_unopened_total');
}

describe('an encrypted value that was moved to another object in the database', () => {
  it('stays as it is stored, is counted at each read, and is logged once a minute without its text', async () => {
    const read = async (): Promise<string> =>
      (await api.call('GET', '/objects?page_size=100', { key: project.keys.analyst })).text;
    const before = await read();
    expect([before.split(SECRET).length - 1, await countUnopened()]).toEqual([OBJECTS, 0]);

    await api.db.sql(
      `UPDATE objects AS o SET data = other.data FROM objects AS other
       WHERE o.project_id = $1 AND other.project_id = $1 AND o.object_id IN ('o1', 'o2') AND other.object_id = 'o0'`,
      [project.projectId],
    );
    const after = await read();
    expect(after.split(SECRET).length - 1).toBe(OBJECTS - 2);
    await read();
    // What is scraped may be a second old.
    await waitFor(async () => (await countUnopened()) === 4 || undefined);
    const lines = await api.logWith(`of the project ${String(project.projectId)} is encrypted and cannot be decrypted`);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines)).toMatch(
      new RegExp(`the object .*o[12].* of the project ${String(project.projectId)}`),
    );
    expect(JSON.stringify(await api.log())).not.toMatch(/Lamarr|\$enc1:/);
  });

  it('stays as it is stored also when stored values are encrypted again, and is counted', async () => {
    const readStored = (): Promise<object[]> =>
      api.db.sql('SELECT object_id, data FROM objects WHERE project_id = $1 ORDER BY object_id', [project.projectId]);
    const before = await readStored();
    await api.db.sql(
      `UPDATE projects SET encryption_cursor = 0, encryption_changed_at = now() - interval '1 hour' WHERE project_id = $1`,
      [project.projectId],
    );
    const worker = await api.another({ WORKER: 'inline', ...DATA_KEY });
    await waitFor(async () => {
      const sql = 'SELECT FROM projects WHERE project_id = $1 AND encryption_cursor IS NULL';
      return (await api.db.sql(sql, [project.projectId])).length > 0 || undefined;
    });
    expect(await readStored()).toEqual(before);
    await waitFor(async () => (await countUnopened(worker)) === 2 || undefined);
    await worker.stop();
  });
});
