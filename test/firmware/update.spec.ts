import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { accepted, ended } from '../jobs/jobs.js';
import { Door } from './wire.js';

const UPDATE = { firmware: '1.0.3', timestamp: '2023-01-01T00:00:00.000000Z', status: 'updated' };

let api: TestApi;
let door: Door;

beforeAll(async () => {
  api = await TestApi.shared();
  door = await Door.open(api);
});
afterAll(() => api.stop());

describe('POST /firmware/{device_id}', () => {
  it('stores the event before it answers with it', async () => {
    const reply = await door.update(UPDATE);
    const event = { version: '1.0.3', timestamp: '2023-01-01T00:00:00Z', status: 'updated' };
    expect([reply.status, reply.json()]).toEqual([
      201,
      { id: expect.stringMatching(/^firmware-/), device_id: door.project.deviceId, ...event },
    ]);
    expect(await door.events()).toEqual([reply.json()]);
  });

  it('answers alike to the same again, and stores it once, also when 20 come at once', async () => {
    const { length } = await door.events();
    const body = { ...UPDATE, firmware: '1.0.4' };
    const replies = await Promise.all(Array.from({ length: 20 }, () => door.update(body)));
    expect(new Set(replies.map(({ status, text }) => `${String(status)} ${text}`)).size).toBe(1);
    expect(replies[0]?.status).toBe(201);
    expect(await door.events()).toHaveLength(length + 1);
  });

  it('tells events apart by their status, and one without from all others', async () => {
    const body = { firmware: '2.0.0', timestamp: 1700000000 };
    const sent = [body, { ...body, status: null }, { ...body, status: 'null' }, { ...body, status: 'Null' }];
    const events: { id: string; status: string | null }[] = [];
    for (const one of sent) events.push((await door.update(one)).json());
    expect(events.map(({ status }) => status)).toEqual([null, null, 'null', 'Null']);
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
  });

  it.each([
    ['', '/status'],
    ['é'.repeat(256), '/status'],
    [1, '/status'],
    [false, '/status'],
  ])('refuses the status %j', async (status, place) => {
    expect(placesOf(expectProblem(await door.update({ ...UPDATE, status }), 'invalid-body'))).toEqual([place]);
  });

  it('takes a status of 255 characters of any kind', async () => {
    const status = '😀'.repeat(255);
    expect((await door.update({ ...UPDATE, status })).json()).toMatchObject({ status });
  });

  it('is run later where that is preferred, and once for an Idempotency-Key', async () => {
    const { device: key } = door.project.keys;
    const headers = { 'Idempotency-Key': 'update-1' };
    const body = { ...UPDATE, firmware: '3.0.0' };
    const job = await accepted(api, 'POST', door.at, { key, body, headers });
    const done = await ended(api, key, job);
    expect(done).toMatchObject({ status: 'succeeded', result_status: 201, result: { version: '3.0.0' } });
    expect(await door.events()).toContainEqual(done.result);

    const other = { 'Idempotency-Key': 'update-2' };
    const [first, again] = [await door.update(body, other), await door.update(body, other)];
    expect([again.status, again.text, again.headers.get('idempotency-replayed')]).toEqual([201, first.text, 'true']);
  });
});

describe('who reports', () => {
  /** What of a refusal does not tell which device was asked for. */
  const essence = (reply: Reply): unknown => ({
    ...expectProblem(reply, 'forbidden'),
    request_id: '',
    instance: '',
  });

  it('is the device itself: for another the answer is one, whether that exists or not, and whatever is sent', async () => {
    const { admin, device: key } = door.project.keys;
    const device_id = `neighbour-${door.project.deviceId}`;
    await api.call('POST', '/devices', { key: admin, body: { device_id } });
    const elsewhere = await api.project();
    const answers: unknown[] = [];
    for (const id of [device_id, elsewhere.deviceId, 'nothing', 'x'.repeat(255), `${door.project.deviceId}%20`]) {
      for (const body of [UPDATE, { nonsense: 1 }, '{']) {
        for (const headers of [{}, { Prefer: 'respond-async' }]) {
          answers.push(essence(await api.call('POST', `/firmware/${id}`, { key, body, headers })));
        }
      }
    }
    expect(answers).toHaveLength(30);
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });

  it('is no other key', async () => {
    const { admin, producer, analyst } = door.project.keys;
    for (const key of [admin, producer, analyst, api.operatorKey]) {
      const [own, nobodys] = [
        await door.update(UPDATE, {}, key),
        await api.call('POST', '/firmware/nothing', { key, body: UPDATE }),
      ];
      expect(essence(own)).toEqual(essence(nobodys));
    }
    expectProblem(await door.update(UPDATE, {}, 'unknown'), 'unauthenticated');
  });
});
