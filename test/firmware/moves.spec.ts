import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { waitForJob } from '../jobs/jobs.js';
import { FirmwareClient, type Event } from './firmware-client.js';

let api: TestApi;
let oldProject: FirmwareClient;
let newProject: FirmwareClient;

beforeAll(async () => {
  // Jobs run only in the server that whileJobsRun starts.
  api = await TestApi.start({ WORKER: 'separate' });
  [oldProject, newProject] = [await FirmwareClient.create(api), await FirmwareClient.create(api)];
});
afterAll(() => api.stop());

const listObjects = (firmware: FirmwareClient): Promise<Reply> =>
  firmware.get(`/objects?subject=${oldProject.project.deviceId}`);

/** Starts a server that runs jobs, and stops it after `work`. */
async function whileJobsRun(work: () => Promise<void>): Promise<void> {
  const runner = await api.another({ WORKER: 'inline' });
  try {
    await work();
  } finally {
    await runner.stop();
  }
}

it('a moved device leaves its events and its accepted reports in the old project', async () => {
  const oldEvent = await oldProject.store('1.0.0', 1700000000);
  const queued = (await oldProject.report({ version: '1.0.1', timestamp: 1700000001 })).json<{ job: string }>();
  const { deviceId, keys } = oldProject.project;
  const body = { project_id: newProject.project.projectId };
  expect((await api.call('PATCH', `/devices/${deviceId}`, { key: api.operatorKey, body })).status).toBe(200);

  // The device is missing in the old project, the new project has no events of it, and its old key is revoked.
  expectProblem(await oldProject.get(oldProject.path), 'not-found');
  expect((await newProject.get(oldProject.path)).json()).toEqual([]);
  expect((await listObjects(newProject)).json()).toMatchObject({ count: 0 });
  for (const reply of [
    await oldProject.report({}),
    await oldProject.update({}),
    await oldProject.get(oldProject.path, keys.device),
  ]) {
    expectProblem(reply, 'unauthenticated');
  }

  await whileJobsRun(async () => {
    expect((await waitForJob(api, keys.admin, { url: queued.job })).status).toBe('succeeded');
  });
  expect((await newProject.get(oldProject.path)).json()).toEqual([]);
  expect((await listObjects(oldProject)).json()).toMatchObject({ count: 2 });
  expectProblem(await newProject.get(queued.job, newProject.project.keys.admin), 'not-found');
  expectProblem(await newProject.get(`/objects/${oldEvent.id}`), 'not-found');

  // With a key of the new project the device reports to it; an event that is sent again is stored there, too.
  const path = `/projects/${String(newProject.project.projectId)}/keys`;
  const newKey = { name: 'moved', role: 'device', device_id: deviceId };
  const { key } = (await api.call('POST', path, { key: newProject.project.keys.admin, body: newKey })).json<{
    key: string;
  }>();
  const update = { firmware: '1.0.0', timestamp: 1700000000 };
  const again = await api.call('POST', oldProject.path, { key, body: update });
  expect([again.status, again.json<Event>().id]).toEqual([201, oldEvent.id]);
  for (const reader of [key, newProject.project.keys.analyst]) {
    expect((await newProject.get(oldProject.path, reader)).json()).toEqual([again.json()]);
  }
  expectProblem(await oldProject.get(oldProject.path), 'not-found');
  expect((await listObjects(oldProject)).json()).toMatchObject({ count: 2 });
});
