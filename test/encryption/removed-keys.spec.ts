import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { encrypt } from './encrypted-project.js';

const STOWAGE_DATA_KEY = randomBytes(32).toString('base64');
/** Runs no background work, so that nothing is decrypted. */
let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', STOWAGE_DATA_KEY });
  project = await api.project();
  await encrypt(api, project, ['name', 'age']);
  const objects = ['alice', 'bob'].map((name) => ({ object_id: name, data: { name, age: 7, type: 'person' } }));
  const options = { key: project.keys.producer, body: { batch_id: 'b', objects } };
  expect((await api.call('POST', '/batches', options)).status).toBe(201);
});
afterAll(() => api.stop());

const call = (method: string, path: string, from = api): Promise<Reply> =>
  from.call(method, path, { key: project.keys.admin });

/** Everything that compares, sorts or groups values of a key. */
const usesOf = (key: string): [method: string, path: string][] => {
  const filters = [`{"${key}":{"$ne":"alice"}}`, `{"${key}":{"$gt":1}}`].map((data) => encodeURIComponent(data));
  return [
    ...filters.flatMap((data): [string, string][] => [
      ['DELETE', `/objects?max_affected=9&data=${data}`],
      ...['/objects', '/objects/export', '/batches', '/objects/changes'].map((path): [string, string] => [
        'GET',
        `${path}?data=${data}`,
      ]),
    ]),
    ['GET', `/objects?sort=data.${key}`],
    ['GET', `/objects/export?sort=data.${key}`],
    ['GET', `/objects/facets?key=${key}`],
    ['GET', `/objects/aggregate?op=count&by=data.${key}`],
    ['GET', `/objects/aggregate?op=sum&key=${key}`],
  ];
};

async function expectRefused(key: string): Promise<void> {
  for (const [method, path] of usesOf(key)) {
    const { status, text } = await call(method, path);
    const isRefused = text.includes(`the values of the key \\"${key}\\", which are encrypted`);
    expect([method, path, status, isRefused]).toEqual([method, path, 400, true]);
  }
  const threshold = { op: 'max', key, bucket: '1h', compare: { $gt: 1 } };
  const body = { name: 'w', url: 'https://hooks.example.com/', events: ['threshold.reached'], threshold };
  expect((await api.call('POST', '/webhooks', { key: project.keys.admin, body })).status).toBe(400);
  const { results } = (await call('GET', '/objects/keys')).json<{ results: { key: string }[] }>();
  expect(results).toContainEqual({ key, objects: 2, types: [], encrypted: true });
}

describe('a key that was removed from the list', () => {
  it('cannot be searched, sorted, counted or aggregated until all its values are decrypted', async () => {
    await encrypt(api, project, ['age', 'other']);
    await expectRefused('name');
    await encrypt(api, project, ['other']);
    await expectRefused('name');
    await encrypt(api, project, ['age']);
    await encrypt(api, project, null);
    for (const key of ['name', 'age']) await expectRefused(key);
    const names = async (): Promise<unknown> => (await call('GET', '/objects?fields=data.name')).json();
    expect(await names()).toMatchObject({ count: 2 });

    await api.db.sql(
      `UPDATE projects SET encryption_changed_at = encryption_changed_at - interval '1 hour' WHERE project_id = $1`,
      [project.projectId],
    );
    const worker = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY });
    try {
      await waitFor(async () => (await call('GET', '/objects?sort=data.name')).status === 200 || undefined, 60_000);
    } finally {
      await worker.stop();
    }
    for (const key of ['name', 'age'])
      for (const [method, path] of usesOf(key).filter(([name]) => name === 'GET')) {
        const { status, text } = await call(method, path);
        expect([path, status, text.includes('$enc1:')]).toEqual([path, 200, false]);
      }
    const deleted = await call(
      'DELETE',
      `/objects?max_affected=9&data=${encodeURIComponent('{"name":{"$ne":"alice"}}')}`,
    );
    expect([deleted.status, deleted.json()]).toEqual([200, { deleted: 1 }]);
    expect((await call('GET', '/objects/alice')).status).toBe(200);
  }, 90_000);
});
