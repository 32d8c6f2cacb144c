import { WriteOperations } from '#jobs';
import { JsonBody } from '#http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApp } from '../harness/app.js';
import { ended, until, writeRequest } from '../jobs/jobs.js';
import type { ObjectBody, PageBody } from '../objects/wire.js';
import { Door, type Event } from './wire.js';

const TIME = '2023-11-14T22:13:20Z';

let api: TestApp;
let door: Door;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'inline' });
});
beforeEach(async () => {
  door = await Door.open(api);
});
afterAll(() => api.stop());

/** Sends a report, and waits until it is stored. @returns what its job came to */
async function reported(body: unknown): Promise<unknown> {
  const reply = await door.report(body);
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  const { job } = reply.json<{ job: string }>();
  const { status, result } = await ended(api, door.project.keys.device, { url: job });
  expect(status).toBe('succeeded');
  return result;
}

describe('POST /firmware', () => {
  it('is stored in the batch of the day on which it was sent, however late its job is run', async () => {
    const { projectId, deviceId, keys } = door.project;
    const receivedAtMicros = Date.parse('2024-02-03T23:59:59Z') * 1_000;
    const body = new JsonBody(Buffer.from('{"version":"1.0.0","timestamp":1700000000}'), 1_000);
    const request = writeRequest({ projectId, params: { device_id: deviceId }, receivedAtMicros, body });
    await api.app.get(WriteOperations).get('firmware.report').run(request);
    const day = await api.call('GET', '/objects?batch_id=firmware-2024-02-03', { key: keys.admin });
    expect(day.json<PageBody<ObjectBody>>().results).toMatchObject([{ subject: deviceId, observed_at: TIME }]);
  });

  it('is accepted with the job at Location, which the device can follow, and stored', async () => {
    const reply = await door.report({ version: '1.0.0', timestamp: 1700000000 });
    expect([reply.status, reply.headers.get('preference-applied')]).toEqual([202, null]);
    const { message, job } = reply.json<{ message: string; job: string }>();
    expect([message, reply.headers.get('location')]).toEqual(['Update Accepted.', job]);
    const { status, result, result_status } = await ended(api, door.project.keys.device, { url: job });
    const event = { device_id: door.project.deviceId, version: '1.0.0', timestamp: TIME, status: null };
    expect([status, result_status, result]).toEqual(['succeeded', 201, { id: expect.any(String), ...event }]);
    expect(await door.events()).toEqual([result]);
  });

  it('is one event however often and however written it is sent', async () => {
    const times = ['1700000000', '1.7e9', '"2023-11-14T22:13:20.000Z"', '"2023-11-14T23:13:20+01:00"'];
    const results = await Promise.all(
      [...times, ...times].map((time) => reported(`{"version":"1.0.0","timestamp":${time}}`)),
    );
    expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
    expect(await door.made('1.0.0', TIME)).toEqual(results[0]);
    expect(await door.events()).toHaveLength(1);
    const batches = await door.get('/batches');
    expect(batches.json()).toMatchObject({
      results: [{ batch_id: expect.stringMatching(/^firmware-\d{4}-\d\d-\d\d$/), object_count: 1 }],
    });
  });

  it('keeps apart what differs in version, time or device', async () => {
    await reported({ version: '1.0.0', timestamp: 1700000000 });
    await reported({ version: '1.0.0+1', timestamp: 1700000000 });
    await reported({ version: '1.0.0', timestamp: 1700000000.000001 });
    expect(await door.events()).toHaveLength(3);
    const { admin } = door.project.keys;
    const device_id = `second-${door.project.deviceId}`;
    const made = await api.call('POST', '/devices', { key: admin, body: { device_id } });
    await door.report({ version: '1.0.0', timestamp: 1700000000 }, {}, made.json<{ key: string }>().key);
    await until(async () => {
      const events = (await door.get(`/firmware/${device_id}`)).json<Event[]>();
      return events.length === 1 ? events : undefined;
    });
    expect(await door.events()).toHaveLength(3);
  });

  it('gives the first answer again for the same Idempotency-Key', async () => {
    const headers = { 'Idempotency-Key': 'report-1' };
    const body = { version: '1.0.0', timestamp: 1700000000 };
    const [first, again] = [await door.report(body, headers), await door.report(body, headers)];
    expect([again.status, again.text]).toEqual([202, first.text]);
    expect([again.headers.get('idempotency-replayed'), again.headers.get('location')]).toEqual([
      'true',
      first.headers.get('location'),
    ]);
    const jobs = await door.get('/jobs', door.project.keys.device);
    expect(jobs.json<{ count: number }>().count).toBe(1);
    expectProblem(await door.report({ ...body, version: '1.0.1' }, headers), 'idempotency-key-reused');
  });
});

describe('what cannot be stored is refused at once, not accepted and lost', () => {
  const good = { version: '1.0.0', timestamp: 1700000000 };

  it.each<[string, object, string]>([
    ['no timestamp', { version: '1.0.0' }, '/timestamp'],
    ['a timestamp of null', { ...good, timestamp: null }, '/timestamp'],
    ['a timestamp that is a truth', { ...good, timestamp: true }, '/timestamp'],
    ['a number in quotes', { ...good, timestamp: '1700000000' }, '/timestamp'],
    ['milliseconds', { ...good, timestamp: 1700000000000 }, '/timestamp'],
    ['a time before 1970 in seconds', { ...good, timestamp: -1 }, '/timestamp'],
    ['a day that there is not', { ...good, timestamp: '2023-02-30T00:00:00Z' }, '/timestamp'],
    ['no version', { timestamp: 1700000000 }, '/version'],
    ['a version that is too long', { ...good, version: `1.0.0-${'a'.repeat(250)}` }, '/version'],
    ['a version that is much too long', { ...good, version: '1'.repeat(100_000) }, '/version'],
    ['a version that is none', { ...good, version: '1.0' }, '/version'],
    ['a version with a v', { ...good, version: 'v1.0.0' }, '/version'],
    ['a version with white space', { ...good, version: '1.0.0\n' }, '/version'],
    ['a version that is a number', { ...good, version: 1 }, '/version'],
    ['a status, which goes with an update', { ...good, status: 'updated' }, '/status'],
  ])('%s', async (_, body, place) => {
    expect(placesOf(expectProblem(await door.report(body), 'invalid-body'))).toEqual([place]);
    const { version, ...rest } = body as { version?: unknown };
    const update = version === undefined ? rest : { ...rest, firmware: version };
    for (const headers of [{}, { Prefer: 'respond-async' }]) {
      const reply = await door.update(update, headers);
      if (place === '/status') expect([201, 202]).toContain(reply.status);
      else expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual([place === '/version' ? '/firmware' : place]);
    }
    const jobs = (await door.get('/jobs')).json<{ count: number }>().count;
    expect([jobs, (await door.events()).length]).toEqual(place === '/status' ? [1, 1] : [0, 0]);
  });

  it('but the longest version is stored', async () => {
    const version = `1.0.0-${'a'.repeat(249)}`;
    await reported({ version, timestamp: 1700000000 });
    expect(await door.events()).toMatchObject([{ version }]);
  });
});

describe('the key', () => {
  const HEADERS = ['X-Device-Api-Key', 'X-Project-Membership-Api-Key', 'api_key'];
  const body = { version: '1.0.0', timestamp: 1700000000 };

  it.each(HEADERS)('may come to this door as %s', async (name) => {
    const { device, analyst } = door.project.keys;
    const call = (method: string, path: string, key: string, sent: object = {}) =>
      api.call(method, path, { headers: { [name]: key }, ...sent });
    expect((await call('POST', '/firmware', device, { body })).status).toBe(202);
    const update = { firmware: '1.0.0', timestamp: 1700000000 };
    expect((await call('POST', door.at, device, { body: update })).status).toBe(201);
    expect((await call('GET', door.at, analyst)).status).toBe(200);
    expect((await call('GET', `/firmware?device_id=${door.project.deviceId}`, analyst)).status).toBe(200);
    for (const key of ['wrong', `${device}0`, '\u00ff']) {
      expectProblem(await call('POST', '/firmware', key, { body }), 'unauthenticated');
    }
  });

  it.each(HEADERS)('is not looked for in %s by any other', async (name) => {
    const { device, admin } = door.project.keys;
    for (const [path, key] of [
      ['/jobs', device],
      ['/objects', admin],
      ['/batches', admin],
      ['/devices', admin],
      [`/devices/${door.project.deviceId}`, admin],
      ['/projects', api.operatorKey],
    ] as const) {
      expectProblem(await api.call('GET', path, { headers: { [name]: key } }), 'unauthenticated');
    }
  });

  it('has to be a device', async () => {
    const { admin, producer, analyst } = door.project.keys;
    for (const key of [admin, producer, analyst, api.operatorKey]) {
      expectProblem(await door.report(body, {}, key), 'forbidden');
    }
    expectProblem(await door.report(body, {}, 'unknown'), 'unauthenticated');
  });
});
