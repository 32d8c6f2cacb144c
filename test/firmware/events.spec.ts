import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { waitForJob } from '../jobs/jobs.js';
import { address } from '../objects/wire.js';
import { FirmwareClient, nextLink, type Event } from './firmware-client.js';

let api: TestApi;
let firmware: FirmwareClient;

beforeAll(async () => {
  api = await TestApi.shared();
});
beforeEach(async () => {
  firmware = await FirmwareClient.create(api);
});
afterAll(() => api.stop());

const second = (s: number): string => `2024-05-01T12:00:${String(s).padStart(2, '0')}Z`;

describe('GET /firmware', () => {
  it('lists the events of a device, latest first, with the id in the path or in the query', async () => {
    for (const s of [2, 4, 1, 3]) await firmware.store(`1.0.${String(s)}`, second(s), s === 3 ? 'updated' : undefined);
    const events = await firmware.listEvents();
    expect(events.map(({ version, timestamp, status }) => [version, timestamp, status])).toEqual(
      [4, 3, 2, 1].map((s) => [`1.0.${String(s)}`, second(s), s === 3 ? 'updated' : null]),
    );
    const { deviceId, keys } = firmware.project;
    for (const key of [keys.analyst, keys.admin, keys.device]) {
      for (const path of [firmware.path, address('/firmware', { device_id: deviceId })]) {
        const reply = await firmware.get(path, key);
        expect([reply.status, reply.json()]).toEqual([200, events]);
        expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
        const again = await api.call('GET', path, {
          key,
          headers: { 'If-None-Match': reply.headers.get('etag') ?? '' },
        });
        expect(again.status).toBe(304);
      }
    }
  });

  it('returns an empty list for a device without events', async () => {
    const reply = await firmware.get(firmware.path);
    expect([reply.status, reply.text, reply.headers.get('link')]).toEqual([200, '[]', null]);
  });

  it.each([
    ['', 'device_id'],
    ['?device_id=', 'device_id'],
    ['?device_id=a%0Ab', 'device_id'],
    ['?device_id=d&page_size=0', 'page_size'],
    ['?device_id=d&page_size=1001', 'page_size'],
    ['?device_id=d&count=none', 'count'],
    ['?device_id=d&status=updated', 'status'],
  ])('rejects the query "%s"', async (query, place) => {
    expect(placesOf(expectProblem(await firmware.get(`/firmware${query}`), 'invalid-query'))).toEqual([place]);
  });

  it('rejects the cursor of another device', async () => {
    for (const s of [1, 2]) await firmware.store('1.0.0', second(s));
    const next = nextLink(await firmware.get(`${firmware.path}?page_size=1`)) ?? '';
    const device_id = `second-${firmware.project.deviceId}`;
    await api.call('POST', '/devices', { key: firmware.project.keys.admin, body: { device_id } });
    expectProblem(await firmware.get(next.replace(firmware.path, `/firmware/${device_id}`)), 'invalid-cursor');
  });
});

describe('GET /firmware for a device that the key cannot read', () => {
  it('returns the same 404 for an unknown device, a device of another project and the device of another key', async () => {
    const other = await FirmwareClient.create(api);
    await other.store('1.0.0', 1700000000);
    const { analyst, admin, device } = firmware.project.keys;
    const neighbour = `second-${firmware.project.deviceId}`;
    await api.call('POST', '/devices', { key: admin, body: { device_id: neighbour } });
    const requests: [string, string][] = [
      ...[analyst, admin, device].flatMap((key): [string, string][] => [
        ['nothing', key],
        [other.project.deviceId, key],
      ]),
      [neighbour, device],
    ];
    const replies: { reply: Reply; id: string }[] = [];
    for (const [id, key] of requests) {
      replies.push({ id, reply: await firmware.get(`/firmware/${id}`, key) });
      replies.push({ id, reply: await firmware.get(address('/firmware', { device_id: id }), key) });
    }
    const bodies = replies.map(({ reply, id }) => {
      const { request_id, instance } = expectProblem(reply, 'not-found');
      expect(instance).toContain(id);
      return reply.text.replace(request_id, '').replace(instance, '');
    });
    expect(new Set(bodies).size).toBe(1);
    const headers = replies.map(({ reply }) =>
      [...reply.headers.keys()]
        // Every request changes what is left of the rate limits.
        .filter((name) => name !== 'date' && name !== 'ratelimit')
        .map((name) => [name, name === 'x-request-id' || name === 'content-length' ? '' : reply.headers.get(name)]),
    );
    expect(new Set(headers.map((one) => JSON.stringify(one))).size).toBe(1);
  });

  it('returns 403 to a producer for existing and missing devices', async () => {
    for (const id of [firmware.project.deviceId, 'nothing']) {
      expectProblem(await firmware.get(`/firmware/${id}`, firmware.project.keys.producer), 'forbidden');
    }
  });
});

describe('pages of GET /firmware', () => {
  it('contain each event once and in order, while events with equal times are stored', async () => {
    const versions = Array.from({ length: 25 }, (_, at) => `1.0.${String(at)}`);
    // Five events for each of five times, sent out of order.
    const sent = versions.map((version, at) => [version, second(10 + ((at * 7) % 5))] as const);
    for (const [version, time] of sent) await firmware.store(version, time);
    const before = await firmware.listEvents();
    expect(before.map(({ timestamp }) => timestamp)).toEqual(
      before
        .map(({ timestamp }) => timestamp)
        .sort()
        .reverse(),
    );

    for (const size of [1, 2, 3, 7, 24, 25]) {
      const seen: Event[] = [];
      let url: string | undefined =
        `${address('/firmware', { device_id: firmware.project.deviceId })}&page_size=${String(size)}`;
      for (let at = 0; url !== undefined; at++) {
        const reply: Reply = await firmware.get(url);
        expect(reply.status).toBe(200);
        const page = reply.json<Event[]>();
        expect(page.length).toBeLessThanOrEqual(size);
        seen.push(...page);
        url = nextLink(reply);
        // One event later than all others, and one with the time of a page that was already read.
        if (at < 3) {
          await firmware.store(`2.0.0-${String(size)}.${String(at)}`, second(59));
          await firmware.store(`3.0.0-${String(size)}.${String(at)}`, page[0]?.timestamp ?? '');
        }
      }
      const ids = seen.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const idsBefore = new Set(before.map(({ id }) => id));
      expect(seen.filter(({ id }) => idsBefore.has(id))).toEqual(before);
    }
  });

  it('link to the previous page, and can be requested by number', async () => {
    for (const s of [1, 2, 3]) await firmware.store(`1.0.${String(s)}`, second(s));
    const first = await firmware.get(`${firmware.path}?page_size=2`);
    const last = await firmware.get(nextLink(first) ?? '');
    expect([first, last].map((reply) => reply.json<Event[]>().map(({ version }) => version))).toEqual([
      ['1.0.3', '1.0.2'],
      ['1.0.1'],
    ]);
    expect(nextLink(last)).toBeUndefined();
    const back = /<([^>]+)>; rel="prev"/.exec(last.headers.get('link') ?? '')?.[1] ?? '';
    expect((await firmware.get(back)).json()).toEqual(first.json());
    expect((await firmware.get(`${firmware.path}?page_size=2&page=2`)).json()).toEqual(last.json());
  });
});

describe('events as objects', () => {
  it('include events that were sent with POST /batches, and skip objects that are not events', async () => {
    const { producer: key } = firmware.project.keys;
    const event = await firmware.store('1.0.0', second(1));
    const subject = firmware.project.deviceId;
    const objects = [
      ['of-a-batch', { version: '2.0.0', status: 'updated' }, second(2)],
      ['shorthand', { version: 'free text' }, second(3)],
      ['number', { version: 2 }, second(4)],
      ['no-status', { version: '2.0.0', status: 'NUMBER' }, second(5)],
      ['none', { temperature: 21 }, second(6)],
    ].map(([object_id, data, observed_at]) => ({ object_id, data, observed_at, subject }));
    const body = JSON.stringify({ batch_id: 'b', objects }).replace('"NUMBER"', '1e400');
    expect((await api.call('POST', '/batches', { key, body })).status).toBe(201);
    expect(await firmware.listEvents()).toEqual([
      { id: 'shorthand', device_id: subject, version: 'free text', timestamp: second(3), status: null },
      { id: 'of-a-batch', device_id: subject, version: '2.0.0', timestamp: second(2), status: 'updated' },
      event,
    ]);
    // A page on which every object was skipped still links to the next one.
    const pages: number[] = [];
    for (let url: string | undefined = `${firmware.path}?page_size=1`; url !== undefined;) {
      const reply: Reply = await firmware.get(url);
      pages.push(reply.json<Event[]>().length);
      url = nextLink(reply);
    }
    expect(pages).toEqual([0, 0, 1, 1, 1]);
  });

  it('can be filtered and deleted, and stored again after deletion', async () => {
    const events = [await firmware.store('1.0.0', second(1)), await firmware.store('1.0.1', second(2), 'updated')];
    const subject = firmware.project.deviceId;
    const idsOf = async (query: Record<string, string>): Promise<string[]> =>
      (await firmware.get(address('/objects', query)))
        .json<{ results: { object_id: string }[] }>()
        .results.map(({ object_id }) => object_id)
        .reverse();
    const ids = events.map(({ id }) => id);
    expect(await idsOf({ subject })).toEqual(ids);
    expect(await idsOf({ key: 'version', value: '1.0.1' })).toEqual([ids[1]]);
    expect(await idsOf({ data: '{"status":"updated"}', observed_from: second(2) })).toEqual([ids[1]]);
    const object = (await firmware.get(`/objects/${ids[1] ?? ''}`)).json();
    expect(object).toMatchObject({ subject, observed_at: second(2), data: [{ value: '1.0.1' }, { value: 'updated' }] });
    const removed = await api.call('DELETE', `/objects/${ids[1] ?? ''}`, { key: firmware.project.keys.admin });
    expect(removed.status).toBe(204);
    expect(await firmware.listEvents()).toEqual([events[0]]);
    expect(await firmware.store('1.0.1', second(2), 'updated')).toEqual(events[1]);
    expect(await firmware.listEvents()).toHaveLength(2);
  });

  it('give a device access only to its own jobs', async () => {
    const { admin, device } = firmware.project.keys;
    const created = await api.call('POST', '/devices', {
      key: admin,
      body: { device_id: `second-${firmware.project.deviceId}` },
    });
    const { key: other } = created.json<{ key: string }>();
    const own = (await firmware.report({ version: '1.0.0', timestamp: 1 })).json<{ job: string }>();
    const others = (await firmware.report({ version: '1.0.0', timestamp: 1 }, {}, other)).json<{ job: string }>();
    expect((await waitForJob(api, device, { url: own.job })).status).toBe('succeeded');
    expectProblem(await firmware.get(others.job, device), 'not-found');
    const jobs = (await firmware.get('/jobs', device)).json<{ results: { url: string }[] }>().results;
    expect(jobs.map(({ url }) => url)).toEqual([own.job]);
    expect((await firmware.get('/jobs', admin)).json()).toMatchObject({ count: 2 });
    for (const path of ['/objects', '/batches', '/devices'])
      expectProblem(await firmware.get(path, device), 'forbidden');
  });
});
