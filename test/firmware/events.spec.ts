import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { ended } from '../jobs/jobs.js';
import { address } from '../objects/wire.js';
import { Door, nextOf, type Event } from './wire.js';

let api: TestApi;
let door: Door;

beforeAll(async () => {
  api = await TestApi.shared();
});
beforeEach(async () => {
  door = await Door.open(api);
});
afterAll(() => api.stop());

const second = (s: number): string => `2024-05-01T12:00:${String(s).padStart(2, '0')}Z`;

describe('GET /firmware', () => {
  it('lists the events of a device, the latest first, at both addresses', async () => {
    for (const s of [2, 4, 1, 3]) await door.made(`1.0.${String(s)}`, second(s), s === 3 ? 'updated' : undefined);
    const events = await door.events();
    expect(events.map(({ version, timestamp, status }) => [version, timestamp, status])).toEqual(
      [4, 3, 2, 1].map((s) => [`1.0.${String(s)}`, second(s), s === 3 ? 'updated' : null]),
    );
    const { deviceId, keys } = door.project;
    for (const key of [keys.analyst, keys.admin, keys.device]) {
      for (const path of [door.at, address('/firmware', { device_id: deviceId })]) {
        const reply = await door.get(path, key);
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

  it('is an empty list for a device that has reported nothing', async () => {
    const reply = await door.get(door.at);
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
  ])('refuses the parameters "%s"', async (query, place) => {
    expect(placesOf(expectProblem(await door.get(`/firmware${query}`), 'invalid-query'))).toEqual([place]);
  });

  it('refuses a cursor of another device', async () => {
    for (const s of [1, 2]) await door.made('1.0.0', second(s));
    const next = nextOf(await door.get(`${door.at}?page_size=1`)) ?? '';
    const device_id = `second-${door.project.deviceId}`;
    await api.call('POST', '/devices', { key: door.project.keys.admin, body: { device_id } });
    expectProblem(await door.get(next.replace(door.at, `/firmware/${device_id}`)), 'invalid-cursor');
  });
});

describe('a device that is not there to be seen', () => {
  it('is the same to the byte, be it unknown, of another project, or of another key', async () => {
    const other = await Door.open(api);
    await other.made('1.0.0', 1700000000);
    const { analyst, admin, device } = door.project.keys;
    const neighbour = `second-${door.project.deviceId}`;
    await api.call('POST', '/devices', { key: admin, body: { device_id: neighbour } });
    const asked: [string, string][] = [
      ...[analyst, admin, device].flatMap((key): [string, string][] => [
        ['nothing', key],
        [other.project.deviceId, key],
      ]),
      [neighbour, device],
    ];
    const replies: { reply: Reply; id: string }[] = [];
    for (const [id, key] of asked) {
      replies.push({ id, reply: await door.get(`/firmware/${id}`, key) });
      replies.push({ id, reply: await door.get(address('/firmware', { device_id: id }), key) });
    }
    const bodies = replies.map(({ reply, id }) => {
      const { request_id, instance } = expectProblem(reply, 'not-found');
      expect(instance).toContain(id);
      return reply.text.replace(request_id, '').replace(instance, '');
    });
    expect(new Set(bodies).size).toBe(1);
    const headers = replies.map(({ reply }) =>
      [...reply.headers.keys()]
        .filter((name) => name !== 'date')
        .map((name) => [name, name === 'x-request-id' || name === 'content-length' ? '' : reply.headers.get(name)]),
    );
    expect(new Set(headers.map((one) => JSON.stringify(one))).size).toBe(1);
  });

  it('is known to no producer, who may not ask', async () => {
    for (const id of [door.project.deviceId, 'nothing']) {
      expectProblem(await door.get(`/firmware/${id}`, door.project.keys.producer), 'forbidden');
    }
  });
});

describe('the pages', () => {
  it('hold each event once, in order, with equal times on every border, while events arrive', async () => {
    const versions = Array.from({ length: 25 }, (_, at) => `1.0.${String(at)}`);
    // Five times, five events each, in an order of their own.
    const sent = versions.map((version, at) => [version, second(10 + ((at * 7) % 5))] as const);
    for (const [version, time] of sent) await door.made(version, time);
    const before = await door.events();
    expect(before.map(({ timestamp }) => timestamp)).toEqual(
      before
        .map(({ timestamp }) => timestamp)
        .sort()
        .reverse(),
    );

    for (const size of [1, 2, 3, 7, 24, 25]) {
      const seen: Event[] = [];
      let url: string | undefined =
        `${address('/firmware', { device_id: door.project.deviceId })}&page_size=${String(size)}`;
      for (let at = 0; url !== undefined; at++) {
        const reply: Reply = await door.get(url);
        expect(reply.status).toBe(200);
        const page = reply.json<Event[]>();
        expect(page.length).toBeLessThanOrEqual(size);
        seen.push(...page);
        url = nextOf(reply);
        // Later than all, and with a time that pages gone by have.
        if (at < 3) {
          await door.made(`2.0.0-${String(size)}.${String(at)}`, second(59));
          await door.made(`3.0.0-${String(size)}.${String(at)}`, page[0]?.timestamp ?? '');
        }
      }
      const ids = seen.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      const old = new Set(before.map(({ id }) => id));
      expect(seen.filter(({ id }) => old.has(id))).toEqual(before);
    }
  });

  it('lead back, too, and can be asked for by number', async () => {
    for (const s of [1, 2, 3]) await door.made(`1.0.${String(s)}`, second(s));
    const first = await door.get(`${door.at}?page_size=2`);
    const last = await door.get(nextOf(first) ?? '');
    expect([first, last].map((reply) => reply.json<Event[]>().map(({ version }) => version))).toEqual([
      ['1.0.3', '1.0.2'],
      ['1.0.1'],
    ]);
    expect(nextOf(last)).toBeUndefined();
    const back = /<([^>]+)>; rel="prev"/.exec(last.headers.get('link') ?? '')?.[1] ?? '';
    expect((await door.get(back)).json()).toEqual(first.json());
    expect((await door.get(`${door.at}?page_size=2&page=2`)).json()).toEqual(last.json());
  });
});

describe('events are objects like all others', () => {
  it('come in through other doors, and those that are none are passed over', async () => {
    const { producer: key } = door.project.keys;
    const made = await door.made('1.0.0', second(1));
    const subject = door.project.deviceId;
    const objects = [
      ['of-a-batch', { version: '2.0.0', status: 'updated' }, second(2)],
      ['shorthand', { version: 'free text' }, second(3)],
      ['number', { version: 2 }, second(4)],
      ['no-status', { version: '2.0.0', status: 'NUMBER' }, second(5)],
      ['none', { temperature: 21 }, second(6)],
    ].map(([object_id, data, observed_at]) => ({ object_id, data, observed_at, subject }));
    const body = JSON.stringify({ batch_id: 'b', objects }).replace('"NUMBER"', '1e400');
    expect((await api.call('POST', '/batches', { key, body })).status).toBe(201);
    expect(await door.events()).toEqual([
      { id: 'shorthand', device_id: subject, version: 'free text', timestamp: second(3), status: null },
      { id: 'of-a-batch', device_id: subject, version: '2.0.0', timestamp: second(2), status: 'updated' },
      made,
    ]);
    // A page of nothing but these leads on all the same.
    const pages: number[] = [];
    for (let url: string | undefined = `${door.at}?page_size=1`; url !== undefined;) {
      const reply: Reply = await door.get(url);
      pages.push(reply.json<Event[]>().length);
      url = nextOf(reply);
    }
    expect(pages).toEqual([0, 0, 1, 1, 1]);
  });

  it('are found, aggregated and deleted as such', async () => {
    const events = [await door.made('1.0.0', second(1)), await door.made('1.0.1', second(2), 'updated')];
    const subject = door.project.deviceId;
    const idsOf = async (query: Record<string, string>): Promise<string[]> =>
      (await door.get(address('/objects', query)))
        .json<{ results: { object_id: string }[] }>()
        .results.map(({ object_id }) => object_id)
        .reverse();
    const ids = events.map(({ id }) => id);
    expect(await idsOf({ subject })).toEqual(ids);
    expect(await idsOf({ key: 'version', value: '1.0.1' })).toEqual([ids[1]]);
    expect(await idsOf({ data: '{"status":"updated"}', observed_from: second(2) })).toEqual([ids[1]]);
    const object = (await door.get(`/objects/${ids[1] ?? ''}`)).json();
    expect(object).toMatchObject({ subject, observed_at: second(2), data: [{ value: '1.0.1' }, { value: 'updated' }] });
    const removed = await api.call('DELETE', `/objects/${ids[1] ?? ''}`, { key: door.project.keys.admin });
    expect(removed.status).toBe(204);
    expect(await door.events()).toEqual([events[0]]);
    expect(await door.made('1.0.1', second(2), 'updated')).toEqual(events[1]);
    expect(await door.events()).toHaveLength(2);
  });

  it('leave a device its own jobs only', async () => {
    const { admin, device } = door.project.keys;
    const made = await api.call('POST', '/devices', {
      key: admin,
      body: { device_id: `second-${door.project.deviceId}` },
    });
    const { key: other } = made.json<{ key: string }>();
    const own = (await door.report({ version: '1.0.0', timestamp: 1 })).json<{ job: string }>();
    const others = (await door.report({ version: '1.0.0', timestamp: 1 }, {}, other)).json<{ job: string }>();
    expect((await ended(api, device, { url: own.job })).status).toBe('succeeded');
    expectProblem(await door.get(others.job, device), 'not-found');
    const jobs = (await door.get('/jobs', device)).json<{ results: { url: string }[] }>().results;
    expect(jobs.map(({ url }) => url)).toEqual([own.job]);
    expect((await door.get('/jobs', admin)).json()).toMatchObject({ count: 2 });
    for (const path of ['/objects', '/batches', '/devices']) expectProblem(await door.get(path, device), 'forbidden');
  });
});
