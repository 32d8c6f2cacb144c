import type { Database } from '#database';
import { IndexCheck, SegmentStore } from '#inverted-index';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { waitFor } from '../jobs/jobs.js';
import { address, allOf, postBatch, type BatchBody, type ObjectBody } from './wire.js';

let api: TestApi;
let database: Database;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  database = await openDatabase(api.db.address);
});
beforeEach(async () => {
  project = await api.project();
});
afterAll(async () => {
  await database.close();
  await api.stop();
});

function remove(query: Record<string, string>, headers: Record<string, string> = {}): Promise<Reply> {
  return api.call('DELETE', address('/objects', query), { key: project.keys.admin, headers });
}

async function removeOk(query: Record<string, string>): Promise<number> {
  const reply = await remove({ max_affected: '10000', ...query });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.json<{ deleted: number }>().deleted;
}

/** The ids that are left, oldest first. */
async function idsLeft(): Promise<string[]> {
  const objects = await allOf<ObjectBody>(api, project.keys.analyst, '/objects?page_size=1000');
  return objects.map(({ object_id }) => object_id).reverse();
}

/** Compares the stored counts, the usage and the inverted index with the objects. */
async function expectConsistent(): Promise<void> {
  const { projectId, keys } = project;
  const left = (await idsLeft()).length;
  const wrong = await api.db.sql(
    `SELECT b.batch_id, b.object_count FROM batches AS b WHERE b.project_id = $1 AND b.object_count <>
       (SELECT count(*) FROM objects AS o WHERE o.project_id = $1 AND o.batch_id = b.batch_id)`,
    [projectId],
  );
  const [{ bytes } = { bytes: '' }] = await api.db.sql<{ bytes: string }>(
    'SELECT coalesce(sum(bytes), 0) AS bytes FROM objects WHERE project_id = $1',
    [projectId],
  );
  const { objects, ...usage } = (await api.call('GET', '/usage', { key: keys.admin })).json<{
    objects: number;
    bytes: number;
  }>();
  const { differences } = await new IndexCheck(database).checkProject(projectId);
  expect({ wrong, objects, bytes: usage.bytes, differences }).toEqual({
    wrong: [],
    objects: left,
    bytes: Number(bytes),
    differences: [],
  });
}

const objectsOf = (name: string, count: number, data: object = { name }): { object_id: string; data: object }[] =>
  Array.from({ length: count }, (_, i) => ({ object_id: `${name}-${String(i)}`, data }));

describe('DELETE /objects', () => {
  it('deletes the objects that match, in several batches, and no others', async () => {
    await postBatch(api, project.keys.producer, 'a', [...objectsOf('shoe', 3), ...objectsOf('boot', 2)]);
    // Copied into a segment of the index, not pending.
    await postBatch(api, project.keys.producer, 'b', [
      ...objectsOf('pump', 300),
      ...objectsOf('clog', 2, { name: 'shoe' }),
    ]);
    await postBatch(api, project.keys.producer, 'c', objectsOf('sandal', 1));
    expect(await removeOk({ data: '{"name":"shoe"}' })).toBe(5);
    expect(await idsLeft()).toEqual(
      [...objectsOf('boot', 2), ...objectsOf('pump', 300), ...objectsOf('sandal', 1)].map((one) => one.object_id),
    );
    const batches = await allOf<BatchBody>(api, project.keys.analyst, '/batches');
    expect(batches.map(({ batch_id, object_count }) => [batch_id, object_count])).toEqual([
      ['c', 1],
      ['b', 300],
      ['a', 2],
    ]);
    await expectConsistent();
    expect(await removeOk({ data: '{"name":"shoe"}' })).toBe(0);
  });

  it('lets the ids be posted again', async () => {
    await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 3));
    expect(await removeOk({ batch_id: 'a' })).toBe(3);
    await postBatch(api, project.keys.producer, 'b', objectsOf('shoe', 3));
    await expectConsistent();
  });

  it('changes the ETag of a batch that loses objects, and of no other', async () => {
    const etagOf = async (batch: string): Promise<string | null> =>
      (await api.call('GET', `/batches/${batch}`, { key: project.keys.analyst })).headers.get('etag');
    await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 2));
    await postBatch(api, project.keys.producer, 'b', objectsOf('boot', 2));
    const before = [await etagOf('a'), await etagOf('b')];
    await removeOk({ key: 'name', value: 'shoe' });
    expect([(await etagOf('a')) === before[0], (await etagOf('b')) === before[1]]).toEqual([false, true]);
  });

  it.each<[Record<string, string>, string[]]>([
    [{ data: '{"cost":{"$gte":2}}' }, ['1', '3']],
    [{ data: '{"cost":3,"tag":"x"}', match: 'any' }, ['2', '3']],
    [{ data: '{"$nor":[{"tag":"x"},{"cost":{"$lt":3}}]}' }, ['1', '2', '3']],
    [{ data: '{"tag":{"$exists":false}}' }, ['1', '2', '4']],
    [{ key: 'tag' }, ['3']],
    [{ key: 'cost', value: '3' }, ['1', '2', '3']],
    [{ value: 'x' }, ['2', '3', '4']],
    [{ batch_id: 'none' }, ['1', '2', '3', '4']],
    [{ subject: 'till-1' }, ['2', '3', '4']],
    [{ subject_prefix: 'till-' }, ['3', '4']],
    [{ observed_from: '2026-01-03T00:00:00Z' }, ['1', '2']],
    [{ observed_from: '2026-01-02T00:00:00Z', observed_until: '2026-01-03T00:00:00Z' }, ['1', '3', '4']],
    [{ batch_id: 'b', observed_until: '2026-01-02T00:00:00Z' }, ['2', '3', '4']],
  ])('takes the filters of lists: %j', async (query, left) => {
    const at = (day: number): object => ({ observed_at: `2026-01-0${String(day)}T12:00:00Z` });
    await postBatch(api, project.keys.producer, 'b', [
      { object_id: '1', subject: 'till-1', data: { tag: 'x', cost: 1 }, ...at(1) },
      { object_id: '2', subject: 'till-2', data: { tag: 'y', cost: 2 }, ...at(2) },
      { object_id: '3', data: { cost: 1.5 }, ...at(3) },
      { object_id: '4', data: { tag: 'z', cost: 3 }, ...at(4) },
    ]);
    const listed = await api.call('GET', address('/objects', query), { key: project.keys.analyst });
    expect(await removeOk(query)).toBe(4 - left.length);
    expect(await idsLeft()).toEqual(left);
    expect(listed.json()).toMatchObject({ count: 4 - left.length });
  });

  it('updates the averages that were computed from rollups', async () => {
    const objects = [10, 20].map((temperature, i) => {
      return {
        object_id: String(i),
        subject: 's',
        observed_at: `2024-12-10T1${String(i)}:30:00Z`,
        data: { temperature },
      };
    });
    await postBatch(api, project.keys.producer, 'a', objects);
    const span = { subject: 's', observed_from: '2024-12-10T00:00:00Z', observed_until: '2024-12-11T00:00:00Z' };
    const query = address('/objects/aggregate', { op: 'avg', key: 'temperature', ...span });
    const average = async (): Promise<unknown> => (await api.call('GET', query, { key: project.keys.analyst })).json();
    expect(await average()).toMatchObject({ results: [{ value: 15, count: 2 }] });
    await waitFor(async () => {
      const rows = await api.db.sql('SELECT FROM rollups WHERE project_id = $1', [project.projectId]);
      return rows.length > 0 ? true : undefined;
    });
    expect(await removeOk({ data: '{"temperature":{"$gt":15}}' })).toBe(1);
    expect(await average()).toMatchObject({ results: [{ value: 10, count: 1 }] });
  });

  it('records one entry with the number and the first ids; none where nothing matches', async () => {
    await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 150));
    await removeOk({ data: '{"name":"shoe"}' });
    await removeOk({ data: '{"name":"shoe"}' });
    const { results } = (await api.call('GET', '/audit', { key: project.keys.admin })).json<{ results: object[] }>();
    const entries = results.filter((one) => 'action' in one && one.action === 'objects.delete');
    const ids = objectsOf('shoe', 100).map(({ object_id }) => object_id);
    expect(entries).toMatchObject([{ target: null, details: { object_count: 150, object_ids: ids } }]);
  });

  it('deletes no objects of another project', async () => {
    const other = await api.project();
    await postBatch(api, other.keys.producer, 'a', objectsOf('shoe', 2));
    await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 1));
    expect(await removeOk({ data: '{"name":"shoe"}' })).toBe(1);
    const left = await api.call('GET', '/objects', { key: other.keys.analyst });
    expect(left.json()).toMatchObject({ count: 2 });
  });
});

describe('more matches than max_affected', () => {
  it.each<[string, Record<string, string>, number]>([
    ['a pair', { data: '{"name":"shoe"}' }, 12],
    ['a range', { data: '{"n":{"$lt":7}}' }, 7],
    ['a condition that the index cannot decide', { data: '{"name":{"$contains":"sho"}}' }, 12],
    ['a batch', { batch_id: 'a' }, 12],
  ])('are 409 with their number, and nothing is deleted: %s', async (_, query, count) => {
    const objects = Array.from({ length: 12 }, (_, n) => ({ object_id: String(n), data: { name: 'shoe', n } }));
    await postBatch(api, project.keys.producer, 'a', objects);
    for (const max of [0, count - 1]) {
      const problem = expectProblem(await remove({ ...query, max_affected: String(max) }), 'max-affected-exceeded');
      expect(problem).toMatchObject({ count, count_is: 'exact' });
      expect(problem.detail).toContain(`${String(count)} objects match, more than max_affected (${String(max)})`);
    }
    expect(await idsLeft()).toHaveLength(12);
    expect(await removeOk({ ...query, max_affected: String(count) })).toBe(count);
  });

  it('delete_objects_max of /limits is the largest max_affected', async () => {
    const { delete_objects_max } = (await api.call('GET', '/limits')).json<{ delete_objects_max: number }>();
    const objects = Array.from({ length: delete_objects_max + 1 }, (_, n) => ({ object_id: String(n), data: { n } }));
    await postBatch(api, project.keys.producer, 'a', objects);
    const max = String(delete_objects_max);
    expectProblem(await remove({ key: 'n', max_affected: max }), 'max-affected-exceeded');
    expect(await removeOk({ data: '{"n":{"$gt":0}}', max_affected: max })).toBe(delete_objects_max);
    expect(await idsLeft()).toEqual(['0']);
    await expectConsistent();
  });
});

describe('an invalid request', () => {
  it.each<[Record<string, string>, string[]]>([
    [{ max_affected: '10' }, ['data']],
    [{ max_affected: '10', data: '{}' }, ['data']],
    [{ max_affected: '10', data: '{"$and":[]}' }, ['data']],
    [{ subject: 's' }, ['max_affected']],
    [{ subject: 's', max_affected: '' }, ['max_affected']],
    [{ subject: 's', max_affected: '-1' }, ['max_affected']],
    [{ subject: 's', max_affected: '1.5' }, ['max_affected']],
    [{ subject: 's', max_affected: '10001' }, ['max_affected']],
    [{ subject: 's', max_affected: '1', page_size: '10' }, ['page_size']],
    [{ subject: 's', max_affected: '1', cursor: 'x' }, ['cursor']],
    [{ subject: 's', max_affected: '1', fields: 'object_id' }, ['fields']],
    [{ subject: '', max_affected: '1' }, ['subject']],
    [{ data: '{"n":{"$gte":[1]}}', max_affected: '1' }, ['data']],
    [{ match: 'any', max_affected: '1' }, ['match']],
  ])('is rejected with the parameter, and deletes nothing: %j', async (query, parameters) => {
    await postBatch(api, project.keys.producer, 'a', [{ object_id: 'o', subject: 's', data: { n: 1 } }]);
    expect(placesOf(expectProblem(await remove(query), 'invalid-query'))).toEqual(parameters);
    expect(await idsLeft()).toEqual(['o']);
  });

  it.each([{ 'If-Match': '"x"' }, { 'If-None-Match': '*' }])(
    'with a precondition that no list can fulfil is 412, and deletes nothing: %j',
    async (headers) => {
      await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 1));
      expectProblem(await remove({ key: 'name', max_affected: '1' }, headers), 'precondition-failed');
      expect(await idsLeft()).toEqual(['shoe-0']);
    },
  );
});

/** Waits until requests wait for the lock of a batch. */
async function waitForBlocked(count: number): Promise<void> {
  await waitFor(async () => {
    const blocked = await api.db.sql(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'batches'`,
    );
    return blocked.length === count ? true : undefined;
  });
}

describe('an object that changes while the request waits for its batch', () => {
  it('remains where it does not match any more, or was deleted and posted again', async () => {
    const { projectId, keys } = project;
    await postBatch(api, keys.producer, 'a', objectsOf('shoe', 4));
    let removing: Promise<number> | undefined;
    await api.db.transaction(async (tx) => {
      const { query } = tx;
      await query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [projectId]);
      removing = removeOk({ data: '{"name":"shoe"}' });
      await waitForBlocked(1);
      // The request has locked no object before the batch, or this would fail.
      await query('SELECT FROM objects WHERE project_id = $1 FOR UPDATE NOWAIT', [projectId]);
      const changed = `[{"key":"name","value":"boot"}]`;
      await query(`UPDATE objects SET data = $2 WHERE project_id = $1 AND object_id = 'shoe-1'`, [projectId, changed]);
      await query(`UPDATE objects SET seq = seq + 1000000 WHERE project_id = $1 AND object_id = 'shoe-2'`, [projectId]);
    });
    expect(await (removing as Promise<number>)).toBe(2);
    expect(await idsLeft()).toEqual(['shoe-1', 'shoe-2']);
  });

  it('is deleted once, by one of two requests', async () => {
    await postBatch(api, project.keys.producer, 'a', objectsOf('shoe', 20));
    await postBatch(api, project.keys.producer, 'b', objectsOf('boot', 20));
    const removing: Promise<number>[] = [];
    await api.db.transaction(async ({ query }) => {
      await query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [project.projectId]);
      removing.push(removeOk({ key: 'name' }), removeOk({ data: '{"name":{"$in":["boot","shoe"]}}' }));
      await waitForBlocked(2);
    });
    expect((await Promise.all(removing)).sort((a, b) => a - b)).toEqual([0, 40]);
    expect(await idsLeft()).toEqual([]);
    await expectConsistent();
  });
});

it('ends with 503 and deletes nothing when a batch stays locked for longer than QUERY_TIMEOUT_MS', async () => {
  const impatient = await TestApi.start({ QUERY_TIMEOUT_MS: '100' });
  try {
    const { projectId, keys } = await impatient.project();
    await postBatch(impatient, keys.producer, 'a', objectsOf('shoe', 2));
    await impatient.db.transaction(async ({ query }) => {
      await query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [projectId]);
      const path = address('/objects', { key: 'name', max_affected: '10' });
      const reply = await impatient.call('DELETE', path, { key: keys.admin });
      // Not the longer time that a statement waits for any lock.
      expect(expectProblem(reply, 'unavailable').detail).toMatch(/^A statement took too long/);
    });
    expect((await impatient.call('GET', '/objects', { key: keys.analyst })).json()).toMatchObject({ count: 2 });
  } finally {
    await impatient.stop();
  }
});

it('keeps counts, usage and index right while others insert, change, replace and delete the same objects', async () => {
  const { admin: key } = project.keys;
  const batches = ['a', 'b', 'c'];
  for (const batch of batches) await postBatch(api, key, batch, []);
  const statuses = new Set<number>();
  const run = async (rounds: number, work: (round: number) => Promise<Reply>): Promise<void> => {
    for (let round = 0; round < rounds; round++) statuses.add((await work(round)).status);
  };
  const headers = { 'Content-Type': 'application/merge-patch+json' };
  const segments = new SegmentStore(database);
  await Promise.all([
    ...batches.map((batch) =>
      run(60, (i) => {
        const body = { batch_id: batch, object_id: `${batch}-${String(i % 20)}`, data: { color: 'red', n: i } };
        return api.call('POST', '/objects', { key, body });
      }),
    ),
    run(60, (i) =>
      api.call('PATCH', `/objects/a-${String(i % 20)}`, { key, body: { data: { color: 'blue' } }, headers }),
    ),
    run(20, (i) => {
      const objects = objectsOf(`c-${String(i)}`, 5, { color: i % 2 === 0 ? 'red' : 'blue' });
      return api.call('PUT', '/batches/c?on_conflict=replace', { key, body: { objects } });
    }),
    run(20, () => remove({ data: '{"color":"red"}', max_affected: '1000' })),
    run(20, () => remove({ data: '{"$or":[{"n":{"$gte":30}},{"color":"red"}]}', max_affected: '1000' })),
    run(20, () => remove({ batch_id: 'b', max_affected: '1000' })),
    (async () => {
      for (let round = 0; round < 20; round++) await segments.indexPending(project.projectId, 10);
    })(),
  ]);
  expect([...statuses].filter((status) => ![200, 201, 404, 409].includes(status))).toEqual([]);
  await expectConsistent();
});
