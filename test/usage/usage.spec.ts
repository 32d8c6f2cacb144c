import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SeededRandom } from '../faults/seeded-random.js';
import { TestApi } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import {
  bytesOf,
  MERGE_PATCH,
  NDJSON,
  objectsOf,
  ROOM,
  SPROCKET,
  UsageClient,
  type SentObject,
  type UsageBody,
} from './usage-client.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

const linesOf = (objects: readonly SentObject[]): string => objects.map((one) => `${JSON.stringify(one)}\n`).join('');

describe('GET /usage', () => {
  it('returns zeros and no limits for a new project', async () => {
    const client = await UsageClient.create(api);
    expect(await client.usage()).toMatchObject({ objects: 0, bytes: 0, limits: { objects: null, bytes: null } });
  });

  it('counts an object with its data as a list of pairs, in bytes of UTF-8', async () => {
    const client = await UsageClient.create(api);
    const body = { batch_id: 'b', objects: [{ object_id: 'a', data: { town: 'Zürich' } }] };
    await client.send([201], 'POST', '/batches', body);
    const bytes = Buffer.byteLength('[{"key":"town","value":"Zürich"}]');
    expect(await client.usage()).toMatchObject({ objects: 1, bytes });
  });

  it('does not count the objects of another project', async () => {
    const [one, other] = [await UsageClient.create(api), await UsageClient.create(api)];
    await one.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 3) });
    expect(await other.usage()).toMatchObject({ objects: 0, bytes: 0 });
  });

  it('counts the requests of every key of the project once the server has stopped, and none of other projects', async () => {
    const server = await api.another();
    const client = await UsageClient.create(server);
    const before = 1; // `project` creates a device with the admin key.
    await client.usage();
    await client.call('GET', '/no-such-resource');
    await client.call('GET', '/objects/no-such-object');
    await server.call('GET', '/objects', { key: client.project.keys.analyst });
    await server.call('GET', '/projects', { key: client.project.keys.analyst });
    await server.stop();
    // A rejected request counts; neither the address that does not exist nor the operator's requests are of the project.
    const [row] = await api.db.sql(`SELECT requests FROM project_requests WHERE project_id = $1`, [
      client.project.projectId,
    ]);
    expect(row).toEqual({ requests: String(before + 4) });
  });
});

describe('the usage of a project', () => {
  const big = objectsOf('big', 300);
  const small = objectsOf('small', 5);
  /** Each step changes objects in another way. */
  const steps: [string, (client: UsageClient) => Promise<unknown>][] = [
    ['a small batch', (c) => c.send([201], 'POST', '/batches', { batch_id: 's', objects: small })],
    ['a batch that is copied', (c) => c.send([201], 'POST', '/batches', { batch_id: 'l', objects: big })],
    ['an empty batch', (c) => c.send([201], 'POST', '/batches', { batch_id: 'e', objects: [] })],
    ['a batch with a conflict', (c) => c.send([409], 'POST', '/batches', { batch_id: 'x', objects: small })],
    ['a copied batch with a conflict', (c) => c.send([409], 'POST', '/batches', { batch_id: 'x', objects: big })],
    ['a dry run', (c) => c.send([200], 'POST', '/batches?dry_run=true', { batch_id: 'd', objects: objectsOf('d', 9) })],
    [
      'a batch with an Idempotency-Key',
      (c) =>
        c.send([201], 'POST', '/batches', { batch_id: 'k', objects: objectsOf('k', 4) }, { 'Idempotency-Key': 'k' }),
    ],
    [
      'a batch in part',
      (c) =>
        c.send([207], 'POST', '/batches?mode=partial', {
          batch_id: 'p',
          objects: [...small, ...objectsOf('p', 3, 20)],
        }),
    ],
    ['a stream', (c) => c.send([201], 'PUT', '/batches/n', linesOf(objectsOf('n', 250, 30)), NDJSON)],
    ['the same stream again', (c) => c.send([200], 'PUT', '/batches/n', linesOf(objectsOf('n', 250, 30)), NDJSON)],
    [
      'a replacement with larger objects',
      (c) => c.send([200], 'PUT', '/batches/n?on_conflict=replace', { objects: objectsOf('n', 250, 70) }),
    ],
    [
      'a replacement with fewer objects',
      (c) => c.send([200], 'PUT', '/batches/n?on_conflict=replace', { objects: objectsOf('n', 3) }),
    ],
    [
      'an addition to a batch',
      (c) => c.send([200], 'PUT', '/batches/n?on_conflict=skip', { objects: objectsOf('n', 8, 90) }),
    ],
    ['an object', (c) => c.send([201], 'POST', '/objects', { batch_id: 'e', object_id: 'one', data: { a: 1 } })],
    [
      'an object with an Idempotency-Key',
      (c) =>
        c.send(
          [201],
          'POST',
          '/objects',
          { batch_id: 'e', object_id: 'two', data: { a: 1 } },
          { 'Idempotency-Key': '2' },
        ),
    ],
    ['a larger object', (c) => c.send([200], 'PUT', '/objects/one', { data: { text: 'longer than before' } })],
    ['a patch of data', (c) => c.send([200], 'PATCH', '/objects/one', { data: { text: null, b: 2 } }, MERGE_PATCH)],
    ['a patch of other members', (c) => c.send([200], 'PATCH', '/objects/one', { subject: 's' }, MERGE_PATCH)],
    ['the deletion of an object', (c) => c.send([204], 'DELETE', '/objects/two')],
    [
      'a job',
      async (c) => {
        const { keys } = c.project;
        const body = { batch_id: 'j', objects: objectsOf('j', 6) };
        const job = await submitJob(c.api, 'POST', '/batches', { key: keys.producer, body });
        expect((await waitForJob(c.api, keys.producer, job)).status).toBe('succeeded');
      },
    ],
    ['a reading', (c) => c.send([201], 'POST', ROOM, { temperature: 20.5, recorded_at: '2024-12-10T16:45:00' })],
    [
      'a reading that replaces one, and another',
      (c) =>
        c.send([201], 'POST', ROOM, [
          { temperature: 7, recorded_at: '2024-12-10T16:45:00' },
          { temperature: 21.25, recorded_at: '2024-12-10T16:46:00' },
        ]),
    ],
    ['a sprocket', (c) => c.send([201], 'POST', '/sprockets', { id: 'sp', ...SPROCKET })],
    ['the same sprocket again', (c) => c.send([200], 'POST', '/sprockets', { id: 'sp', ...SPROCKET })],
    ['a replaced sprocket', (c) => c.send([200], 'PUT', '/sprockets/sp', { ...SPROCKET, teeth: 1_000 })],
    [
      'a firmware event',
      (c) =>
        c.api.call('POST', `/firmware/${c.project.deviceId}`, {
          key: c.project.keys.device,
          body: { firmware: '1.0.0', timestamp: 1_700_000_000 },
        }),
    ],
    ['the deletion of a batch', (c) => c.send([204], 'DELETE', '/batches/l?cascade=true')],
    ['the deletion of an empty batch', (c) => c.send([204], 'DELETE', '/batches/x', undefined).catch(() => undefined)],
  ];

  it('is exact after every kind of write', async () => {
    const client = await UsageClient.create(api);
    const seen: [string, UsageBody][] = [];
    for (const [name, step] of steps) {
      await step(client);
      seen.push([name, await client.expectExact()]);
    }
    const after = Object.fromEntries(seen);
    expect(after['a small batch']).toMatchObject({ objects: 5, bytes: 5 * bytesOf(small[0] as SentObject) });
    expect(after['a batch that is copied']?.objects).toBe(305);
    expect(after['a dry run']).toMatchObject({ objects: 305 });
    expect(after['the deletion of a batch']?.objects).toBeGreaterThan(0);
    expect(after['a patch of other members']?.bytes).toBe(after['a patch of data']?.bytes);
  });

  it('is zero again when everything is deleted', async () => {
    const client = await UsageClient.create(api);
    await client.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 300) });
    await client.send([201], 'POST', ROOM, { temperature: 20.5 });
    const { results } = (await client.call('GET', '/batches')).json<{ results: { batch_id: string }[] }>();
    for (const { batch_id } of results) await client.send([204], 'DELETE', `/batches/${batch_id}?cascade=true`);
    expect(await client.expectExact()).toMatchObject({ objects: 0, bytes: 0 });
  });

  it('is exact after many concurrent writes, deletions and conflicts', async () => {
    const client = await UsageClient.create(api);
    await client.send([201], 'POST', '/batches', { batch_id: 'shared', objects: [] });
    await Promise.all(Array.from({ length: 8 }, (_, worker) => writeAtRandom(client, new SeededRandom(worker))));
    expect((await client.expectExact()).objects).toBeGreaterThan(0);
  });
});

/** Writes to ids that the other workers use too. */
async function writeAtRandom(client: UsageClient, random: SeededRandom): Promise<void> {
  const statuses = [200, 201, 204, 207, 400, 404, 409];
  for (let turn = 0; turn < 25; turn++) {
    const n = String(Math.floor(random.between(0, 6)));
    const length = Math.floor(random.between(0, 60));
    const objects = objectsOf(`o${n}`, random.pick([1, 5, 260]), length);
    const object = `/objects/o${n}-0`;
    const requests: [string, string, unknown?, Record<string, string>?][] = [
      ['POST', '/batches', { batch_id: `b${n}`, objects }],
      ['PUT', `/batches/b${n}?on_conflict=replace`, { objects }],
      ['PUT', `/batches/b${n}?on_conflict=skip&mode=partial`, { objects }],
      ['PUT', `/batches/b${n}?mode=partial`, { objects }],
      ['POST', '/objects', { batch_id: 'shared', object_id: `o${n}-0`, data: { length } }],
      ['PUT', object, { data: { text: 'y'.repeat(length) } }],
      ['PATCH', object, { data: { text: 'z'.repeat(length) } }, MERGE_PATCH],
      ['DELETE', object],
      ['DELETE', `/batches/b${n}?cascade=true`],
      ['POST', ROOM, { temperature: length, recorded_at: `2024-12-10T16:45:0${n}` }],
      ['POST', '/sprockets', [{ id: `sp${n}`, ...SPROCKET }]],
    ];
    await client.send(statuses, ...random.pick(requests as [(typeof requests)[0], ...typeof requests]));
  }
}
