import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { FirmwareClient } from './firmware-client.js';

const UPDATE = { firmware: '1.0.3', timestamp: '2023-01-01T00:00:00.000000Z', status: 'updated' };

let api: TestApi;
let firmware: FirmwareClient;

beforeAll(async () => {
  api = await TestApi.shared();
  firmware = await FirmwareClient.create(api);
});
afterAll(() => api.stop());

describe('POST /firmware/{device_id}', () => {
  it('stores the event before it responds', async () => {
    const reply = await firmware.update(UPDATE);
    const event = { version: '1.0.3', timestamp: '2023-01-01T00:00:00Z', status: 'updated' };
    expect([reply.status, reply.json()]).toEqual([
      201,
      { id: expect.stringMatching(/^firmware-/), device_id: firmware.project.deviceId, ...event },
    ]);
    expect(await firmware.listEvents()).toEqual([reply.json()]);
  });

  it('stores one event for 20 equal concurrent requests, and returns the same response to each', async () => {
    const { length } = await firmware.listEvents();
    const body = { ...UPDATE, firmware: '1.0.4' };
    const replies = await Promise.all(Array.from({ length: 20 }, () => firmware.update(body)));
    expect(new Set(replies.map(({ status, text }) => `${String(status)} ${text}`)).size).toBe(1);
    expect(replies[0]?.status).toBe(201);
    expect(await firmware.listEvents()).toHaveLength(length + 1);
  });

  it('stores separate events for different statuses, and one without a status', async () => {
    const body = { firmware: '2.0.0', timestamp: 1700000000 };
    const sent = [body, { ...body, status: null }, { ...body, status: 'null' }, { ...body, status: 'Null' }];
    const events: { id: string; status: string | null }[] = [];
    for (const one of sent) events.push((await firmware.update(one)).json());
    expect(events.map(({ status }) => status)).toEqual([null, null, 'null', 'Null']);
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
  });

  it.each([
    ['', '/status'],
    ['é'.repeat(256), '/status'],
    [1, '/status'],
    [false, '/status'],
  ])('rejects the status %j', async (status, place) => {
    expect(placesOf(expectProblem(await firmware.update({ ...UPDATE, status }), 'invalid-body'))).toEqual([place]);
  });

  it('accepts a status of 255 characters, even outside the Basic Multilingual Plane', async () => {
    const status = '😀'.repeat(255);
    expect((await firmware.update({ ...UPDATE, status })).json()).toMatchObject({ status });
  });

  it('runs as a job with Prefer: respond-async, and once for an Idempotency-Key', async () => {
    const { device: key } = firmware.project.keys;
    const headers = { 'Idempotency-Key': 'update-1' };
    const body = { ...UPDATE, firmware: '3.0.0' };
    const job = await submitJob(api, 'POST', firmware.path, { key, body, headers });
    const done = await waitForJob(api, key, job);
    expect(done).toMatchObject({ status: 'succeeded', result_status: 201, result: { version: '3.0.0' } });
    expect(await firmware.listEvents()).toContainEqual(done.result);

    const other = { 'Idempotency-Key': 'update-2' };
    const [first, again] = [await firmware.update(body, other), await firmware.update(body, other)];
    expect([again.status, again.text, again.headers.get('idempotency-replayed')]).toEqual([201, first.text, 'true']);
  });
});

describe('POST /firmware/{device_id} without access', () => {
  /** The problem without the members that contain the request id or the path. */
  const withoutRequest = (reply: Reply): unknown => ({
    ...expectProblem(reply, 'forbidden'),
    request_id: '',
    instance: '',
  });

  it('returns the same 403 to a device for any other device id, existing or missing, and for any body', async () => {
    const { admin, device: key } = firmware.project.keys;
    const device_id = `neighbour-${firmware.project.deviceId}`;
    await api.call('POST', '/devices', { key: admin, body: { device_id } });
    const elsewhere = await api.project();
    const problems: unknown[] = [];
    for (const id of [device_id, elsewhere.deviceId, 'nothing', 'x'.repeat(255), `${firmware.project.deviceId}%20`]) {
      for (const body of [UPDATE, { nonsense: 1 }, '{']) {
        for (const headers of [{}, { Prefer: 'respond-async' }]) {
          problems.push(withoutRequest(await api.call('POST', `/firmware/${id}`, { key, body, headers })));
        }
      }
    }
    expect(problems).toHaveLength(30);
    for (const problem of problems) expect(problem).toEqual(problems[0]);
  });

  it('returns 403 to keys of other roles, and 401 to an unknown key', async () => {
    const { admin, producer, analyst } = firmware.project.keys;
    for (const key of [admin, producer, analyst, api.operatorKey]) {
      const [own, nobodys] = [
        await firmware.update(UPDATE, {}, key),
        await api.call('POST', '/firmware/nothing', { key, body: UPDATE }),
      ];
      expect(withoutRequest(own)).toEqual(withoutRequest(nobodys));
    }
    expectProblem(await firmware.update(UPDATE, {}, 'unknown'), 'unauthenticated');
  });
});
