import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { places, type WholeBatchBody } from '../objects/wire.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

afterEach(async () => {
  const wrong = await api.db.sql(`
    SELECT batch_id, b.object_count, o.count FROM batches AS b
    FULL JOIN (SELECT project_id, batch_id, count(*) FROM objects GROUP BY 1, 2) AS o USING (project_id, batch_id)
    WHERE b.object_count IS DISTINCT FROM coalesce(o.count, 0)`);
  // After each test: no object without a batch, no batch with a wrong count.
  expect(wrong).toEqual([]);
  const open = await api.db.sql(
    `SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
  );
  expect(open).toEqual([]);
});

type Kind = 'objects' | 'lines';
const KINDS: Kind[] = ['objects', 'lines'];
const ROUNDS = 4;

const objectsOf = (name: string, count: number, n = 1): object[] =>
  Array.from({ length: count }, (_, i) => ({ object_id: `${name}-${String(i)}`, data: { n } }));

function put(kind: Kind, batchId: string, objects: object[], query = ''): Promise<Reply> {
  const { producer: key } = project.keys;
  const path = `/batches/${batchId}${query}`;
  if (kind === 'objects') return api.call('PUT', path, { key, body: { objects } });
  const body = objects.map((one) => `${JSON.stringify(one)}\n`).join('');
  return api.call('PUT', path, { key, body, headers: { 'Content-Type': 'application/x-ndjson' } });
}
const statuses = (replies: Reply[]): number[] => replies.map((reply) => reply.status).sort();
const readObjects = async (batchId: string): Promise<WholeBatchBody['objects']> =>
  (await api.call('GET', `/batches/${batchId}`, { key: project.keys.analyst })).json<WholeBatchBody>().objects;

/** Returns the distinct values of a batch's objects: one value if all come from the same request. */
async function valuesIn(batchId: string): Promise<unknown[]> {
  return [...new Set((await readObjects(batchId)).map((one) => one.data[0]?.value))];
}

describe.each(KINDS)('concurrent PUT requests for a new batch, as %s', (kind) => {
  it.each([1, 50, 500])('store equal content once, and return it to all clients: %d objects', async (count) => {
    for (let round = 0; round < ROUNDS; round++) {
      const id = `same-${kind}-${String(count)}-${String(round)}`;
      const objects = objectsOf(id, count);
      const replies = await Promise.all(Array.from({ length: 4 }, () => put(kind, id, objects)));
      expect(statuses(replies)).toEqual([200, 200, 200, 201]);
      expect(new Set(replies.map((reply) => reply.text)).size).toBe(1);
      expect(await readObjects(id)).toHaveLength(count);
    }
  });

  it.each([1, 50, 500])('store the content of one request, and return 409 to the others: %d objects', async (count) => {
    for (let round = 0; round < ROUNDS; round++) {
      const id = `other-${kind}-${String(count)}-${String(round)}`;
      const replies = await Promise.all([1, 2, 3].map((n) => put(kind, id, objectsOf(id, count, n))));
      expect(statuses(replies)).toEqual([201, 409, 409]);
      for (const reply of replies) if (reply.status === 409) expect(places(reply)).toEqual(['/batch_id']);
      expect(await readObjects(id)).toHaveLength(count);
      expect(await valuesIn(id)).toEqual([replies.findIndex((reply) => reply.status === 201) + 1]);
    }
  });

  it('with on_conflict=replace store the complete content of one request', async () => {
    const id = `replaced-${kind}`;
    const sizes = [300, 10, 200, 50];
    for (let round = 0; round < ROUNDS; round++) {
      const replies = await Promise.all(
        sizes.map((size, n) => put(kind, id, objectsOf(id, size, n), '?on_conflict=replace')),
      );
      for (const { status, text } of replies) expect([status, text]).toEqual([status === 201 ? 201 : 200, text]);
      const [n, ...rest] = await valuesIn(id);
      expect(rest).toEqual([]);
      expect(await readObjects(id)).toHaveLength(sizes[Number(n)] ?? 0);
    }
  });

  it('with on_conflict=skip store every object once', async () => {
    const id = `added-${kind}`;
    const replies = await Promise.all(
      [40, 80, 300, 10, 250].map((size) => put(kind, id, objectsOf(id, size), '?on_conflict=skip')),
    );
    expect(statuses(replies)).toEqual([200, 200, 200, 200, 201]);
    expect((await readObjects(id)).map((one) => one.object_id).sort()).toEqual(
      objectsOf(id, 300)
        .map((one) => (one as { object_id: string }).object_id)
        .sort(),
    );
  });
});

describe.each(KINDS)('PUT of a batch, as %s', (kind) => {
  it('stores it completely or reports the conflicts while others put the same ids', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const name = `ids-${kind}-${String(round)}`;
      const objects = objectsOf(name, 400);
      const calls = [objects, objects.toReversed(), objects].map((one, i) => put(kind, `${name}-${String(i)}`, one));
      const replies = await Promise.all(calls);
      const stored = replies.findIndex((reply) => reply.status === 201);
      // A stream cannot be read twice, so a deadlock may end both streams with 503.
      expect(statuses(replies).every((status) => [201, 409, ...(kind === 'lines' ? [503] : [])].includes(status))).toBe(
        true,
      );
      for (const reply of replies) {
        if (reply.status !== 409) continue;
        expect(places(reply)).toHaveLength(100);
        expect(places(reply)[0]).toBe(kind === 'lines' ? '/lines/1/object_id' : '/objects/0/object_id');
      }
      if (kind === 'objects') expect(stored).not.toBe(-1);
      if (stored !== -1) expect(await readObjects(`${name}-${String(stored)}`)).toHaveLength(400);
    }
  });

  it('stores it completely or not at all while it is deleted', async () => {
    const id = `deleted-${kind}`;
    for (let round = 0; round < ROUNDS; round++) {
      const calls = ['', '?on_conflict=replace', '?on_conflict=skip', ''].map((query) =>
        put(kind, id, objectsOf(id, 300), query),
      );
      const deleted = api.call('DELETE', `/batches/${id}?cascade=true`, { key: project.keys.admin });
      const replies = await Promise.all(calls);
      for (const { status, text } of replies) expect([status, text]).toEqual([status === 201 ? 201 : 200, text]);
      expect([204, 404]).toContain((await deleted).status);
      const [row] = await api.db.sql<{ object_count: string }>('SELECT object_count FROM batches WHERE batch_id = $1', [
        id,
      ]);
      expect([undefined, '300']).toContain(row?.object_count);
    }
  });

  it('is serialized with PATCH, DELETE and POST of its objects', async () => {
    const id = `changed-${kind}`;
    await put(kind, id, objectsOf(id, 300));
    const { admin: key } = project.keys;
    for (let round = 0; round < ROUNDS; round++) {
      const calls = Array.from({ length: 12 }, (_, i) => {
        const path = `/objects/${id}-${String(i)}`;
        if (i % 4 === 0) return put(kind, id, objectsOf(id, 300), `?on_conflict=${i % 8 === 0 ? 'replace' : 'skip'}`);
        if (i % 4 === 1) return api.call('DELETE', path, { key });
        if (i % 4 === 2) {
          const headers = { 'Content-Type': 'application/merge-patch+json' };
          return api.call('PATCH', path, { key, body: { data: { n: 2 } }, headers });
        }
        const body = { batch_id: id, object_id: `${id}-extra-${String(round)}-${String(i)}`, data: [] };
        return api.call('POST', '/objects', { key, body });
      });
      for (const { status, text } of await Promise.all(calls))
        expect([status < 300 || status === 404, text]).toEqual([true, text]);
      const last = await put(kind, id, objectsOf(id, 300), '?on_conflict=replace');
      expect([last.status, await valuesIn(id)]).toEqual([200, [1]]);
      expect(await readObjects(id)).toHaveLength(300);
    }
  });
});
