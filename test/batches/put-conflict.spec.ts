import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { postBatch, type BatchBody, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  // Of its own, because a test locks a table.
  api = await TestApi.start();
  project = await api.project();
  await postBatch(
    api,
    project.keys.producer,
    'elsewhere',
    ['e1', 'e2', 'e3'].map((id) => shoe(id)),
  );
});
afterAll(() => api.stop());

type Kind = 'objects' | 'lines';
const KINDS: Kind[] = ['objects', 'lines'];
const FIRST_INDEX = { objects: 0, lines: 1 };

const shoe = (object_id: string, size: unknown = 1): object => ({ object_id, data: [{ key: 'size', value: size }] });

function put(kind: Kind, batchId: string, objects: object[], query = ''): Promise<Reply> {
  const { admin: key } = project.keys;
  const path = `/batches/${encodeURIComponent(batchId)}${query}`;
  if (kind === 'objects') return api.call('PUT', path, { key, body: { objects } });
  const body = objects.map((one) => `${JSON.stringify(one)}\n`).join('');
  return api.call('PUT', path, { key, body, headers: { 'Content-Type': 'application/x-ndjson' } });
}
const read = (batchId: string): Promise<Reply> =>
  api.call('GET', `/batches/${encodeURIComponent(batchId)}`, { key: project.keys.analyst });
const objectsIn = async (batchId: string): Promise<unknown[]> => (await read(batchId)).json<WholeBatchBody>().objects;
const idsIn = async (batchId: string): Promise<string[]> =>
  (await read(batchId)).json<WholeBatchBody>().objects.map((one) => one.object_id);
const stateOf = (batchId: string): Promise<object[]> =>
  api.db.sql(
    `SELECT b.seq AS batch_seq, b.revision, b.object_count, o.* FROM batches AS b
     LEFT JOIN objects AS o USING (project_id, batch_id) WHERE b.project_id = $1 AND b.batch_id = $2 ORDER BY o.seq`,
    [project.projectId, batchId],
  );

/** Pointers to the ids of the objects at these indexes, counted from 0. */
const pointers = (kind: Kind, ...indexes: number[]): string[] =>
  indexes.map((i) => `/${kind}/${String(i + FIRST_INDEX[kind])}/object_id`);
/** Checks that a conflict reports exactly these ids at these pointers. */
function expectConflict(reply: Reply, pointers: string[], ids: string[]): void {
  const problem = expectProblem(reply, 'conflict');
  expect([placesOf(problem), problem.error_count]).toEqual([pointers, pointers.length]);
  expect(problem.errors?.map(({ detail }) => /^"(.*?)"/.exec(detail)?.[1])).toEqual(ids);
}

describe.each(KINDS)('PUT with on_conflict=replace, as %s', (kind) => {
  const replace = '?on_conflict=replace';

  it('replaces the objects of a batch, and keeps its created_at', async () => {
    const id = `replaced ${kind}`;
    const [a, b, c] = ['a', 'b', 'c'].map((one) => `${id} ${one}`) as [string, string, string];
    const first = await put(kind, id, [shoe(a), shoe(b)], replace);
    expect(first.status).toBe(201);
    const etag = (await read(id)).headers.get('etag');
    const second = await put(kind, id, [shoe(c), shoe(a, '2')], replace);
    expect([second.status, second.json()]).toEqual([200, first.json()]);
    expect(await objectsIn(id)).toEqual([shoe(c), shoe(a, '2')]);
    expect((await read(id)).headers.get('etag')).not.toBe(etag);
    expect((await api.call('GET', `/objects/${encodeURIComponent(b)}`, { key: project.keys.analyst })).status).toBe(
      404,
    );
    const state = await stateOf(id);
    expect((await put(kind, id, [shoe(c), shoe(a, '2')])).status).toBe(200);
    expect((await put(kind, id, [shoe(c), shoe(a, '2')], replace)).status).toBe(200);
    expect(await stateOf(id)).toEqual(state);
    const emptied = await put(kind, id, [], replace);
    expect([emptied.status, emptied.json<BatchBody>().object_count]).toEqual([200, 0]);
    const filled = await put(kind, id, [shoe(b)], replace);
    expect([filled.status, filled.json()]).toEqual([200, { ...first.json<BatchBody>(), object_count: 1 }]);
  });

  it('changes nothing if another batch has some of the objects, and reports each of them', async () => {
    const id = `kept ${kind}`;
    await put(kind, id, [shoe(id)]);
    const state = await stateOf(id);
    for (const query of [replace]) {
      const reply = await put(kind, id, [shoe(`${id} 2`), shoe('e2'), shoe(id), shoe('e1')], query);
      expectConflict(reply, pointers(kind, 1, 3), ['e2', 'e1']);
    }
    expect(await stateOf(id)).toEqual(state);
    expect(await idsIn('elsewhere')).toEqual(['e1', 'e2', 'e3']);
  });
});

describe.each(KINDS)('PUT with on_conflict=skip, as %s', (kind) => {
  const skip = '?on_conflict=skip';

  it('adds new objects after the existing ones, which it does not change', async () => {
    const id = `extended ${kind}`;
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((one) => `${id} ${one}`) as [string, string, string, string];
    const first = await put(kind, id, [shoe(a), shoe(b)], skip);
    expect(first.status).toBe(201);
    const etag = (await read(id)).headers.get('etag');
    const second = await put(kind, id, [shoe(c), shoe(b, 'other'), shoe(d)], skip);
    const batch = { ...first.json<BatchBody>(), object_count: 4 };
    expect([second.status, second.json()]).toEqual([200, { ...batch, stored: 2, skipped: 1 }]);
    expect(await objectsIn(id)).toEqual([shoe(a), shoe(b), shoe(c), shoe(d)]);
    expect((await read(id)).headers.get('etag')).not.toBe(etag);
    const state = await stateOf(id);
    const again = await put(kind, id, [shoe(c), shoe(b, 'other'), shoe(d)], skip);
    expect(again.json()).toEqual({ ...batch, stored: 0, skipped: 3 });
    expect((await put(kind, id, [], skip)).json()).toEqual({ ...batch, stored: 0, skipped: 0 });
    expect(await stateOf(id)).toEqual(state);
    expectProblem(await put(kind, id, [shoe(a), shoe(b)]), 'conflict');
    expect(
      (
        await put(
          kind,
          id,
          [a, b, c, d].map((one) => shoe(one)),
        )
      ).status,
    ).toBe(200);
  });

  it('computes no digest of the stored objects, which may be many more than it adds', async () => {
    const id = `not compared ${kind}`;
    await put(kind, id, [shoe(`${id} 1`), shoe(`${id} 2`)]);
    for (const objects of [[shoe(`${id} 1`, 'other')], [shoe(`${id} 1`), shoe(`${id} 2`)]]) {
      const reply = await put(kind, id, objects, skip);
      expect(reply.json()).toMatchObject({ stored: 0, skipped: objects.length });
      expect(await api.db.sql('SELECT digest FROM batches WHERE batch_id = $1', [id])).toEqual([{ digest: null }]);
    }
  });

  it('makes the averages of the hours of the new objects be computed again, and of no others', async () => {
    const id = `averaged ${kind}`;
    const reading = (hour: string): object => ({
      object_id: `${id} ${hour}`,
      subject: id,
      observed_at: `2024-01-01T${hour}:00:00Z`,
      data: { temperature: 20 },
    });
    const hours = async (): Promise<object[]> =>
      api.db.sql('SELECT DISTINCT hour FROM rollup_marks WHERE project_id = $1 AND subject = $2 ORDER BY hour', [
        project.projectId,
        id,
      ]);
    await put(kind, id, [reading('01')]);
    expect(await hours()).toEqual([{ hour: '2024-01-01T01:00:00Z' }]);
    await api.db.sql('DELETE FROM rollup_marks WHERE subject = $1', [id]);
    await put(kind, id, [reading('01'), reading('02'), reading('03')], skip);
    expect(await hours()).toEqual([{ hour: '2024-01-01T02:00:00Z' }, { hour: '2024-01-01T03:00:00Z' }]);
  });

  it.each([2, 300])('skips objects of other batches, and stores the other %d objects', async (count) => {
    const id = `beside ${kind} ${String(count)}`;
    const own = Array.from({ length: count }, (_, i) => `${id} ${String(i)}`);
    const objects = [...own.slice(0, -1), 'e3', 'e1', ...own.slice(-1)].map((one) => shoe(one, 'mine'));
    for (const status of [201, 200]) {
      const reply = await put(kind, id, objects, skip);
      expect([reply.status, reply.text]).toEqual([status, expect.stringContaining(`"object_count":${String(count)},`)]);
    }
    expect(await idsIn(id)).toEqual(own);
    expect(await objectsIn('elsewhere')).toEqual(['e1', 'e2', 'e3'].map((one) => shoe(one)));
  });
});

describe.each(KINDS)('PUT of a batch that has another number of objects, as %s', (kind) => {
  it('is rejected without reading its objects', async () => {
    const id = `longer ${kind}`;
    await put(kind, id, [shoe(`${id} 1`)]);
    // More than are stored in one statement.
    const objects = Array.from({ length: 201 }, (_, i) => shoe(`${id} ${String(i)}`));
    await api.db.transaction(async (tx) => {
      await tx.query('LOCK TABLE objects IN ACCESS EXCLUSIVE MODE');
      expectProblem(await put(kind, id, objects), 'conflict');
    });
  });
});

describe.each(KINDS)('an id that appears twice in a PUT request, as %s', (kind) => {
  it.each(['', '?on_conflict=replace', '?on_conflict=skip'])('is a conflict in every mode: %s', async (query) => {
    const id = `twice ${kind} ${query}`;
    const [a, b, c] = ['a', 'b', 'c'].map((one) => `${id} ${one}`) as [string, string, string];
    const twice = [a, b, a, c, b, a].map((one) => shoe(one));
    expectConflict(await put(kind, id, twice, query), pointers(kind, 2, 4, 5), [a, b, a]);
    expect((await read(id)).status).toBe(404);
    await put(kind, id, [shoe(a)]);
    const state = await stateOf(id);
    const reply = await put(kind, id, twice, query);
    if (query === '') expect(placesOf(expectProblem(reply, 'conflict'))).toEqual(['/batch_id']);
    else expectConflict(reply, pointers(kind, 2, 4, 5), [a, b, a]);
    expect(await stateOf(id)).toEqual(state);
  });
});

describe.each(KINDS)('PUT of a new batch, as %s', (kind) => {
  it.each([5, 1_500])('reports every id of another batch, and stores nothing of %d objects', async (count) => {
    const id = `new ${kind} ${String(count)}`;
    const objects = Array.from({ length: count }, (_, i) => shoe(`${id} ${String(i)}`));
    objects.splice(count - 2, 1, shoe('e3'));
    objects.splice(1, 1, shoe('e1'));
    expectConflict(await put(kind, id, objects), pointers(kind, 1, count - 2), ['e1', 'e3']);
    expect((await read(id)).status).toBe(404);
    expect(
      await api.db.sql('SELECT FROM objects WHERE project_id = $1 AND object_id = $2', [project.projectId, `${id} 0`]),
    ).toHaveLength(0);
  });

  it('lists the first 100 conflicts, and counts all of them', async () => {
    const ids = Array.from({ length: 250 }, (_, i) => `taken ${kind} ${String(i)}`);
    await postBatch(
      api,
      project.keys.producer,
      `taken ${kind}`,
      ids.map((one) => shoe(one)),
    );
    const problem = expectProblem(
      await put(
        kind,
        `wants ${kind}`,
        ids.map((one) => shoe(one)),
      ),
      'conflict',
    );
    expect(problem.error_count).toBe(250);
    expect(placesOf(problem)).toEqual(pointers(kind, ...Array.from({ length: 100 }, (_, i) => i)));
  });
});

describe('POST of an existing batch', () => {
  it.each([5, 300])('reports the batch id and every existing id of %d objects, with pointers', async (count) => {
    const id = `posted ${String(count)}`;
    const objects = Array.from({ length: count }, (_, i) => shoe(`${id} ${String(i)}`));
    await postBatch(api, project.keys.producer, id, [objects[1] ?? {}]);
    const body = { batch_id: id, objects: [...objects, shoe('e2')] };
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expectConflict(reply, ['/batch_id', ...pointers('objects', 1, count)], [id, `${id} 1`, 'e2']);
    expect(await idsIn(id)).toEqual([`${id} 1`]);
  });
});
