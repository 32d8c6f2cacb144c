import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { address, allOf, pagesFrom, postBatch, type PageBody } from '../objects/wire.js';
import { RoomClient, type AverageBody, type ReadingBody } from './room-client.js';

let api: TestApi;
let project: TestProject;
let lab: RoomClient;

beforeAll(async () => {
  api = await TestApi.start({ COUNT_CAP: '20' });
});
beforeEach(async () => {
  project = await api.project();
  lab = new RoomClient(api, project);
});
afterEach(() => api.setClock(null));
afterAll(() => api.stop());

const minute = (n: number): string => `2024-12-10T16:${String(n).padStart(2, '0')}:00Z`;

/** Stores one reading per minute, out of order. The temperature is the minute. */
async function storeMinutes(count: number): Promise<void> {
  const readings = Array.from({ length: count }, (_, n) => ({ temperature: n, recorded_at: minute(n) }));
  await lab.store(readings.sort((a, b) => ((a.temperature * 7) % 11) - ((b.temperature * 7) % 11)));
}

describe('GET .../temperatures', () => {
  const temperatures = async (query: string): Promise<number[]> =>
    (await allOf<ReadingBody>(api, project.keys.analyst, lab.path + query)).map((one) => one.temperature);

  it('returns pages of readings, latest first, for any order in which they were sent', async () => {
    await storeMinutes(15);
    expect(await temperatures('?page_size=4')).toEqual(Array.from({ length: 15 }, (_, n) => 14 - n));
    const pages = await pagesFrom<ReadingBody>(api, project.keys.analyst, `${lab.path}?page_size=4`);
    expect(pages.map((page) => [page.count, page.count_is, page.results.length])).toEqual(
      [4, 4, 4, 3].map((size) => [15, 'exact', size]),
    );
    const back = await api.call('GET', pages[2]?.previous ?? '', { key: project.keys.analyst });
    expect(back.json<PageBody<ReadingBody>>().results).toEqual(pages[1]?.results);
    expect((await lab.get('?page=2&page_size=4')).json()).toMatchObject({ results: pages[1]?.results });
  });

  it('counts up to COUNT_CAP by default, exactly with count=exact, and not at all with count=none', async () => {
    await storeMinutes(30);
    const countOf = async (query: string): Promise<unknown> => {
      const { count, count_is } = (await lab.get(query)).json<PageBody<ReadingBody>>();
      return [count, count_is];
    };
    expect(await countOf('')).toEqual([20, 'at_least']);
    expect(await countOf('?count=exact')).toEqual([30, 'exact']);
    expect(await countOf('?count=none')).toEqual([null, undefined]);
    expect(await countOf(`?from=${minute(20)}`)).toEqual([10, 'exact']);
  });

  it('includes from and excludes until', async () => {
    await storeMinutes(10);
    expect(await temperatures(`?from=${minute(3)}&until=${minute(6)}`)).toEqual([5, 4, 3]);
    expect(await temperatures(`?from=${minute(8)}`)).toEqual([9, 8]);
    expect(await temperatures('?until=2024-12-10T18:02:00%2B02:00')).toEqual([1, 0]);
    expect(await temperatures(`?from=${minute(6)}&until=${minute(3)}`)).toEqual([]);
  });

  it('returns an empty page for a time without readings, and 404 for a room without readings', async () => {
    await storeMinutes(3);
    const empty = await lab.get('?from=2030-01-01T00:00:00Z');
    expect([empty.status, empty.json()]).toMatchObject([200, { count: 0, next: null, previous: null, results: [] }]);
    expect((await lab.get('?page=9')).status).toBe(200);
    for (const query of ['', '?from=2030-01-01T00:00:00Z']) {
      expectProblem(await new RoomClient(api, project, 'HQ', 'never').get(query), 'not-found');
    }
  });

  it('neither returns nor counts objects of the room that are not readings', async () => {
    const others = [
      { object_id: 'note', subject: 'HQ/lab', data: { remark: 'window open' } },
      { object_id: 'text', subject: 'HQ/lab', data: { temperature: 'warm' } },
    ];
    const { producer: key } = project.keys;
    expect((await api.call('POST', '/batches', { key, body: { batch_id: 'notes', objects: others } })).status).toBe(
      201,
    );
    expectProblem(await lab.get(), 'not-found');
    await storeMinutes(3);
    const page = (await lab.get('?page_size=2')).json<PageBody<ReadingBody>>();
    expect([page.count, page.results.length]).toEqual([3, 2]);
  });

  it('rejects unknown and invalid parameters, and the cursor of another room or period', async () => {
    await storeMinutes(3);
    for (const query of [
      '?from=now',
      '?until=1',
      '?page_size=0',
      '?page_size=1001',
      '?count=all',
      '?observed_from=x',
    ]) {
      const [place] = placesOf(expectProblem(await lab.get(query), 'invalid-query'));
      expect(query).toContain(`?${String(place)}=`);
    }
    const { next } = (await lab.get('?page_size=1')).json<PageBody<ReadingBody>>();
    const cursor = new URL(next ?? '').searchParams.get('cursor') ?? '';
    const hall = new RoomClient(api, project, 'HQ', 'hall');
    for (const reply of [await hall.get(`?cursor=${cursor}`), await lab.get(`?cursor=${cursor}&from=${minute(1)}`)]) {
      expect(placesOf(expectProblem(reply, 'invalid-cursor'))).toEqual(['cursor']);
    }
  });

  it('returns a reading immediately after it is stored, and includes it in the average', async () => {
    for (let n = 0; n < 30; n++) {
      await lab.store({ temperature: n });
      expect((await lab.get('?page_size=1')).json()).toMatchObject({ results: [{ temperature: n }] });
      expect((await lab.average('1h')).json()).toMatchObject({ reading_count: n + 1, average_temperature: n / 2 });
    }
  });

  it('returns 304 when If-None-Match matches', async () => {
    await storeMinutes(1);
    const first = await lab.get();
    const etag = first.headers.get('etag') ?? '';
    expect([etag, first.headers.get('cache-control')]).toEqual([expect.stringMatching(/^"/), expect.any(String)]);
    const options = { key: project.keys.analyst, headers: { 'If-None-Match': etag } };
    expect((await api.call('GET', lab.path, options)).status).toBe(304);
    await lab.store({ temperature: 9, recorded_at: minute(0) });
    expect((await api.call('GET', lab.path, options)).status).toBe(200);
  });
});

describe('GET .../temperatures/average', () => {
  const NOW = Date.parse('2024-12-10T17:00:00Z') * 1_000;
  const atNow = (micros = NOW): Promise<void> => api.setClock(micros);

  it('covers [until - duration, until), whatever the time is now', async () => {
    await lab.store([
      { temperature: 1000, recorded_at: '2024-12-08T23:59:59.999999Z' },
      { temperature: 1, recorded_at: '2024-12-09T00:00:00Z' },
      { temperature: 2, recorded_at: '2024-12-09T23:59:59.999999Z' },
      { temperature: 1000, recorded_at: '2024-12-10T00:00:00Z' },
      { temperature: 5, recorded_at: '0001-01-01T00:00:00Z' },
    ]);
    for (const until of ['2024-12-10', '2024-12-10T00:00:00', '2024-12-10T01:00:00+01:00']) {
      const reply = await lab.average('1d', until);
      expect([reply.status, reply.json()]).toMatchObject([
        200,
        { duration: '1d', average_temperature: 1.5, reading_count: 2 },
      ]);
    }
    expect((await lab.average('3653d', '0001-01-02')).json()).toMatchObject({ average_temperature: 5 });
    expectProblem(await lab.average('1d', '1960-01-01'), 'not-found');
    expect(placesOf(expectProblem(await lab.average('1d', 'today'), 'invalid-query'))).toEqual(['until']);
  });

  it('covers [now - duration, now)', async () => {
    await lab.store([
      { temperature: 1000, recorded_at: '2024-12-10T16:44:59.999999Z' },
      { temperature: 1, recorded_at: '2024-12-10T16:45:00Z' },
      { temperature: 2, recorded_at: '2024-12-10T16:59:59.999999Z' },
      { temperature: 1000, recorded_at: '2024-12-10T17:00:00Z' },
    ]);
    await atNow();
    const reply = await lab.average('15m');
    expect([reply.status, reply.json()]).toEqual([
      200,
      { building: 'HQ', room: 'lab', duration: '15m', average_temperature: 1.5, reading_count: 2 },
    ]);
    await atNow(NOW + 1);
    expect((await lab.average('15m')).json()).toMatchObject({ reading_count: 2 });
  });

  it.each([
    ['90s', 2],
    ['15m', 3],
    ['1h30m', 4],
    ['1d', 5],
    ['2w', 6],
  ])('covers the readings of the last %s: %d in this test', async (duration, count) => {
    const times = ['10T16:59:30', '10T16:58:31', '10T16:46:00', '10T15:31:00', '09T18:00:00', '01T00:00:00'];
    await lab.store(times.map((time) => ({ temperature: 5, recorded_at: `2024-12-${time}Z` })));
    await atNow();
    expect((await lab.average(duration)).json<AverageBody>()).toMatchObject({ duration, reading_count: count });
  });

  it('returns the exact average, without the rounding of a double', async () => {
    const averageOf = async (...temperatures: string[]): Promise<string | undefined> => {
      const room = new RoomClient(api, project, 'HQ', temperatures.join());
      await room.store(`[${temperatures.map((text) => `{"temperature":${text}}`).join()}]`);
      return /"average_temperature":([^,]*)/.exec((await room.average('1h')).text)?.[1];
    };
    expect(await averageOf('0.1', '0.2')).toBe('0.15');
    expect(await averageOf('12345678901234567890', '12345678901234567892')).toBe('12345678901234567891');
    expect(await averageOf('9007199254740993')).toBe('9007199254740993');
    expect(await averageOf('-1', '1')).toBe('0');
    expect(await averageOf('10.50')).toBe('10.5');
    expect(await averageOf('1', '1', '2')).toMatch(/^1\.3{16,}$/);
    expect(await averageOf('1e300')).toBe(`1${'0'.repeat(300)}`);
  });

  it('rejects a duration whose sum has more digits than `numeric` supports', async () => {
    // Only objects that are stored by other routes can have such numbers; readings are finite doubles.
    const at = new Date().toISOString();
    const objects = ['a', 'b'].map(
      (id) => `{"object_id":"${id}","subject":"HQ/lab","observed_at":"${at}","data":{"temperature":9e131071}}`,
    );
    const body = `{"batch_id":"large","objects":[${objects.join()}]}`;
    expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
    expect(placesOf(expectProblem(await lab.average('1h'), 'invalid-query'))).toEqual(['duration']);
  });

  it('returns the same 404 for a period without readings and for a room without readings', async () => {
    await lab.store({ temperature: 1, recorded_at: minute(0) });
    const replies = [await lab.average('1h'), await new RoomClient(api, project, 'HQ', 'never').average('1h')];
    const details = replies.map((reply) => expectProblem(reply, 'not-found').detail);
    expect(new Set(details).size).toBe(1);
  });

  it.each(['', '15', '0m', '-1h', '30m1h', '1h1h', '1.5h', '1y', '3654d', 'PT15M', "1h'--"])(
    'rejects the duration %j, a missing or repeated duration, and other parameters',
    async (duration) => {
      await lab.store({ temperature: 1 });
      expect(placesOf(expectProblem(await lab.average(duration), 'invalid-query'))).toEqual(['duration']);
      for (const query of ['/average', '/average?duration=1h&duration=2h']) {
        expect(placesOf(expectProblem(await lab.get(query), 'invalid-query'))).toEqual(['duration']);
      }
      expect(placesOf(expectProblem(await lab.get('/average?duration=1h&from=x'), 'invalid-query'))).toEqual(['from']);
    },
  );
});

describe('readings as objects', () => {
  const list = async (parameters: Record<string, string>): Promise<number | null> => {
    const reply = await api.call('GET', address('/objects', parameters), { key: project.keys.analyst });
    expect(reply.status).toBe(200);
    return reply.json<PageBody<object>>().count;
  };

  it('can be filtered by room, time and temperature', async () => {
    await storeMinutes(5);
    await new RoomClient(api, project, 'a/b', '50%').store({ temperature: 4, recorded_at: minute(4) });
    expect(await list({ subject: 'HQ/lab' })).toBe(5);
    expect(await list({ subject: 'a%2Fb/50%25' })).toBe(1);
    expect(await list({ subject: 'HQ/lab', observed_from: minute(3) })).toBe(2);
    expect(await list({ key: 'temperature', value: '4' })).toBe(2);
    expect(await list({ data: '{"building":"a/b","temperature":4.0}' })).toBe(1);
  });

  it('can be deleted one by one and with the batch of their day', async () => {
    await storeMinutes(5);
    const { admin: key } = project.keys;
    const reply = await lab.store({ temperature: 99, recorded_at: minute(9) });
    expect((await api.call('DELETE', reply.headers.get('location') ?? '', { key })).status).toBe(204);
    expect((await lab.get()).json()).toMatchObject({ count: 5, results: [{ temperature: 4 }, {}, {}, {}, {}] });
    const [batch] = (await api.call('GET', '/batches', { key })).json<PageBody<{ batch_id: string }>>().results;
    expect((await api.call('DELETE', `/batches/${String(batch?.batch_id)}`, { key })).status).toBe(409);
    expect((await api.call('DELETE', `/batches/${String(batch?.batch_id)}?cascade=true`, { key })).status).toBe(204);
    expectProblem(await lab.get(), 'not-found');
    await lab.store({ temperature: 1 });
    expect((await lab.get()).json()).toMatchObject({ count: 1 });
  });

  it('include readings that were sent with POST /batches, and skip objects that are not readings', async () => {
    const object = (n: number, data: object): object => ({
      object_id: `o${String(n)}`,
      subject: 'HQ/lab',
      observed_at: minute(n),
      data,
    });
    await postBatch(api, project.keys.producer, 'imported', [
      object(1, { building: 'HQ', room: 'lab', temperature: 21 }),
      object(2, { building: 'HQ', room: 'lab', temperature: 'warm' }),
      object(3, { building: 'HQ', room: 'lab' }),
      object(4, { building: 7, room: null, temperature: null }),
      object(5, {}),
    ]);
    const reply = await lab.get();
    const reading = { building: 'HQ', room: 'lab', temperature: 21, recorded_at: minute(1) };
    expect([reply.status, reply.json<PageBody<ReadingBody>>().results]).toEqual([200, [reading]]);
    expect((await lab.average('3000d')).json()).toMatchObject({ average_temperature: 21, reading_count: 1 });
  });
});
