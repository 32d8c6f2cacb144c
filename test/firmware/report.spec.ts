import { WriteOperations } from '#jobs';
import { JsonBody } from '#http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApp } from '../harness/app.js';
import { waitForJob, waitFor, writeRequest } from '../jobs/jobs.js';
import type { ObjectBody, PageBody } from '../objects/wire.js';
import { FirmwareClient, type Event } from './firmware-client.js';

const TIME = '2023-11-14T22:13:20Z';

let api: TestApp;
let firmware: FirmwareClient;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'inline' });
});
beforeEach(async () => {
  firmware = await FirmwareClient.create(api);
});
afterAll(() => api.stop());

/** Sends a report and waits until it is stored. @returns the result of its job */
async function reportAndWait(body: unknown): Promise<unknown> {
  const reply = await firmware.report(body);
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  const { job } = reply.json<{ job: string }>();
  const { status, result } = await waitForJob(api, firmware.project.keys.device, { url: job });
  expect(status).toBe('succeeded');
  return result;
}

describe('POST /firmware', () => {
  it('stores an event in the batch of the day on which it was received, even if its job runs later', async () => {
    const { projectId, deviceId, keys } = firmware.project;
    const receivedAtMicros = Date.parse('2024-02-03T23:59:59Z') * 1_000;
    const body = new JsonBody(Buffer.from('{"version":"1.0.0","timestamp":1700000000}'), 1_000);
    const request = writeRequest({ projectId, params: { device_id: deviceId }, receivedAtMicros, body });
    await api.app.get(WriteOperations).get('firmware.report').run(request);
    const day = await api.call('GET', '/objects?batch_id=firmware-2024-02-03', { key: keys.admin });
    expect(day.json<PageBody<ObjectBody>>().results).toMatchObject([{ subject: deviceId, observed_at: TIME }]);
  });

  it('returns 202 with the Location of the job, which the device can poll until the event is stored', async () => {
    const reply = await firmware.report({ version: '1.0.0', timestamp: 1700000000 });
    expect([reply.status, reply.headers.get('preference-applied')]).toEqual([202, null]);
    const { message, job } = reply.json<{ message: string; job: string }>();
    expect([message, reply.headers.get('location')]).toEqual(['Update Accepted.', job]);
    const { status, result, result_status } = await waitForJob(api, firmware.project.keys.device, { url: job });
    const event = { device_id: firmware.project.deviceId, version: '1.0.0', timestamp: TIME, status: null };
    expect([status, result_status, result]).toEqual(['succeeded', 201, { id: expect.any(String), ...event }]);
    expect(await firmware.listEvents()).toEqual([result]);
  });

  it('stores one event for equal versions and times, even in different notations', async () => {
    const times = ['1700000000', '1.7e9', '"2023-11-14T22:13:20.000Z"', '"2023-11-14T23:13:20+01:00"'];
    const results = await Promise.all(
      [...times, ...times].map((time) => reportAndWait(`{"version":"1.0.0","timestamp":${time}}`)),
    );
    expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
    expect(await firmware.store('1.0.0', TIME)).toEqual(results[0]);
    expect(await firmware.listEvents()).toHaveLength(1);
    const batches = await firmware.get('/batches');
    expect(batches.json()).toMatchObject({
      results: [{ batch_id: expect.stringMatching(/^firmware-\d{4}-\d\d-\d\d$/), object_count: 1 }],
    });
  });

  it('stores separate events for different versions, times or devices', async () => {
    await reportAndWait({ version: '1.0.0', timestamp: 1700000000 });
    await reportAndWait({ version: '1.0.0+1', timestamp: 1700000000 });
    await reportAndWait({ version: '1.0.0', timestamp: 1700000000.000001 });
    expect(await firmware.listEvents()).toHaveLength(3);
    const { admin } = firmware.project.keys;
    const device_id = `second-${firmware.project.deviceId}`;
    const created = await api.call('POST', '/devices', { key: admin, body: { device_id } });
    await firmware.report({ version: '1.0.0', timestamp: 1700000000 }, {}, created.json<{ key: string }>().key);
    await waitFor(async () => {
      const events = (await firmware.get(`/firmware/${device_id}`)).json<Event[]>();
      return events.length === 1 ? events : undefined;
    });
    expect(await firmware.listEvents()).toHaveLength(3);
  });

  it('replays the first response for the same Idempotency-Key', async () => {
    const headers = { 'Idempotency-Key': 'report-1' };
    const body = { version: '1.0.0', timestamp: 1700000000 };
    const [first, again] = [await firmware.report(body, headers), await firmware.report(body, headers)];
    expect([again.status, again.text]).toEqual([202, first.text]);
    expect([again.headers.get('idempotency-replayed'), again.headers.get('location')]).toEqual([
      'true',
      first.headers.get('location'),
    ]);
    const jobs = await firmware.get('/jobs', firmware.project.keys.device);
    expect(jobs.json<{ count: number }>().count).toBe(1);
    expectProblem(await firmware.report({ ...body, version: '1.0.1' }, headers), 'idempotency-key-reused');
  });
});

describe('POST /firmware and POST /firmware/{device_id}', () => {
  const good = { version: '1.0.0', timestamp: 1700000000 };

  it.each<[string, object, string]>([
    ['no timestamp', { version: '1.0.0' }, '/timestamp'],
    ['a null timestamp', { ...good, timestamp: null }, '/timestamp'],
    ['a boolean timestamp', { ...good, timestamp: true }, '/timestamp'],
    ['a timestamp that is a quoted number', { ...good, timestamp: '1700000000' }, '/timestamp'],
    ['a timestamp in milliseconds', { ...good, timestamp: 1700000000000 }, '/timestamp'],
    ['a negative timestamp', { ...good, timestamp: -1 }, '/timestamp'],
    ['a timestamp on a day that does not exist', { ...good, timestamp: '2023-02-30T00:00:00Z' }, '/timestamp'],
    ['no version', { timestamp: 1700000000 }, '/version'],
    ['a version of 256 characters', { ...good, version: `1.0.0-${'a'.repeat(250)}` }, '/version'],
    ['a version of 10,000 characters', { ...good, version: '1'.repeat(10_000) }, '/version'],
    ['a version without a patch number', { ...good, version: '1.0' }, '/version'],
    ['a version that starts with v', { ...good, version: 'v1.0.0' }, '/version'],
    ['a version with white space', { ...good, version: '1.0.0\n' }, '/version'],
    ['a numeric version', { ...good, version: 1 }, '/version'],
    ['a status (POST /firmware only)', { ...good, status: 'updated' }, '/status'],
  ])('reject %s without accepting a job', async (_, body, place) => {
    expect(placesOf(expectProblem(await firmware.report(body), 'invalid-body'))).toEqual([place]);
    const { version, ...rest } = body as { version?: unknown };
    const update = version === undefined ? rest : { ...rest, firmware: version };
    for (const headers of [{}, { Prefer: 'respond-async' }]) {
      const reply = await firmware.update(update, headers);
      if (place === '/status') expect([201, 202]).toContain(reply.status);
      else expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual([place === '/version' ? '/firmware' : place]);
    }
    const jobs = (await firmware.get('/jobs')).json<{ count: number }>().count;
    expect([jobs, (await firmware.listEvents()).length]).toEqual(place === '/status' ? [1, 1] : [0, 0]);
  });

  it('accept a version of 255 characters', async () => {
    const version = `1.0.0-${'a'.repeat(249)}`;
    await reportAndWait({ version, timestamp: 1700000000 });
    expect(await firmware.listEvents()).toMatchObject([{ version }]);
  });
});

describe('the key of a firmware request', () => {
  const HEADERS = ['X-Device-Api-Key', 'X-Project-Membership-Api-Key', 'api_key'];
  const body = { version: '1.0.0', timestamp: 1700000000 };

  it.each(HEADERS)('is accepted in the header %s', async (name) => {
    const { device, analyst } = firmware.project.keys;
    const call = (method: string, path: string, key: string, sent: object = {}) =>
      api.call(method, path, { headers: { [name]: key }, ...sent });
    expect((await call('POST', '/firmware', device, { body })).status).toBe(202);
    const update = { firmware: '1.0.0', timestamp: 1700000000 };
    expect((await call('POST', firmware.path, device, { body: update })).status).toBe(201);
    expect((await call('GET', firmware.path, analyst)).status).toBe(200);
    expect((await call('GET', `/firmware?device_id=${firmware.project.deviceId}`, analyst)).status).toBe(200);
    for (const key of ['wrong', `${device}0`, '\u00ff']) {
      expectProblem(await call('POST', '/firmware', key, { body }), 'unauthenticated');
    }
  });

  it.each(HEADERS)('is ignored in the header %s on other routes', async (name) => {
    const { device, admin } = firmware.project.keys;
    for (const [path, key] of [
      ['/jobs', device],
      ['/objects', admin],
      ['/batches', admin],
      ['/devices', admin],
      [`/devices/${firmware.project.deviceId}`, admin],
      ['/projects', api.operatorKey],
    ] as const) {
      expectProblem(await api.call('GET', path, { headers: { [name]: key } }), 'unauthenticated');
    }
  });

  it('must belong to a device', async () => {
    const { admin, producer, analyst } = firmware.project.keys;
    for (const key of [admin, producer, analyst, api.operatorKey]) {
      expectProblem(await firmware.report(body, {}, key), 'forbidden');
    }
    expectProblem(await firmware.report(body, {}, 'unknown'), 'unauthenticated');
  });
});
