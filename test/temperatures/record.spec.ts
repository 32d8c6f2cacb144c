import { JobRunner, WriteOperations } from '#jobs';
import { Clock, Config } from '#platform';
import { JsonBody } from '#http';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createApp } from '../../apps/api/create-app.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { settingsFor, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { sequenceOfLane } from '../harness/database.js';
import { submitJob, waitForJob, writeRequest } from '../jobs/jobs.js';
import { places, type ObjectBody, type PageBody } from '../objects/wire.js';
import { RoomClient, type ReadingBody } from './room-client.js';

const AT = '2024-12-10T16:45:00';

let api: TestApp;
let project: TestProject;
let lab: RoomClient;

beforeAll(async () => {
  api = await TestApp.start();
});
beforeEach(async () => {
  project = await api.project();
  lab = new RoomClient(api, project);
});
afterAll(() => api.stop());

interface Row {
  object_id: string;
  batch_id: string;
  subject: string;
  data: string;
}

function rows(): Promise<Row[]> {
  const text = 'SELECT object_id, batch_id, subject, data FROM objects WHERE project_id = $1 ORDER BY observed_at';
  return api.db.sql<Row>(text, [project.projectId]);
}

describe('POST .../temperatures with one reading', () => {
  it('returns the reading like GET, with its time in UTC', async () => {
    const reply = await lab.post({ temperature: 10.5, recorded_at: AT });
    const reading = { building: 'HQ', room: 'lab', temperature: 10.5, recorded_at: `${AT}Z` };
    expect([reply.status, reply.json()]).toEqual([201, reading]);
    expect((await lab.get()).json()).toEqual({
      count: 1,
      count_is: 'exact',
      next: null,
      previous: null,
      results: [reading],
    });
  });

  it('stores the reading before it responds', async () => {
    for (let n = 0; n < 20; n++) {
      const reply = await lab.post({ temperature: n });
      expect([reply.status, (await rows()).length]).toEqual([201, n + 1]);
    }
  });

  it('stores the reading as an object in the batch of the day, at the URL in Location', async () => {
    const reply = await lab.post({ temperature: 10.5, recorded_at: AT });
    const { analyst: key } = project.keys;
    const object = (await api.call('GET', reply.headers.get('location') ?? '', { key })).json<ObjectBody>();
    expect(object).toEqual({
      object_id: expect.stringMatching(/^temperature-[\w-]{32}$/),
      batch_id: `temperatures-${new Date().toISOString().slice(0, 10)}`,
      subject: 'HQ/lab',
      observed_at: `${AT}Z`,
      data: [
        { key: 'building', value: 'HQ' },
        { key: 'room', value: 'lab' },
        { key: 'temperature', value: 10.5 },
      ],
    });
  });

  it.each(['0', '-0', '0.0', '-40', '-273.15', '-1e3'])('accepts %s degrees', async (temperature) => {
    expect((await lab.post(`{"temperature":${temperature}}`)).status).toBe(201);
    expect((await lab.get()).json<PageBody<ReadingBody>>().results).toHaveLength(1);
    expect((await lab.average('1h')).json()).toMatchObject({ average_temperature: Number(temperature) + 0 });
  });

  it('replaces a reading with the same room and time, even in another notation', async () => {
    await lab.store({ temperature: 1, recorded_at: AT });
    for (const recorded_at of [`${AT}Z`, `${AT}.000`, '2024-12-10T17:45:00+01:00', '2024-12-10t16:45:00z']) {
      const reply = await lab.post({ temperature: 2, recorded_at });
      expect([reply.status, reply.json<ReadingBody>().recorded_at]).toEqual([201, `${AT}Z`]);
    }
    const { count, results } = (await lab.get()).json<PageBody<ReadingBody>>();
    expect([count, results.map((one) => one.temperature)]).toEqual([1, [2]]);
  });

  it('stores readings with another room, time or project separately', async () => {
    await lab.store({ temperature: 1, recorded_at: AT });
    await lab.store({ temperature: 2, recorded_at: `${AT}.000001` });
    await new RoomClient(api, project, 'HQ', 'hall').store({ temperature: 3, recorded_at: AT });
    await new RoomClient(api, await api.project()).store({ temperature: 4, recorded_at: AT });
    expect(await rows()).toHaveLength(3);
    expect((await lab.get()).json()).toMatchObject({ count: 2, results: [{ temperature: 2 }, { temperature: 1 }] });
  });

  it('uses the time of the request if recorded_at is missing or null, and a different time for each concurrent request', async () => {
    const before = new Date().toISOString();
    const sent = Array.from({ length: 50 }, (_, n) =>
      n % 2 === 0 ? { temperature: n } : { temperature: n, recorded_at: null },
    );
    const replies = await Promise.all(sent.map((one) => lab.post(one)));
    expect(new Set(replies.map((one) => one.status))).toEqual(new Set([201]));
    const { results } = (await lab.get('?page_size=100')).json<PageBody<ReadingBody>>();
    const stored = replies.map((one) => one.json<ReadingBody>());
    const byTemperature = (a: ReadingBody, b: ReadingBody): number => a.temperature - b.temperature;
    expect([...results].sort(byTemperature)).toEqual(stored.sort(byTemperature));
    expect(results.map(micros)).toEqual(results.map(micros).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0)));
    expect(Date.parse(stored[0]?.recorded_at ?? '') - Date.parse(before)).toBeLessThan(10_000);
    expect(results.every((one) => Date.parse(one.recorded_at) >= Date.parse(before))).toBe(true);
  });

  it('stores separate readings without a time from two servers in the same microsecond', async () => {
    const other = await createApp(new Config(settingsFor(api.db)), { ...api.db, sequence: sequenceOfLane(77) });
    await other.listen(0, '127.0.0.1');
    try {
      const at = Date.now() * 1_000;
      for (const app of [api.app, other]) jest.spyOn(app.get(Clock), 'receivedAt').mockReturnValue(at);
      const { producer: key } = project.keys;
      const url = `${await other.getUrl()}/api/v1${lab.path}`;
      const replies = await Promise.all(
        [lab.path, url, lab.path, url].map((path) => api.call('POST', path, { key, body: [{ temperature: 1 }] })),
      );
      expect(replies.map((reply) => reply.json())).toEqual(
        replies.map(() => ({ building: 'HQ', room: 'lab', stored: 1, replaced: 0 })),
      );
      expect((await lab.get()).json()).toMatchObject({ count: 4 });
    } finally {
      jest.restoreAllMocks();
      await other.close();
    }
  });

  it.each([
    ['text', '"10.5"'],
    ['null', 'null'],
    ['a boolean', 'true'],
    ['an array', '[1]'],
    ['the text NaN', '"NaN"'],
    ['the text Infinity', '"Infinity"'],
    ['a number above the range of a double', '1e400'],
    ['a number below the range of a double', '-1e400'],
    ['a number with more digits than `numeric` supports', '1e131072'],
    ['a number with more decimals than `numeric` supports', '-1e-16384'],
  ])('rejects %s as a temperature, with a pointer', async (_, temperature) => {
    const one = `{"recorded_at":"${AT}","temperature":${temperature}}`;
    expect(placesOf(expectProblem(await lab.post(one), 'invalid-body'))).toEqual(['/temperature']);
    const list = `[{"temperature":1},${one}]`;
    expect(placesOf(expectProblem(await lab.post(list), 'invalid-body'))).toEqual(['/1/temperature']);
    expect(await rows()).toEqual([]);
  });

  it.each(['NaN', 'Infinity', '-Infinity', '+1', '01', '.5', '1.', '0x10'])(
    'rejects %s, which is not a JSON number, as malformed',
    async (temperature) => {
      expectProblem(await lab.post(`{"temperature":${temperature}}`), 'malformed-request');
    },
  );

  it.each(['x', ']', '[]', ',', '{}', '\\u0000'])('rejects a list that is followed by %s as malformed', async (end) => {
    expectProblem(await lab.post(`[{"temperature":1}] ${end}`), 'malformed-request');
    expect(await rows()).toEqual([]);
  });

  it('rejects a missing temperature, an invalid time and a duplicate key', async () => {
    const missing = expectProblem(await lab.post({}), 'invalid-body');
    expect(missing.errors).toEqual([{ pointer: '/temperature', detail: 'is missing' }]);
    const times = ['yesterday', '', 0, '2024-02-30T00:00:00Z', '2024-12-10', '2024-12-10T16:45:00.1234567Z', false];
    for (const recorded_at of times) {
      const reply = await lab.post({ temperature: 1, recorded_at });
      expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/recorded_at']);
    }
    const twice = await lab.post('{"temperature":1,"temperature":2}');
    expect(placesOf(expectProblem(twice, 'invalid-body'))).toEqual(['/temperature']);
    expect(await rows()).toEqual([]);
  });
});

function micros({ recorded_at }: ReadingBody): string {
  const [seconds = '', fraction = ''] = recorded_at.replace('Z', '').split('.');
  return `${seconds}.${fraction.padEnd(6, '0')}`;
}

describe('POST .../temperatures with an array', () => {
  it('stores all readings, and returns the numbers of stored and replaced ones', async () => {
    const sent = (first: number): object[] =>
      Array.from({ length: 3 }, (_, n) => ({
        temperature: first + n,
        recorded_at: `2024-12-10T0${String(first + n)}:00:00`,
      }));
    const summary = { building: 'HQ', room: 'lab', stored: 3 };
    const [one, two] = [await lab.post(sent(0)), await lab.post(sent(2))];
    expect([one.status, one.json()]).toEqual([201, { ...summary, replaced: 0 }]);
    expect([two.status, two.json()]).toEqual([201, { ...summary, replaced: 1 }]);
    const { results } = (await lab.get()).json<PageBody<ReadingBody>>();
    expect(results.map((reading) => reading.temperature)).toEqual([4, 3, 2, 1, 0]);
  });

  it('keeps the last of several readings with the same time', async () => {
    const sent = [1, 2].map((temperature) => ({ temperature, recorded_at: AT }));
    expect((await lab.post(sent)).json()).toMatchObject({ stored: 2, replaced: 1 });
    expect((await lab.get()).json()).toMatchObject({ count: 1, results: [{ temperature: 2 }] });
  });

  it('assigns different times to readings without a time, in the order of the array', async () => {
    await lab.store(Array.from({ length: 100 }, (_, temperature) => ({ temperature })));
    const { count, results } = (await lab.get('?page_size=100')).json<PageBody<ReadingBody>>();
    expect(count).toBe(100);
    expect(results.map((one) => one.temperature)).toEqual(Array.from({ length: 100 }, (_, n) => 99 - n));
  });

  it('rejects an array with errors as a whole, with a pointer to each error', async () => {
    const sent = [
      { temperature: 1 },
      { temperature: '2' },
      3,
      { temperature: 4, recorded_at: 'now', room: 'x' },
      null,
      {},
    ];
    const { errors } = expectProblem(await lab.post(sent), 'invalid-body');
    expect(errors?.map((error) => error.pointer).sort()).toEqual([
      '/1/temperature',
      '/2',
      '/3/recorded_at',
      '/3/room',
      '/4',
      '/5/temperature',
    ]);
    expect(await rows()).toEqual([]);
  });

  it('rejects an empty array', async () => {
    expect(placesOf(expectProblem(await lab.post([]), 'invalid-body'))).toEqual(['']);
  });

  it('accepts 10,000 readings, and rejects more than feed_list_max in GET /limits', async () => {
    const sent = Array.from({ length: 10_001 }, (_, temperature) => ({ temperature }));
    const { feed_list_max } = (await api.call('GET', '/limits')).json<{ feed_list_max: number }>();
    expect(feed_list_max).toBe(10_000);
    expect(expectProblem(await lab.post(sent), 'too-large').detail).toContain('10000');
    expect(await rows()).toEqual([]);
    expect((await lab.post(sent.slice(1))).json()).toMatchObject({ stored: 10_000, replaced: 0 });
    expect((await lab.get('?count=exact&page_size=1')).json()).toMatchObject({
      count: 10_000,
      results: [{ temperature: 10_000 }],
    });
    const bad = sent.slice(1).map(({ temperature }) => ({ temperature: String(temperature) }));
    expect(expectProblem(await lab.post(bad), 'invalid-body')).toMatchObject({
      error_count: 100,
      error_count_is: 'at_least',
    });
  });
});

const NAMES = [
  `a'; DROP TABLE objects; --`,
  `a" OR "1"="1`,
  '/',
  '%2F',
  '%',
  '%00',
  'a/b',
  '👩‍🏭',
  ' ',
  '\\',
  "' OR 1=1",
  '$1',
  '...',
  'null',
  '{"$ne":null}',
  '*',
];

describe('building and room names', () => {
  it.each(NAMES)('can be %j, which identifies no other room', async (name) => {
    await lab.store({ temperature: 1, recorded_at: AT });
    const rooms = [
      new RoomClient(api, project, name, 'lab'),
      new RoomClient(api, project, 'HQ', name),
      new RoomClient(api, project, name, name),
    ];
    for (const room of rooms) {
      expect((await room.get()).status).toBe(404);
      const reply = await room.post({ temperature: 2, recorded_at: AT });
      const reading = { building: room.building, room: room.room, temperature: 2, recorded_at: `${AT}Z` };
      expect([reply.status, reply.json()]).toEqual([201, reading]);
      expect((await room.get()).json()).toMatchObject({ count: 1, results: [reading] });
      expect((await room.average('3000d')).json()).toMatchObject({ average_temperature: 2, reading_count: 1 });
    }
    expect((await lab.get()).json()).toMatchObject({ count: 1, results: [{ temperature: 1 }] });
    expect(await rows()).toHaveLength(4);
  });

  it.each(['..', '%2E'])('are rejected if they are %s, which URL parsers remove from paths', async (name) => {
    const path = `/api/v1/buildings/${name}/rooms/${name}/temperatures`;
    const request = `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${project.keys.analyst}\r\n\r\n`;
    expectProblem(await sendRaw(api.origin, request), 'invalid-path');
  });

  it('are rejected by each route if they have 256 characters, control characters or are too long in total', async () => {
    const rooms = [
      ['x'.repeat(256), 'lab'],
      ['HQ', 'x'.repeat(256)],
      ['a\nb', 'lab'],
      ['HQ', '\u0085'],
      ['x'.repeat(128), 'y'.repeat(127)],
      ['/'.repeat(84), 'lab'],
    ].map(([building, room]) => new RoomClient(api, project, building, room));
    for (const room of rooms) {
      for (const reply of [await room.post({ temperature: 1 }), await room.get(), await room.average('1h')]) {
        expectProblem(reply, 'invalid-path');
      }
    }
    const longest = new RoomClient(api, project, 'x'.repeat(127), '👢'.repeat(127));
    expect([(await longest.post({ temperature: 1 })).status, (await longest.get()).status]).toEqual([201, 200]);
  });
});

describe('POST .../temperatures with idempotency keys and jobs', () => {
  it('stores a reading without a time once for an Idempotency-Key', async () => {
    const send = (body: object) => lab.post(body, { headers: { 'Idempotency-Key': 'once' } });
    const [first, second] = [await send({ temperature: 1 }), await send({ temperature: 1 })];
    expect([second.status, second.text, second.headers.get('idempotency-replayed')]).toEqual([201, first.text, 'true']);
    expectProblem(await send({ temperature: 2 }), 'idempotency-key-reused');
    expect(await rows()).toHaveLength(1);
    const list = { headers: { 'Idempotency-Key': 'a-list' } };
    const sent = [{ temperature: 1 }, { temperature: 2 }];
    expect((await lab.post(sent, list)).text).toBe((await lab.post(sent, list)).text);
    expect(await rows()).toHaveLength(3);
  });

  it('stores nothing when the receipt cannot be stored', async () => {
    const { projectId } = project;
    const params = { building: 'HQ', room: 'lab' };
    const receipt = (): Promise<void> => Promise.reject(new Error('the receipt failed'));
    for (const text of ['{"temperature":1}', '[{"temperature":1}]']) {
      const body = new JsonBody(Buffer.from(text), 1_000);
      const run = api.app
        .get(WriteOperations)
        .get('temperatures.record')
        .run(writeRequest({ projectId, params, body }), receipt);
      await expect(run).rejects.toThrow('the receipt failed');
    }
    expect(await rows()).toEqual([]);
  });

  it('stores a reading in the batch of the day on which it was received, even if its job runs later', async () => {
    const request = writeRequest({
      projectId: project.projectId,
      params: { building: 'HQ', room: 'lab' },
      receivedAtMicros: Date.parse('2024-02-03T23:59:59Z') * 1_000,
      body: new JsonBody(Buffer.from('{"temperature":1}'), 1_000),
    });
    await api.app.get(WriteOperations).get('temperatures.record').run(request);
    const days = await api.call('GET', '/objects?batch_id=temperatures-2024-02-03', { key: project.keys.analyst });
    expect(days.json<PageBody<ObjectBody>>().results).toMatchObject([{ observed_at: '2024-02-03T23:59:59Z' }]);
  });

  it('runs as a job with Prefer: respond-async, with the time of the request', async () => {
    const { producer: key, admin } = project.keys;
    const clock = jest.spyOn(api.app.get(Clock), 'receivedAt').mockReturnValue(Date.parse(`${AT}Z`) * 1_000);
    const job = await submitJob(api, 'POST', lab.path, { key, body: '{"temperature":1.50}' });
    clock.mockRestore();
    await api.app.get(JobRunner).start();
    const done = await waitForJob(api, key, job);
    expect(done).toMatchObject({ status: 'succeeded', result_status: 201, result: { temperature: 1.5 } });
    const [reading] = (await lab.get()).json<PageBody<ReadingBody>>().results;
    expect(reading).toEqual(done.result);
    expect(reading?.recorded_at).toBe(`${AT}Z`);
    expect((await api.call('GET', '/jobs', { key: admin })).json()).toMatchObject({
      count: 1,
      results: [{ id: job.id }],
    });
  });

  it('fails the job of an invalid reading, with its problem', async () => {
    const { producer: key } = project.keys;
    await api.app.get(JobRunner).start();
    const job = await waitForJob(
      api,
      key,
      await submitJob(api, 'POST', lab.path, { key, body: [{ temperature: 'x' }] }),
    );
    expect(job).toMatchObject({ status: 'failed', problem: { status: 400, errors: [{ pointer: '/0/temperature' }] } });
    expect(await rows()).toEqual([]);
  });
});

describe('access to temperatures', () => {
  it('is write-only for producers and read-only for analysts; devices have none', async () => {
    const { analyst, device, producer } = project.keys;
    for (const key of [analyst, device]) expectProblem(await lab.post({ temperature: 1 }, { key }), 'forbidden');
    for (const key of [device, producer]) {
      for (const path of [lab.path, `${lab.path}/average?duration=1h`]) {
        expectProblem(await api.call('GET', path, { key }), 'forbidden');
      }
    }
    expect(await rows()).toEqual([]);
  });

  it("hides another project's rooms", async () => {
    await lab.store({ temperature: 1 });
    const other = new RoomClient(api, await api.project());
    for (const reply of [await other.get(), await other.average('1h')]) expectProblem(reply, 'not-found');
    await other.store({ temperature: 2 });
    expect((await lab.average('1h')).json()).toMatchObject({ average_temperature: 1, reading_count: 1 });
    expect(places(await other.get('?from=x'))).toEqual(['from']);
  });
});
