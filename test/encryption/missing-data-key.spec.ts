import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { getJob, submitJob, waitFor, waitForJob } from '../jobs/jobs.js';
import { encrypt, tablesWith } from './encrypted-project.js';

const SECRET = 'Grace-Hopper-77aa';
const LOGGED = 'which is not set here';

let api: TestApi;
let sealed: TestProject;
let plain: TestProject;
const dataKey = randomBytes(32).toString('base64');

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', STOWAGE_DATA_KEY: dataKey });
  [sealed, plain] = [await api.project(), await api.project()];
});
afterAll(() => api.stop());

const bodyOf = (id: string): string =>
  `{"batch_id":"${id}","objects":[{"object_id":"${id}","data":[{"key":"name","value":"${SECRET}"}]}]}`;

// They start before the first list is set, when any data key will do.
describe.each([
  ['no data key', ''],
  ['another data key', randomBytes(32).toString('base64')],
])('a server that was started before the first list, with %s', (name, ownKey) => {
  let other: TestApi;
  const id = name.replaceAll(' ', '-');
  const statusOf = async (server: TestApi, { keys }: TestProject, path = '/objects'): Promise<number> =>
    (await server.call('GET', path, { key: keys.analyst })).status;
  const isReady = async (): Promise<number> => (await other.call('GET', `${other.origin}/health/ready`)).status;

  beforeAll(async () => {
    await encrypt(api, sealed, null);
    await api.db.sql('UPDATE projects SET encryption_key_id = NULL, encryption_cursor = NULL');
    await api.db.sql('DELETE FROM data_keys');
    other = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY: ownKey });
    expect([await statusOf(other, sealed), await isReady()]).toEqual([200, 200]);
    await encrypt(api, sealed, ['name']);
    await waitFor(async () => (await isReady()) === 503 || undefined);
  });
  afterAll(() => other.stop());

  it('neither reads nor writes the objects of the project, and serves other projects', async () => {
    const { producer, analyst } = sealed.keys;
    expect((await api.call('POST', '/batches', { key: producer, body: bodyOf(id) })).status).toBe(201);
    for (const path of [
      '/objects',
      `/objects/${id}`,
      `/batches/${id}`,
      '/objects/export',
      '/objects/changes',
      '/objects/keys',
    ]) {
      const reply = await other.call('GET', path, { key: analyst });
      expect([path, reply.status, reply.text.includes('$enc1:')]).toEqual([path, 503, false]);
      expect(reply.headers.get('retry-after')).not.toBeNull();
      expect(reply.json()).toMatchObject({ detail: expect.stringContaining('does not have a data key') as unknown });
    }
    for (const [method, path] of [
      ['POST', '/batches'],
      ['PUT', '/batches/x'],
      ['PUT', '/objects/x'],
    ] as const) {
      const reply = await other.call(method, path, { key: producer, body: bodyOf('x') });
      expect([path, reply.status]).toEqual([path, 503]);
    }
    expect(await statusOf(other, plain)).toBe(200);
    expect((await other.call('POST', '/batches', { key: plain.keys.producer, body: bodyOf(id) })).status).toBe(201);
    expect(await tablesWith(api, sealed, SECRET)).toEqual([]);
  });

  it('runs no jobs of the project, and those of others', async () => {
    const job = await submitJob(api, 'POST', '/batches', { key: sealed.keys.admin, body: bodyOf(`job-${id}`) });
    const others = await submitJob(api, 'POST', '/batches', { key: plain.keys.admin, body: bodyOf(`job-${id}`) });
    expect(await waitForJob(api, plain.keys.admin, others)).toMatchObject({ status: 'succeeded' });
    expect(await getJob(api, sealed.keys.admin, job)).toMatchObject({ status: 'queued', attempts: 0 });
    expect(await statusOf(other, sealed, job.url.replace(/^.*(?=[/]jobs)/, ''))).toBe(503);
    const worker = await api.another({ WORKER: 'inline', STOWAGE_DATA_KEY: dataKey });
    expect(await waitForJob(api, sealed.keys.admin, job)).toMatchObject({ status: 'succeeded', attempts: 1 });
    await worker.stop();
    expect(await tablesWith(api, sealed, SECRET)).toEqual([]);
  });

  it('says so when its readiness is asked for, and logs it once', async () => {
    const reply = await other.call('GET', `${other.origin}/health/ready`);
    expect(reply.json()).toMatchObject({
      details: { database: { status: 'up' }, data_keys: { status: 'down', missing: [expect.any(String)] } },
    });
    const { details } = reply.json<{ details: { data_keys: { missing: [string] } } }>();
    expect(await other.logWith(`the data key ${details.data_keys.missing[0]}, ${LOGGED}`)).toHaveLength(1);
    expect((await api.call('GET', `${api.origin}/health/ready`)).status).toBe(200);
  });

  it('does not set a list', async () => {
    const path = `/projects/${String(plain.projectId)}`;
    const options = { key: other.operatorKey, body: { encrypted_keys: ['name'] } };
    expect((await other.call('PATCH', path, options)).status).toBe(ownKey === '' ? 400 : 503);
    expect(await statusOf(api, plain)).toBe(200);
  });
});
