import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { bytesOf, MERGE_PATCH, NDJSON, objectsOf, ROOM, SPROCKET, UsageClient } from './usage-client.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

/** Changes the limits of the client's project. */
async function setLimits(client: UsageClient, limits: { objects_max?: number | null; bytes_max?: number | null }) {
  const path = `/projects/${String(client.project.projectId)}`;
  const reply = await client.api.call('PATCH', path, { key: client.api.operatorKey, body: limits });
  expect([reply.status, reply.text]).toEqual([200, reply.text]);
}

/** A project with a batch `b` of objects, and these limits. */
async function projectWith(objects: number, limits: Parameters<typeof setLimits>[1]): Promise<UsageClient> {
  const client = await UsageClient.create(api);
  await client.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', objects) });
  await setLimits(client, limits);
  return client;
}

function expectQuotaExceeded(reply: Reply): Record<string, unknown> {
  const problem = expectProblem(reply, 'quota-exceeded');
  expect(reply.headers.get('retry-after')).toBe('3600');
  return problem as unknown as Record<string, unknown>;
}

const many = objectsOf('n', 300);
/** Each adds at least one object. */
const ADDITIONS: [string, (c: UsageClient) => Promise<Reply>][] = [
  ['a small batch', (c) => c.call('POST', '/batches', { batch_id: 'n', objects: objectsOf('n', 2) })],
  ['a batch that is copied', (c) => c.call('POST', '/batches', { batch_id: 'n', objects: many })],
  ['a batch in part', (c) => c.call('POST', '/batches?mode=partial', { batch_id: 'n', objects: many })],
  ['a dry run', (c) => c.call('POST', '/batches?dry_run=true', { batch_id: 'n', objects: many })],
  [
    'a batch with an Idempotency-Key',
    (c) => c.call('POST', '/batches', { batch_id: 'n', objects: objectsOf('n', 2) }, { 'Idempotency-Key': 'k' }),
  ],
  ['a stream', (c) => c.call('PUT', '/batches/n', many.map((one) => JSON.stringify(one)).join('\n'), NDJSON)],
  [
    'a replacement with more objects',
    (c) => c.call('PUT', '/batches/b?on_conflict=replace', { objects: objectsOf('o', 20) }),
  ],
  ['an addition to a batch', (c) => c.call('PUT', '/batches/b?on_conflict=skip', { objects: objectsOf('o', 20) })],
  ['an object', (c) => c.call('POST', '/objects', { batch_id: 'b', object_id: 'new', data: { text: 'new' } })],
  [
    'an object with an Idempotency-Key',
    (c) =>
      c.call('POST', '/objects', { batch_id: 'b', object_id: 'new', data: { a: 1 } }, { 'Idempotency-Key': 'another' }),
  ],
  ['a reading', (c) => c.call('POST', ROOM, { temperature: 20.5 })],
  ['a list of readings', (c) => c.call('POST', ROOM, [{ temperature: 20.5 }, { temperature: 21 }])],
  ['a sprocket', (c) => c.call('POST', '/sprockets', { id: 'sp', ...SPROCKET })],
  [
    'a firmware event',
    (c) =>
      c.api.call('POST', `/firmware/${c.project.deviceId}`, {
        key: c.project.keys.device,
        body: { firmware: '1.0.0', timestamp: 1_700_000_000 },
      }),
  ],
];

describe('a project at its limit of objects', () => {
  let client: UsageClient;
  beforeAll(async () => {
    client = await projectWith(10, { objects_max: 10 });
  });

  it.each(ADDITIONS)('rejects %s with the figures, and stores nothing', async (_, add) => {
    const problem = expectQuotaExceeded(await add(client));
    expect(problem).toMatchObject({ quota: 'objects', limit: 10 });
    expect(problem.added).toBeGreaterThan(0);
    expect(await client.expectExact()).toMatchObject({ objects: 10, limits: { objects: 10, bytes: null } });
  });

  it('accepts an empty batch, the same batch again, and changes of its objects', async () => {
    await client.send([201], 'POST', '/batches', { batch_id: 'empty', objects: [] });
    await client.send([200], 'PUT', '/batches/b', { objects: objectsOf('o', 10) });
    await client.send([200], 'PUT', '/objects/o-0', { data: { text: 'y'.repeat(500) } });
    expect((await client.expectExact()).objects).toBe(10);
  });

  it('accepts as many objects as were deleted, and no more', async () => {
    await client.send([204], 'DELETE', '/objects/o-0');
    await client.send([204], 'DELETE', '/objects/o-1');
    const four = { batch_id: 'n', objects: objectsOf('n', 4) };
    expect(expectQuotaExceeded(await client.call('POST', '/batches', four))).toMatchObject({ used: 8, added: 4 });
    await client.send([201], 'POST', '/batches', { batch_id: 'n', objects: objectsOf('n', 2) });
    expect((await client.expectExact()).objects).toBe(10);
  });
});

describe('a project at its limit of bytes', () => {
  const size = bytesOf(objectsOf('o', 1)[0] as never);
  let client: UsageClient;
  beforeAll(async () => {
    client = await projectWith(10, { bytes_max: 10 * size });
  });

  it.each([
    ...ADDITIONS,
    ['a larger object', (c: UsageClient) => c.call('PUT', '/objects/o-0', { data: { text: 'x'.repeat(99) } })] as const,
    [
      'a patch that adds data',
      (c: UsageClient) => c.call('PATCH', '/objects/o-0', { data: { more: 1 } }, MERGE_PATCH),
    ] as const,
  ])('rejects %s with the figures, and stores nothing', async (_, add) => {
    const problem = expectQuotaExceeded(await add(client));
    expect(problem).toMatchObject({ quota: 'bytes', limit: 10 * size });
    expect(await client.expectExact()).toMatchObject({ objects: 10, bytes: 10 * size });
  });

  it('accepts smaller content, and then as much as that left', async () => {
    await client.send([200], 'PUT', '/objects/o-0', { data: [{ key: 'text', value: '' }] });
    await client.send([200], 'PUT', '/objects/o-1', { data: [{ key: 'text', value: 'x'.repeat(20) }] });
    expect(await client.expectExact()).toMatchObject({ bytes: 10 * size });
  });
});

describe('a project over its limit', () => {
  it('accepts deletions and replacements with less, and nothing else until it is below the limit', async () => {
    const client = await projectWith(20, { objects_max: 5 });
    const add = (): Promise<Reply> => client.call('POST', '/objects', { batch_id: 'b', object_id: 'new', data: {} });
    expectQuotaExceeded(await add());
    await client.send([204], 'DELETE', '/objects/o-0');
    expectQuotaExceeded(await add());
    await client.send([200], 'PUT', '/batches/b?on_conflict=replace', { objects: objectsOf('o', 6) });
    expectQuotaExceeded(await add());
    await client.send([204], 'DELETE', '/batches/b?cascade=true');
    await client.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 4) });
    expect((await add()).status).toBe(201);
    expectQuotaExceeded(await client.call('POST', ROOM, { temperature: 1 }));
    expect((await client.expectExact()).objects).toBe(5);
  });

  it('accepts everything again when the limit is raised or removed', async () => {
    const client = await projectWith(3, { objects_max: 3 });
    await setLimits(client, { objects_max: 4 });
    await client.send([201], 'POST', ROOM, { temperature: 1 });
    expectQuotaExceeded(await client.call('POST', ROOM, { temperature: 2 }));
    await setLimits(client, { objects_max: null });
    await client.send([201], 'POST', '/batches', { batch_id: 'n', objects: many });
    expect(await client.expectExact()).toMatchObject({ objects: 304, limits: { objects: null } });
  });
});

describe('concurrent writers of a project', () => {
  it('fill it to the limit and never exceed it', async () => {
    const limit = 200;
    const client = await projectWith(10, { objects_max: limit });
    await client.send([201], 'POST', '/batches', { batch_id: 'shared', objects: [] });
    const rejected = await Promise.all(Array.from({ length: 8 }, (_, writer) => fill(client, writer)));
    expect((await client.expectExact()).objects).toBe(limit);
    expect(Math.min(...rejected)).toBeGreaterThan(0);
  });

  it('never exceed a limit of bytes with objects of any size', async () => {
    const limit = 20_000;
    const client = await projectWith(10, { bytes_max: limit });
    await client.send([201], 'POST', '/batches', { batch_id: 'shared', objects: [] });
    await Promise.all(Array.from({ length: 8 }, (_, writer) => fill(client, writer)));
    const { bytes } = await client.expectExact();
    expect(bytes).toBeLessThanOrEqual(limit);
    // Less than the smallest object that was rejected.
    expect(bytes).toBeGreaterThan(limit - 100);
  });

  /** Writes objects in every way until it is rejected three times in succession. @returns the number of rejections */
  async function fill(client: UsageClient, writer: number): Promise<number> {
    let rejected = 0;
    for (let turn = 0, inSuccession = 0; inSuccession < 6; turn++) {
      const id = `w${String(writer)}-${String(turn)}`;
      const objects = objectsOf(id, turn % 6 === 0 ? 210 : 3, 40);
      const requests: [string, string, unknown][] = [
        ['POST', '/batches', { batch_id: id, objects }],
        ['POST', '/objects', { batch_id: 'shared', object_id: id, data: { a: 1 } }],
        ['POST', ROOM, { temperature: writer, recorded_at: new Date(turn * 1_000 + writer).toISOString() }],
        ['POST', '/batches?mode=partial', { batch_id: id, objects: objects.slice(0, 1) }],
        ['POST', '/sprockets', { id, ...SPROCKET }],
      ];
      const request = requests[turn % requests.length] as (typeof requests)[0];
      const { status } = await client.send([201, 429], ...request);
      inSuccession = status === 429 ? inSuccession + 1 : 0;
      if (status === 429) rejected++;
    }
    return rejected;
  }
});

describe('a job of a project at its limit', () => {
  it('fails with the problem of its write, which a retry stores when there is room', async () => {
    const client = await projectWith(2, { objects_max: 3 });
    const { admin, producer } = client.project.keys;
    const body = { batch_id: 'j', objects: objectsOf('j', 2) };
    const job = await submitJob(api, 'POST', '/batches', { key: producer, body });
    const failed = await waitForJob(api, producer, job);
    expect(failed).toMatchObject({ status: 'failed', problem: { status: 429, quota: 'objects', limit: 3, added: 2 } });
    await setLimits(client, { objects_max: 4 });
    await api.call('POST', `${job.url}/retry`, { key: admin });
    expect((await waitForJob(api, producer, job)).status).toBe('succeeded');
    expect((await client.expectExact()).objects).toBe(4);
  });

  it('is not accepted where the project has no room for any object, and its body is not stored', async () => {
    const client = await projectWith(2, { objects_max: 2 });
    const { projectId } = client.project;
    const prefer = { Prefer: 'respond-async' };
    const lines = objectsOf('j', 2).map((one) => JSON.stringify(one));
    const replies = [
      await client.call('POST', '/batches', { batch_id: 'j', objects: objectsOf('j', 2) }, prefer),
      await client.call('PUT', '/batches/j', lines.join('\n'), { ...NDJSON, ...prefer }),
      await client.call('POST', ROOM, { temperature: 20.5 }, prefer),
    ];
    for (const reply of replies) {
      expect(expectQuotaExceeded(reply)).toMatchObject({ quota: 'objects', limit: 2, added: 1 });
    }
    for (const table of ['jobs', 'job_parts']) {
      expect(await api.db.sql(`SELECT FROM ${table} WHERE project_id = $1`, [projectId])).toEqual([]);
    }
    await client.send([200], 'PUT', '/batches/b', { objects: objectsOf('o', 2) });
  });

  it('is not accepted where it is a report of firmware, for which the device gets the problem at once', async () => {
    const client = await projectWith(2, { objects_max: 2 });
    const report = (): Promise<Reply> =>
      api.call('POST', '/firmware', {
        key: client.project.keys.device,
        body: { version: '1.0.0', timestamp: 1_700_000_000 },
      });
    expect(expectQuotaExceeded(await report())).toMatchObject({ quota: 'objects', limit: 2, added: 1 });
    await setLimits(client, { objects_max: null });
    expect((await report()).status).toBe(202);
    await setLimits(client, { objects_max: 0 });
    expectQuotaExceeded(await report());
  });
});

describe('the figures of a quota', () => {
  it('contain what the project stores only for roles that may read it, and in no job', async () => {
    const client = await projectWith(8, { objects_max: 7 });
    const { admin, producer, device } = client.project.keys;
    const body = { batch_id: 'n', objects: objectsOf('n', 3) };
    const figures = (reply: Reply): unknown => {
      const { quota, limit, used, added, detail } = expectQuotaExceeded(reply);
      return { quota, limit, used, added, isInDetail: /\b8\b/.test(String(detail)) };
    };
    const rejected = { quota: 'objects', limit: 7, added: 3, isInDetail: false };
    expect(figures(await api.call('POST', '/batches', { key: admin, body }))).toEqual({ ...rejected, used: 8 });
    expect(figures(await api.call('POST', '/batches', { key: producer, body }))).toEqual(rejected);
    const event = { firmware: '1.0.0', timestamp: 1_700_000_000 };
    const path = `/firmware/${client.project.deviceId}`;
    expect(figures(await api.call('POST', path, { key: device, body: event }))).toEqual({ ...rejected, added: 1 });
    await setLimits(client, { objects_max: 9 });
    const job = await submitJob(api, 'POST', '/batches', { key: producer, body });
    const { problem } = (await waitForJob(api, admin, job)) as { problem?: object };
    expect(Object.keys(problem ?? {})).toEqual(expect.arrayContaining(['quota', 'limit', 'added']));
    expect(problem).not.toHaveProperty('used');
  });
});

describe('the writes of a project after one was rejected', () => {
  it.each([
    ['a small batch', 'POST', '/batches', { batch_id: 'n', objects: objectsOf('n', 3) }],
    ['an object', 'POST', '/objects', { batch_id: 'b', object_id: 'n', data: { a: 1 } }],
  ])('are rejected before they insert objects: %s', async (_, method, path, body) => {
    const own = await TestApi.start();
    try {
      const client = await UsageClient.create(own);
      await client.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 2) });
      await setLimits(client, { objects_max: 2 });
      // A rollback does not change the sequence back.
      await own.db.sql(`
        CREATE SEQUENCE inserted;
        CREATE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM nextval('inserted'); RETURN new; END $$;
        CREATE TRIGGER counts BEFORE INSERT ON objects FOR EACH ROW EXECUTE FUNCTION count_inserted()`);
      const inserted = async (): Promise<number> => {
        const [row] = await own.db.sql<{ n: number | null }>(`SELECT pg_sequence_last_value('inserted')::int AS n`);
        return row?.n ?? 0;
      };
      const increases: number[] = [];
      // Not only twice, because the server remembers a rejection only for a second.
      for (let turn = 0; turn < 50 && !increases.includes(0); turn++) {
        const before = await inserted();
        expectQuotaExceeded(await client.call(method, path, body));
        increases.push((await inserted()) - before);
      }
      expect(increases).toContain(0);
    } finally {
      await own.stop();
    }
  });

  it('report an id that exists, and store nothing twice', async () => {
    const client = await projectWith(2, { objects_max: 2 });
    const add = (id: string): Promise<Reply> =>
      client.call('POST', '/objects', { batch_id: 'b', object_id: id, data: { a: 1 } });
    expectQuotaExceeded(await add('new'));
    expectProblem(await add('o-0'), 'conflict');
  });
});

describe('a stream to a full project', () => {
  it('is rejected before the rest of its objects is read', async () => {
    const client = await projectWith(1, { objects_max: 1 });
    const lines = objectsOf('s', 20_000).map((one) => JSON.stringify(one));
    // It would be 400 if the whole stream were validated first.
    expectQuotaExceeded(await client.call('PUT', '/batches/s', [...lines, 'not JSON'].join('\n'), NDJSON));
  });
});

describe('a stream to a project with little room', () => {
  const lines = (count: number): string[] => objectsOf('s', count).map((one) => JSON.stringify(one));

  it('is rejected before more objects are copied than the project has room for', async () => {
    const client = await projectWith(1, { objects_max: 2 });
    // It would be 400 if the objects before the last line were copied.
    const reply = await client.call('PUT', '/batches/s', [...lines(20_000), 'not JSON'].join('\n'), NDJSON);
    expect(expectQuotaExceeded(reply)).toMatchObject({ quota: 'objects', limit: 2 });
    expect((await client.expectExact()).objects).toBe(1);
  });

  it('is rejected also where the limit of bytes is exceeded', async () => {
    const client = await projectWith(1, { bytes_max: 10_000 });
    const reply = await client.call('PUT', '/batches/s', [...lines(20_000), 'not JSON'].join('\n'), NDJSON);
    expect(expectQuotaExceeded(reply)).toMatchObject({ quota: 'bytes', limit: 10_000 });
  });

  it.each(['', '?on_conflict=skip', '?on_conflict=replace'])(
    'is rejected before it is compared with a stored batch when it alone exceeds the limit: PUT %s',
    async (query) => {
      const client = await projectWith(3, { objects_max: 10 });
      const body = [...lines(45_000), 'not JSON'].join('\n');
      const reply = await client.call('PUT', `/batches/b${query}`, body, NDJSON);
      expectQuotaExceeded(reply);
      expect((await client.expectExact()).objects).toBe(3);
    },
  );
});

describe('a stream of readings', () => {
  const lines = (count: number): string[] =>
    Array.from({ length: count }, (_, n) =>
      JSON.stringify({ temperature: 20, recorded_at: new Date(n * 1_000).toISOString() }),
    );

  it('is rejected before the rest of it is read when it alone exceeds the limit', async () => {
    const client = await projectWith(3, { objects_max: 10 });
    // It would be 400 if the whole stream were staged.
    expectQuotaExceeded(await client.call('POST', ROOM, [...lines(45_000), 'not JSON'].join('\n'), NDJSON));
    expect((await client.expectExact()).objects).toBe(3);
  });

  it('counts repeated readings once, with the size of the last one', async () => {
    const last = lines(5_000);
    const first = last.map((line) => line.replace(':20,', `:20.${'0'.repeat(300)},`));
    const body = [...first, ...last, ...last, ...last, ...lines(5_001)].join('\n');
    const client = await projectWith(0, { objects_max: 5_001, bytes_max: 1_000_000 });
    const reply = await client.call('POST', ROOM, body, NDJSON);
    expect([reply.status, reply.json()]).toMatchObject([201, { stored: 25_001, replaced: 20_000 }]);
    expect((await client.expectExact()).objects).toBe(5_001);
  });

  it('counts the last of repeated readings only, also after another write was rejected', async () => {
    const client = await projectWith(0, { bytes_max: 500_000 });
    const large = { batch_id: 'large', objects: objectsOf('large', 1_000, 1_000) };
    expectQuotaExceeded(await client.call('POST', '/batches', large));
    const last = lines(2_000);
    const first = last.map((line) => line.replace(':20,', `:20.${'0'.repeat(300)},`));
    await client.send([201], 'POST', ROOM, [...first, ...last].join('\n'), NDJSON);
    expect((await client.expectExact()).objects).toBe(2_000);
  });

  it('is rejected before the rest of it is read when it repeats readings without end', async () => {
    const client = await projectWith(3, { objects_max: 10 });
    const [line = ''] = lines(1);
    const body = [...Array<string>(45_000).fill(line), 'not JSON'].join('\n');
    expect(expectProblem(await client.call('POST', ROOM, body, NDJSON), 'too-large').detail).toContain('10 times');
    expect((await client.expectExact()).objects).toBe(3);
  });

  it('may replace as many readings as are stored, also over the limit', async () => {
    const client = await projectWith(0, {});
    const body = lines(21_000).join('\n');
    await client.send([201], 'POST', ROOM, body, NDJSON);
    await setLimits(client, { objects_max: 10 });
    const reply = await client.call('POST', ROOM, body, NDJSON);
    expect([reply.status, reply.json()]).toMatchObject([201, { stored: 21_000, replaced: 21_000 }]);
  });
});

describe('PROJECT_OBJECTS_MAX', () => {
  it('is the limit of projects without their own, old and new, and of none after a start without it', async () => {
    const own = await TestApi.start();
    try {
      const old = await UsageClient.create(own);
      await old.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 5) });
      const limited = await own.another({ PROJECT_OBJECTS_MAX: '5' });
      const [sameOld, young] = [new UsageClient(limited, old.project), await UsageClient.create(limited)];
      expect((await sameOld.usage()).limits).toEqual({ objects: 5, bytes: null });
      expectQuotaExceeded(await sameOld.call('POST', ROOM, { temperature: 1 }));
      await young.send([201], 'POST', '/batches', { batch_id: 'b', objects: objectsOf('o', 5) });
      expectQuotaExceeded(await young.call('POST', ROOM, { temperature: 1 }));
      await setLimits(young, { objects_max: 6 });
      await young.send([201], 'POST', ROOM, { temperature: 1 });
      await limited.stop();

      const unlimited = await own.another();
      await new UsageClient(unlimited, old.project).send([201], 'POST', ROOM, { temperature: 1 });
      expectQuotaExceeded(await new UsageClient(unlimited, young.project).call('POST', ROOM, { temperature: 2 }));
      await unlimited.stop();
    } finally {
      await own.stop();
    }
  });
});
