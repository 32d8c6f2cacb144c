import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { encrypt } from './encrypted-project.js';

const [first, second] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
const OBJECTS = 1_200;

/** Runs no background work, so that stored values stay as they were written. */
let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', STOWAGE_DATA_KEY: first });
});
afterAll(() => api.stop());

const object = (n: number, name = `Ada ${String(n)}`): string =>
  `{"object_id":"o${String(n)}","subject":"s","data":[{"key":"name","value":"${name}"},{"key":"size","value":1.50e1},` +
  `{"key":"address","value":{"zip":1,"city":"Lyon"}}]}`;
const objects = Array.from({ length: OBJECTS }, (_, n) => object(n));
const bodyOf = (list: readonly string[]): string => `{"objects":[${list.join()}]}`;

async function put(body: string, from = api, query = ''): Promise<[status: number, revision: string | null]> {
  const reply = await from.call('PUT', `/batches/b${query}`, { key: project.keys.admin, body });
  const [row] = await api.db.sql<{ revision: string }>('SELECT revision FROM batches WHERE project_id = $1', [
    project.projectId,
  ]);
  return [reply.status, row?.revision ?? null];
}

/** Sends the batch unchanged, and changed in each way. */
async function expectCompared(revision: string | null, from = api): Promise<void> {
  expect(await put(bodyOf(objects), from)).toEqual([200, revision]);
  expect(await put(bodyOf(objects), from, '?on_conflict=replace')).toEqual([200, revision]);
  const others = {
    value: [...objects.slice(0, -1), object(OBJECTS - 1, 'Bob')],
    scale: [object(0).replace('1.50e1', '15'), ...objects.slice(1)],
    subject: [object(0).replace('"s"', '"t"'), ...objects.slice(1)],
    order: [objects[1] ?? '', objects[0] ?? '', ...objects.slice(2)],
    fewer: objects.slice(0, 1_000),
    more: [...objects, object(OBJECTS)],
  };
  for (const [name, list] of Object.entries(others)) {
    expect([name, ...(await put(bodyOf(list), from))]).toEqual([name, 409, revision]);
  }
}

describe('a batch that is sent again before stored values were changed', () => {
  it('is unchanged after each change of the list, and other content is a conflict', async () => {
    project = await api.project();
    const [status, revision] = await put(bodyOf(objects));
    expect(status).toBe(201);
    for (const keys of [['name'], ['name', 'address'], ['address'], null]) {
      await encrypt(api, project, keys);
      await expectCompared(revision);
    }
  }, 60_000);

  it('is unchanged while the data key is replaced', async () => {
    project = await api.project();
    await encrypt(api, project, ['name', 'address']);
    const [, revision] = await put(bodyOf(objects));
    const newer = await api.another({
      WORKER: 'separate',
      STOWAGE_DATA_KEY: second,
      STOWAGE_DATA_KEY_PREVIOUS: first,
    });
    try {
      await expectCompared(revision, newer);
    } finally {
      await newer.stop();
    }
  }, 60_000);
});
