import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { serveWithCommands } from '../cli/served.js';
import type { Stowage } from '../cli/stowage.js';
import type { Reply, TestApi, TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { kindOf, postBatch, type PageBody } from '../objects/wire.js';

interface Deletion {
  deletion_id: string;
  deleted_at: string;
  restorable_until: string;
  batch_id: string | null;
  object_id: string | null;
  object_count: number;
}

/** Runs no background work, so that rows stay until `purge`. */
let api: TestApi;
let stowage: Stowage;
let project: TestProject;

serveWithCommands((served) => {
  ({ api, stowage } = served);
});
beforeEach(async () => {
  project = await api.project();
});

afterEach(async () => {
  expect(await keptBytes()).toEqual(await countedBytes());
});

const send = (method: string, path: string, body?: object): Promise<Reply> =>
  api.call(method, path, { key: project.keys.admin, body });
const remove = async (path: string): Promise<void> => {
  const reply = await send('DELETE', path);
  expect([path, reply.status < 300, reply.text]).toEqual([path, true, reply.text]);
};
const restore = (path: string): Promise<Reply> => send('POST', `${path}/restore`);
const restored = (batches: number, objects: number): object => ({ deletion_id: expect.any(String), batches, objects });
const text = async (path: string): Promise<string> => (await send('GET', path)).text;
const deletions = async (): Promise<Deletion[]> => (await send('GET', '/deletions')).json<PageBody<Deletion>>().results;

const objectsOf = (name: string, count: number): object[] =>
  Array.from({ length: count }, (_, n) => ({
    object_id: `${name}-${String(n)}`,
    subject: `room ${String(n % 2)}`,
    observed_at: `2024-01-01T0${String(n % 10)}:00:00Z`,
    data: { temperature: n, name, exact: n },
  }));

/** Everything that reads return about the project, and its usage. */
async function stateOf(): Promise<unknown> {
  const paths = [
    '/objects?page_size=1000&count=exact',
    '/objects?key=temperature&value=1&count=exact',
    '/objects?data={"temperature":{"$gte":3}}&count=exact&page_size=1000',
    '/objects?sort=-observed_at',
    '/objects/keys',
    '/objects/facets?key=name',
    '/objects/aggregate?op=avg&key=temperature&by=time&bucket=1h&subject=room%200',
  ];
  const batches = await text('/batches');
  const usage = (await send('GET', '/usage')).json<{ objects: number; bytes: number }>();
  return [await Promise.all(paths.map(text)), batches, usage.objects, usage.bytes];
}

async function rowsLeft(): Promise<number> {
  const [row] = await api.db.sql<{ count: string }>(
    `SELECT (SELECT count(*) FROM deletions WHERE project_id = $1) + (SELECT count(*) FROM deleted_objects WHERE project_id = $1) AS count`,
    [project.projectId],
  );
  return Number(row?.count);
}

/** What the deleted objects of the project take, as each delete, restore and clean-up has counted it. */
async function countedBytes(): Promise<number> {
  const text = `SELECT coalesce(sum(deleted_bytes), 0) AS bytes FROM project_usage WHERE project_id = $1`;
  const [row] = await api.db.sql<{ bytes: string }>(text, [project.projectId]);
  return Number(row?.bytes);
}

async function keptBytes(): Promise<number> {
  const text = `SELECT coalesce(sum(bytes + 200), 0) AS bytes FROM deleted_objects WHERE project_id = $1`;
  const [row] = await api.db.sql<{ bytes: string }>(text, [project.projectId]);
  return Number(row?.bytes);
}

describe('restoring', () => {
  it('brings an object back as it was: its content, order, times, index, averages, usage', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 10));
    const before = await stateOf();
    await remove('/objects/o-1');
    expect(await stateOf()).not.toEqual(before);
    const [deletion] = await deletions();
    expect(deletion).toMatchObject({ batch_id: null, object_id: 'o-1', object_count: 1 });
    const { deleted_at: from = '', restorable_until: until = '' } = deletion ?? {};
    expect(Date.parse(until) - Date.parse(from)).toBe(24 * 3_600_000);

    const { projectId } = project;
    await api.db.sql('DELETE FROM rollup_marks WHERE project_id = $1', [projectId]);
    const reply = await restore('/objects/o-1');
    expect([reply.status, reply.json()]).toEqual([200, restored(0, 1)]);
    expect(await stateOf()).toEqual(before);
    // The average of its hour is computed again.
    const marks = await api.db.sql('SELECT subject, hour FROM rollup_marks WHERE project_id = $1', [projectId]);
    expect(marks).toEqual([{ subject: 'room 1', hour: '2024-01-01T01:00:00Z' }]);
    expect([await rowsLeft(), await deletions()]).toEqual([0, []]);
    expect(kindOf(await restore('/objects/o-1'))).toBe('404 not-found');
  });

  it('brings a batch back with the objects that were deleted with it, and not with earlier ones', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 450));
    await postBatch(api, project.keys.producer, 'a/b', objectsOf('p', 2));
    await remove('/objects/o-449');
    const before = await stateOf();
    await remove('/batches/b?cascade=true');
    const after = await stateOf();
    expect((await deletions())[0]).toMatchObject({ batch_id: 'b', object_id: null, object_count: 449 });
    expect((await restore('/batches/b')).json()).toEqual(restored(1, 449));
    expect(await stateOf()).toEqual(before);
    // A second time: entries in the index are outdated for objects that were restored before.
    await remove('/batches/b?cascade=true');
    expect(await stateOf()).toEqual(after);
    expect((await restore('/batches/b')).status).toBe(200);
    expect(await stateOf()).toEqual(before);
    expect((await restore('/objects/o-449')).json()).toEqual(restored(0, 1));
    await remove(`/batches/${encodeURIComponent('a/b')}?cascade=true`);
    expect((await restore(`/batches/${encodeURIComponent('a/b')}`)).json()).toEqual(restored(1, 2));
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
    expect(await rowsLeft()).toBe(0);
  });

  it('brings back an empty batch', async () => {
    await postBatch(api, project.keys.producer, 'empty', []);
    const before = await text('/batches');
    await remove('/batches/empty');
    expect((await restore('/batches/empty')).json()).toEqual(restored(1, 0));
    expect(await text('/batches')).toBe(before);
  });

  it('brings back the objects of a filter in several batches, by the id of the deletion', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 300));
    await postBatch(api, project.keys.producer, 'c', objectsOf('p', 5));
    const before = await stateOf();
    await remove('/objects?data={"temperature":{"$gte":2}}&max_affected=1000');
    const [deletion] = await deletions();
    expect(deletion).toMatchObject({ batch_id: null, object_id: null, object_count: 298 + 3 });
    // One of them alone, and then the others.
    expect((await restore('/objects/p-4')).json()).toEqual(restored(0, 1));
    expect((await deletions())[0]).toMatchObject({ object_count: 300 });
    expect((await restore(`/deletions/${deletion?.deletion_id ?? ''}`)).json()).toEqual(restored(0, 300));
    expect(await stateOf()).toEqual(before);
    expect(await rowsLeft()).toBe(0);
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
  });

  it('is 409 with the ids that are used again, and changes nothing', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await remove('/batches/b?cascade=true');
    await postBatch(api, project.keys.producer, 'b', []);
    const taken = await restore('/batches/b');
    expect(kindOf(taken)).toBe('409 conflict');
    expect(taken.json()).toMatchObject({ detail: '"b" exists again; nothing was restored.', batch_ids: ['b'] });

    await remove('/batches/b');
    await postBatch(api, project.keys.producer, 'other', objectsOf('o', 2));
    const before = await stateOf();
    const [, first] = await deletions();
    const path = `/deletions/${first?.deletion_id ?? ''}`;
    const objects = await restore(path);
    expect(kindOf(objects)).toBe('409 conflict');
    expect(objects.json()).toMatchObject({
      detail: '"o-0" exists again (2 ids in all, see object_ids); nothing was restored.',
      object_ids: ['o-0', 'o-1'],
    });
    expect(await stateOf()).toEqual(before);
    expect(kindOf(await restore('/objects/o-0'))).toBe('409 conflict');
    await remove('/batches/other?cascade=true');
    expect((await restore(path)).json()).toEqual(restored(1, 3));
  });

  it('is 409 for an object whose batch was deleted', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 2));
    await remove('/objects/o-0');
    await remove('/batches/b?cascade=true');
    for (const id of ['o-0', 'o-1']) {
      const reply = await restore(`/objects/${id}`);
      expect(kindOf(reply)).toBe('409 conflict');
      expect(reply.json()).toMatchObject({ batch_ids: ['b'], detail: expect.stringContaining('restore the batch') });
    }
    expect((await restore('/batches/b')).json()).toEqual(restored(1, 1));
    expect((await restore('/objects/o-0')).json()).toEqual(restored(0, 1));
  });

  it('is 409 for an object whose batch is another one now', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 1));
    await remove('/objects/o-0');
    await remove('/batches/b');
    await postBatch(api, project.keys.producer, 'b', []);
    const reply = await restore('/objects/o-0');
    expect([kindOf(reply), reply.json()]).toEqual(['409 conflict', expect.objectContaining({ batch_ids: ['b'] })]);
  });

  it('is 409 for an object whose batch was replaced after it was deleted, also when that batch was restored', async () => {
    const replace = (...objects: object[]): Promise<Reply> =>
      send('PUT', '/batches/b?on_conflict=replace', { objects });
    const expectReplaced = async (): Promise<void> => {
      const reply = await restore('/objects/o-0');
      expect([kindOf(reply), reply.json()]).toEqual([
        '409 conflict',
        expect.objectContaining({
          batch_ids: ['b'],
          detail: '"b" was replaced after the deletion; nothing was restored.',
        }),
      ]);
    };
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await remove('/objects/o-0');
    expect((await replace(...objectsOf('new', 2))).status).toBe(200);
    await expectReplaced();
    // One of its present objects.
    await remove('/objects/new-0');
    expect((await restore('/objects/new-0')).json()).toEqual(restored(0, 1));
    await remove('/batches/b?cascade=true');
    expect((await restore('/batches/b')).json()).toEqual(restored(1, 2));
    await expectReplaced();
  });

  it('leaves no more pending objects than one batch may, however many batches it restores', async () => {
    for (const id of ['b', 'c', 'd']) await postBatch(api, project.keys.producer, id, objectsOf(id, 100));
    const before = await stateOf();
    await remove('/objects?data={"temperature":{"$gte":0}}&max_affected=1000');
    const [deletion] = await deletions();
    expect((await restore(`/deletions/${deletion?.deletion_id ?? ''}`)).json()).toEqual(restored(0, 300));
    expect(await api.db.sql('SELECT FROM index_pending WHERE project_id = $1', [project.projectId])).toEqual([]);
    expect(await stateOf()).toEqual(before);
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
  });

  it('restores nothing that is older than the retention of the project, and the rest of its batch', async () => {
    const old = new Date(Date.now() - 40 * 86_400_000).toISOString();
    const young = new Date().toISOString();
    await postBatch(api, project.keys.producer, 'b', [
      { object_id: 'old-1', observed_at: old, data: { n: 1 } },
      { object_id: 'old-2', observed_at: old, data: { n: 2 } },
      { object_id: 'young', observed_at: young, data: { n: 3 } },
    ]);
    await remove('/objects/old-1');
    await remove('/batches/b?cascade=true');
    const retention = { key: api.operatorKey, body: { retention_days: 30 } };
    expect((await api.call('PATCH', `/projects/${String(project.projectId)}`, retention)).status).toBe(200);
    expect((await restore('/batches/b')).json()).toEqual(restored(1, 1));
    expect((await send('GET', '/batches/b')).json()).toMatchObject({
      objects: [{ object_id: 'young' }],
    });
    for (const id of ['old-1', 'old-2']) expect(kindOf(await restore(`/objects/${id}`))).toBe('404 not-found');
    expect((await send('GET', '/usage')).json()).toMatchObject({ objects: 1 });
  });

  it('brings back a batch and its objects where the batch has a greater sequence number than they', async () => {
    // Two servers that write the first objects of a feed: the one that is first in the database may have drawn its numbers last.
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await api.db.sql(
      `UPDATE batches SET seq = (SELECT max(seq) + 1 FROM objects WHERE project_id = $1) WHERE project_id = $1`,
      [project.projectId],
    );
    const before = await stateOf();
    await remove('/objects/o-1');
    expect((await restore('/objects/o-1')).json()).toEqual(restored(0, 1));
    await remove('/batches/b?cascade=true');
    expect((await restore('/batches/b')).json()).toEqual(restored(1, 3));
    expect(await stateOf()).toEqual(before);
  });

  it('restores nothing of a batch of which some objects have expired', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await remove('/batches/b?cascade=true');
    await api.db.sql(`DELETE FROM deleted_objects WHERE project_id = $1 AND object_id = 'o-1'`, [project.projectId]);
    expect(kindOf(await restore('/batches/b'))).toBe('404 not-found');
    expect((await send('GET', '/batches/b')).status).toBe(404);
    await api.db.sql(`UPDATE project_usage SET deleted_bytes = $2 WHERE project_id = $1`, [
      project.projectId,
      await keptBytes(),
    ]);
  });

  it('finds an id that is used while the restore waits', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 2));
    await remove('/objects/o-0');
    const { projectId } = project;
    const reply = await api.db.transaction(async (tx) => {
      await tx.query(
        `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes) VALUES ($1, 'x', 'o-0', 7, now(), '[]', 2)`,
        [projectId],
      );
      const waiting = restore('/objects/o-0');
      await waitFor(async () => (await countLockWaits(api.db)) > 0 || undefined);
      return { waiting };
    });
    expect(kindOf(await reply.waiting)).toBe('409 conflict');
    await api.db.sql(`DELETE FROM objects WHERE project_id = $1 AND seq = 7`, [projectId]);
    expect((await restore('/objects/o-0')).status).toBe(200);
  });

  it('restores once where two requests restore the same', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 50));
    const before = await stateOf();
    await remove('/batches/b?cascade=true');
    const replies = await Promise.all([restore('/batches/b'), restore('/batches/b'), restore('/batches/b')]);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 404, 404]);
    expect(await stateOf()).toEqual(before);
  });

  it('respects the quota of the project', async () => {
    const quota = { key: api.operatorKey, body: { objects_max: 2 } };
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 2));
    await remove('/objects/o-0');
    expect((await api.call('PATCH', `/projects/${String(project.projectId)}`, quota)).status).toBe(200);
    await postBatch(api, project.keys.producer, 'c', objectsOf('p', 1));
    expect(kindOf(await restore('/objects/o-0'))).toBe('429 quota-exceeded');
    await remove('/objects/p-0');
    expect((await restore('/objects/o-0')).status).toBe(200);
  });

  it('is for admins of the project, and is audited', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await remove('/objects/o-0');
    const [deletion] = await deletions();
    const id = deletion?.deletion_id ?? '';
    const other = await api.project();
    for (const path of [`/deletions/${id}`, '/objects/o-0', '/batches/b']) {
      const key = other.keys.admin;
      expect(kindOf(await api.call('POST', `${path}/restore`, { key }))).toBe('404 not-found');
      expect((await api.call('POST', `${path}/restore`, { key: project.keys.producer })).status).toBe(403);
    }
    for (const path of ['/deletions/0', '/deletions/x', `/deletions/${id}0`]) {
      expect([path, kindOf(await restore(path))]).toEqual([path, '404 not-found']);
    }
    expect((await api.call('GET', '/deletions', { key: other.keys.admin })).json()).toMatchObject({ count: 0 });
    await restore(`/deletions/${id}`);
    await remove('/objects?key=name&value=o&max_affected=5');
    await restore(`/deletions/${(await deletions())[0]?.deletion_id ?? ''}`);
    await remove('/batches/b?cascade=true');
    await restore('/batches/b');
    const audit = (await send('GET', '/audit')).json<PageBody<{ action: string; target: unknown; details: object }>>();
    const entries = audit.results.filter(({ action }) => action.endsWith('.restore'));
    expect(entries.map(({ action, target, details }) => [action, target, details])).toEqual([
      ['batch.restore', { type: 'batch', id: 'b' }, { deletion_id: expect.any(String), object_count: 3 }],
      ['objects.restore', null, { deletion_id: expect.any(String), object_count: 3 }],
      ['object.restore', { type: 'object', id: 'o-0' }, { deletion_id: id, object_count: 1 }],
    ]);
  });

  it('lists deletions in pages, newest first, and finds nothing of them in objects, exports and usage', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 5));
    for (let n = 0; n < 5; n++) await remove(`/objects/o-${String(n)}`);
    const found: (string | null)[] = [];
    for (let next: string | null = '/deletions?page_size=2'; next !== null;) {
      const page: PageBody<Deletion> = (await send('GET', next)).json<PageBody<Deletion>>();
      found.push(...page.results.map((deletion) => deletion.object_id));
      next = page.next;
    }
    expect(found).toEqual(['o-4', 'o-3', 'o-2', 'o-1', 'o-0']);
    expect((await send('GET', '/usage')).json()).toMatchObject({ objects: 0, bytes: 0 });
    expect(await text('/objects/export')).not.toContain('o-1');
  });
});

describe('UNDELETE_BYTES_MAX', () => {
  it('limits what a project keeps: a delete beyond it keeps nothing, until something was restored or has expired', async () => {
    const small = await api.another({ UNDELETE_BYTES_MAX: '1000' });
    try {
      const key = project.keys.admin;
      const removeBy = async (path: string): Promise<void> => {
        expect((await small.call('DELETE', path, { key })).status).toBeLessThan(300);
      };
      await postBatch(api, project.keys.producer, 'b', objectsOf('o', 5));
      await postBatch(api, project.keys.producer, 'c', objectsOf('p', 3));
      await removeBy('/batches/b?cascade=true');
      expect(await countedBytes()).toBeGreaterThan(1_000);
      await removeBy('/objects/p-0');
      await removeBy('/objects?key=exact&value=1&max_affected=1');
      await removeBy('/batches/c?cascade=true');
      expect((await deletions()).map(({ batch_id }) => batch_id)).toEqual(['b']);
      expect((await restore('/batches/b')).json()).toEqual(restored(1, 5));
      await removeBy('/objects/o-0');
      expect((await deletions()).map(({ object_id }) => object_id)).toEqual(['o-0']);
      // Another project has a limit of its own.
      const other = await api.project();
      await postBatch(api, other.keys.producer, 'b', objectsOf('o', 1));
      expect((await small.call('DELETE', '/objects/o-0', { key: other.keys.admin })).status).toBe(204);
      expect((await api.call('GET', '/deletions', { key: other.keys.admin })).json()).toMatchObject({ count: 1 });
    } finally {
      await small.stop();
    }
  });
});

describe('UNDELETE_HOURS', () => {
  /** Makes deletions of the project older. */
  async function age(hours: number): Promise<void> {
    const id = `deletion_id - (${String(Math.round(hours * 3_600_000))}::bigint << 22)`;
    for (const table of ['deletions', 'deleted_objects']) {
      await api.db.sql(`UPDATE ${table} SET deletion_id = ${id} WHERE project_id = $1`, [project.projectId]);
    }
  }

  it('limits how long something can be restored; then a worker deletes the rows', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 5));
    await remove('/batches/b?cascade=true');
    await age(23);
    expect(await deletions()).toHaveLength(1);
    await age(1.1);
    expect(await deletions()).toEqual([]);
    expect(kindOf(await restore('/batches/b'))).toBe('404 not-found');
    expect(kindOf(await restore('/objects/o-1'))).toBe('404 not-found');
    expect(await rowsLeft()).toBe(6);

    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 1));
    await remove('/objects/o-0');
    const worker = await api.another({ WORKER: 'inline' });
    await waitFor(async () => (await rowsLeft()) === 2 || undefined);
    await worker.stop();
    expect((await restore('/objects/o-0')).status).toBe(200);
  });

  /** Deletes an empty batch, so that only its deletion is left to be purged, and makes it expired. */
  async function expireEmptyBatch(): Promise<void> {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await postBatch(api, project.keys.producer, 'empty', []);
    await remove('/batches/empty');
    await age(25);
  }

  /** As servers of an earlier version, or SQL by hand, may leave it. */
  async function drift(bytes: number): Promise<void> {
    await api.db.sql(
      `UPDATE project_usage AS u SET deleted_bytes = deleted_bytes + $2 WHERE project_id = $1
         AND shard = (SELECT max(shard) FROM project_usage WHERE project_id = $1)`,
      [project.projectId, bytes],
    );
  }

  it.each([20_000_000_000, -5_000])(
    'sets the space of deleted objects right with the last deletion, and misses none that is added meanwhile (%d)',
    async (bytes) => {
      await expireEmptyBatch();
      await drift(bytes);
      const { projectId } = project;
      const worker = await api.db.transaction(async (tx) => {
        // A delete that has changed the row of the usage, and has not committed yet.
        const seq = `(SELECT min(seq) FROM objects WHERE project_id = $1)`;
        await tx.query(
          `WITH gone AS (DELETE FROM objects WHERE project_id = $1 AND seq = ${seq} RETURNING *),
           deletion AS (INSERT INTO deletions (project_id, deletion_id, object_count, is_counted) VALUES ($1, $2, 1, true)),
           kept AS (
             INSERT INTO deleted_objects (project_id, deletion_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
             SELECT project_id, $2, batch_id, object_id, seq, subject, observed_at, data, bytes FROM gone)
           UPDATE project_usage AS u SET deleted_bytes = u.deleted_bytes + (SELECT bytes + 200 FROM gone) WHERE project_id = $1
             AND shard = (SELECT min(shard) FROM project_usage WHERE project_id = $1)`,
          [projectId, String(BigInt(Date.now()) << 22n)],
        );
        const started = await api.another({ WORKER: 'inline' });
        await waitFor(async () => (await countLockWaits(api.db)) > 0 || undefined);
        return started;
      });
      await waitFor(async () => (await countedBytes()) === (await keptBytes()) || undefined);
      await worker.stop();
      expect(await rowsLeft()).toBe(2);
    },
  );

  it('leaves the space as it is while other deletions can be restored', async () => {
    await expireEmptyBatch();
    await remove('/objects/o-0');
    await drift(1);
    const worker = await api.another({ WORKER: 'inline' });
    await waitFor(async () => (await rowsLeft()) === 2 || undefined);
    await worker.stop();
    expect(await countedBytes()).toBe((await keptBytes()) + 1);
    await drift(-1);
  });

  it('a project with a wrong figure beyond UNDELETE_BYTES_MAX keeps a deletion, and all of them when that one has expired', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 3));
    await drift(20_000_000_000);
    await remove('/objects/o-0');
    await remove('/objects/o-1');
    expect((await deletions()).map(({ object_id }) => object_id)).toEqual(['o-0']);
    await age(25);
    const worker = await api.another({ WORKER: 'inline' });
    await waitFor(async () => (await rowsLeft()) === 0 || undefined);
    await worker.stop();
    await remove('/objects/o-2');
    expect((await deletions()).map(({ object_id }) => object_id)).toEqual(['o-2']);
  });

  it('0 keeps nothing', async () => {
    const off = await api.another({ UNDELETE_HOURS: '0' });
    try {
      await postBatch(api, project.keys.producer, 'b', objectsOf('o', 5));
      const key = project.keys.admin;
      expect((await off.call('DELETE', '/objects/o-0', { key })).status).toBe(204);
      expect((await off.call('DELETE', '/objects?key=exact&value=1&max_affected=1', { key })).status).toBe(200);
      expect((await off.call('DELETE', '/batches/b?cascade=true', { key })).status).toBe(204);
      expect(await rowsLeft()).toBe(0);
      expect(kindOf(await off.call('POST', '/batches/b/restore', { key }))).toBe('404 not-found');
    } finally {
      await off.stop();
    }
  });

  it('ends with the project', async () => {
    await postBatch(api, project.keys.producer, 'b', objectsOf('o', 5));
    await remove('/batches/b?cascade=true');
    const path = `/projects/${String(project.projectId)}?cascade=true`;
    expect((await api.call('DELETE', path, { key: api.operatorKey })).status).toBe(202);
    const worker = await api.another({ WORKER: 'inline' });
    await waitFor(async () => (await rowsLeft()) === 0 || undefined);
    await worker.stop();
  });
});
