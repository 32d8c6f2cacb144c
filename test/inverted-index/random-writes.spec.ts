import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Database } from '#database';
import { IndexBuildStore, IndexCheck, SegmentMergeStore, SegmentStore } from '#inverted-index';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { waitFor } from '../jobs/jobs.js';

const WRITERS = 6;
const WRITES_EACH = 40;
/** One after the other, while others write. */
const REBUILDS = 3;
/** Printed with a failure, so that it can be repeated. */
const SEED = Date.now() % 1_000_000;

let api: TestApi;
let database: Database;
let project: TestProject;
beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
  database = await openDatabase(api.db.address);
});
afterAll(async () => {
  await database.close();
  await api.stop();
});

/** Mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Random = (below: number) => number;

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;

/** JSON texts of values, among them several texts of equal numbers, numbers beyond a double, and text of every kind. */
const VALUES = [
  '1',
  '1.0',
  '10e-1',
  '-0',
  '0',
  '12345678901234567890',
  '12345678901234567891',
  '0.1000',
  '1e30',
  '-5.25',
  'true',
  'false',
  'null',
  '"red"',
  '"blue"',
  '""',
  '"\\u00e9"',
  '"\\ud83d\\ude00"',
  '"\\uffee"',
  '"a\\u0002b"',
  `"${'x'.repeat(1_200)}"`,
];

const dataText = (random: Random): string => {
  const pairs = Array.from({ length: 1 + random(5) }, () => {
    return `{"key":"k${String(random(6))}","value":${random(4) === 0 ? String(random(1_000)) : pick(random, VALUES)}}`;
  });
  return `[${pairs.join()}]`;
};

const objectText = (random: Random, id: string): string => `{"object_id":"${id}","data":${dataText(random)}}`;

/** One write of a kind chosen at random; the ids are few, so that writes meet. */
async function writeOnce(random: Random, prefix: string): Promise<Reply> {
  const key = project.keys.admin;
  const batchId = `b${String(random(12))}`;
  const objectId = `${batchId}-${String(random(40))}`;
  const count = pick(random, [1, 5, 40, 260]);
  const first = random(40);
  const ids = Array.from({ length: count }, (_, i) => `${batchId}-${String(first + i)}`);
  const objects = ids.map((id) => objectText(random, id));
  const ndjson = { 'Content-Type': 'application/x-ndjson' };
  return pick(random, [
    () =>
      api.call('POST', '/batches', {
        key,
        body: `{"batch_id":"${prefix}","objects":[${objects.join().replaceAll(batchId, prefix)}]}`,
      }),
    () => api.call('PUT', `/batches/${batchId}?on_conflict=replace`, { key, body: `{"objects":[${objects.join()}]}` }),
    () =>
      api.call('PUT', `/batches/${batchId}?on_conflict=replace`, { key, body: objects.join('\n'), headers: ndjson }),
    () => api.call('PUT', `/batches/${batchId}?on_conflict=skip`, { key, body: `{"objects":[${objects.join()}]}` }),
    () =>
      api.call('PUT', `/batches/${batchId}?on_conflict=skip&mode=partial`, {
        key,
        body: `{"objects":[${objects.join()},{}]}`,
      }),
    () =>
      api.call('PUT', `/batches/${batchId}?on_conflict=replace&dry_run=true`, {
        key,
        body: `{"objects":[${objects.join()}]}`,
      }),
    () =>
      api.call('POST', '/objects', {
        key,
        body: `{"batch_id":"${batchId}","object_id":"${objectId}","data":${dataText(random)}}`,
      }),
    () => api.call('PUT', `/objects/${objectId}`, { key, body: `{"data":${dataText(random)}}` }),
    () =>
      api.call('PATCH', `/objects/${objectId}`, {
        key,
        body: `{"data":{"k1":${pick(random, VALUES)},"k2":null}}`,
        headers: { 'Content-Type': 'application/merge-patch+json' },
      }),
    () =>
      api.call('PATCH', `/objects/${objectId}`, {
        key,
        body: `{"subject":"s"}`,
        headers: { 'Content-Type': 'application/merge-patch+json' },
      }),
    () => api.call('DELETE', `/objects/${objectId}`, { key }),
    () => api.call('DELETE', `/batches/${batchId}?cascade=true`, { key }),
    () => {
      const filter = encodeURIComponent(`{"k${String(random(6))}":${pick(random, VALUES)}}`);
      return api.call('DELETE', `/objects?data=${filter}&max_affected=50`, { key });
    },
    () =>
      api.call('POST', `/buildings/b/rooms/${String(random(2))}/temperatures`, {
        key,
        body: Array.from({ length: 1 + random(5) }, () => {
          return { temperature: random(30), recorded_at: `2024-05-01T00:00:0${String(random(9))}Z` };
        }),
      }),
  ])();
}

it('has exactly the terms of the objects after concurrent random writes, indexing and merging', async () => {
  const segments = new SegmentStore(database);
  const merges = new SegmentMergeStore(database, segments);
  const builds = new IndexBuildStore(database, segments);
  const check = new IndexCheck(database);
  const { projectId } = project;
  const background = { isDone: false };
  const index = async (seed: number): Promise<void> => {
    const random = randomFrom(seed);
    while (!background.isDone) {
      await segments.indexPending(projectId, 1 + random(200));
      await merges.mergeSome(projectId);
      await builds.buildSome(projectId);
    }
  };
  const statuses = new Map<number, number>();
  const errors: string[] = [];
  const write = async (writer: number): Promise<void> => {
    const random = randomFrom(SEED + writer);
    for (let i = 0; i < WRITES_EACH; i++) {
      const { status, text } = await writeOnce(random, `w${String(writer)}-${String(i)}`);
      if (status >= 500) errors.push(text);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const checkNow = async (): Promise<unknown> => {
    const { differences } = await check.checkProject(projectId);
    return { seed: SEED, differences };
  };
  const right = { seed: SEED, differences: [] };

  for (const rebuilds of [false, true]) {
    background.isDone = false;
    const indexing = [index(SEED), index(SEED + 1)];
    const writing = Array.from({ length: WRITERS }, (_, writer) => write(writer + (rebuilds ? WRITERS : 0)));
    for (let i = 0; rebuilds && i < REBUILDS; i++) await check.rebuildProject(projectId);
    // A snapshot is right at any moment.
    expect(await checkNow()).toEqual(right);
    await Promise.all(writing);
    background.isDone = true;
    await Promise.all(indexing);
    expect(await checkNow()).toEqual(right);
  }
  // Every kind of write has succeeded.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 201, 204, 207]));
  expect(errors).toEqual([]);

  while (await builds.buildSome(projectId));
  while ((await segments.indexPending(projectId, 10_000)) > 0);
  while (await merges.mergeSome(projectId));
  expect(await checkNow()).toEqual(right);
  const [left] = await api.db.sql<{ pending: number; segments: number }>(
    `SELECT (SELECT count(*)::int FROM index_pending WHERE project_id = $1) AS pending,
        (SELECT count(*)::int FROM index_segments WHERE project_id = $1) AS segments`,
    [projectId],
  );
  expect(left).toEqual({ pending: 0, segments: expect.any(Number) });
  expect(left?.segments).toBeLessThan(16);
}, 120_000);

it('lets other projects write while the index of one is rebuilt', async () => {
  const { projectId, keys } = await api.project();
  const other = await api.project();
  const check = new IndexCheck(database);
  const post = async (key: string, batchId: string, count: number): Promise<number> => {
    const objects = Array.from({ length: count }, (_, n) => ({ object_id: `${batchId}-${String(n)}`, data: { n } }));
    return (await api.call('POST', '/batches', { key, body: { batch_id: batchId, objects } })).status;
  };
  expect(await post(keys.producer, 'pending', 1)).toBe(201);
  const isWaiting = async (): Promise<boolean> => {
    const sql = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM index_pending%'`;
    return (await api.db.sql(sql)).length > 0;
  };
  let rebuild = Promise.resolve();
  await api.db.transaction(async (tx) => {
    await tx.query('SELECT FROM index_pending WHERE project_id = $1 FOR UPDATE', [projectId]);
    rebuild = check.rebuildProject(projectId);
    await waitFor(async () => (await isWaiting()) || undefined);
    // Pending objects and a segment.
    expect([await post(other.keys.producer, 'few', 1), await post(other.keys.producer, 'many', 300)]).toEqual([
      201, 201,
    ]);
    expect(await isWaiting()).toBe(true);
  });
  await rebuild;
  const { objects, differences } = await check.checkProject(projectId);
  expect({ objects, differences }).toEqual({ objects: 1, differences: [] });
});
