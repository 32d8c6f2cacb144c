import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { ended } from '../jobs/jobs.js';
import { Door, type Event } from './wire.js';

let api: TestApi;
let from: Door;
let to: Door;

beforeAll(async () => {
  // Nobody runs jobs until the test says so.
  api = await TestApi.start({ WORKER: 'separate' });
  [from, to] = [await Door.open(api), await Door.open(api)];
});
afterAll(() => api.stop());

const objectsOf = (door: Door): Promise<Reply> => door.get(`/objects?subject=${from.project.deviceId}`);

/** Has another server run the jobs for as long as the work takes. */
async function whileJobsRun(work: () => Promise<void>): Promise<void> {
  const runner = await api.another({ WORKER: 'inline' });
  try {
    await work();
  } finally {
    await runner.stop();
  }
}

it('a device that moves leaves its events behind, and what it had sent before is stored where it was accepted', async () => {
  const old = await from.made('1.0.0', 1700000000);
  const queued = (await from.report({ version: '1.0.1', timestamp: 1700000001 })).json<{ job: string }>();
  const { deviceId, keys } = from.project;
  const body = { project_id: to.project.projectId };
  expect((await api.call('PATCH', `/devices/${deviceId}`, { key: api.operatorKey, body })).status).toBe(200);

  // To its old project it is gone, to the new one it is new, and its old key is nobody's.
  expectProblem(await from.get(from.at), 'not-found');
  expect((await to.get(from.at)).json()).toEqual([]);
  expect((await objectsOf(to)).json()).toMatchObject({ count: 0 });
  for (const reply of [await from.report({}), await from.update({}), await from.get(from.at, keys.device)]) {
    expectProblem(reply, 'unauthenticated');
  }

  await whileJobsRun(async () => {
    expect((await ended(api, keys.admin, { url: queued.job })).status).toBe('succeeded');
  });
  expect((await to.get(from.at)).json()).toEqual([]);
  expect((await objectsOf(from)).json()).toMatchObject({ count: 2 });
  expectProblem(await to.get(queued.job, to.project.keys.admin), 'not-found');
  expectProblem(await to.get(`/objects/${old.id}`), 'not-found');

  // With a key of its new project it goes on there; even the same event again is one of the new project.
  const path = `/projects/${String(to.project.projectId)}/keys`;
  const made = { name: 'moved', role: 'device', device_id: deviceId };
  const { key } = (await api.call('POST', path, { key: to.project.keys.admin, body: made })).json<{ key: string }>();
  const update = { firmware: '1.0.0', timestamp: 1700000000 };
  const again = await api.call('POST', from.at, { key, body: update });
  expect([again.status, again.json<Event>().id]).toEqual([201, old.id]);
  for (const reader of [key, to.project.keys.analyst]) {
    expect((await to.get(from.at, reader)).json()).toEqual([again.json()]);
  }
  expectProblem(await from.get(from.at), 'not-found');
  expect((await objectsOf(from)).json()).toMatchObject({ count: 2 });
});
