import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob } from '../jobs/jobs.js';
import { postBatch } from '../objects/wire.js';
import { allChanges, brief, readChanges, type Change } from './change-client.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' };
const NDJSON = { 'Content-Type': 'application/x-ndjson' };

const start = async ({ keys }: TestProject): Promise<string> => (await readChanges(api, keys.analyst)).next;

/** The changes of some work. */
async function changesOf(project: TestProject, work: () => Promise<unknown>, query = ''): Promise<Change[]> {
  const since = await start(project);
  await work();
  return (await allChanges(api, project.keys.analyst, since, query)).changes;
}

async function send(project: TestProject, method: string, path: string, body?: unknown, headers = {}): Promise<string> {
  const reply = await api.call(method, path, {
    key: project.keys.admin,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.text}`);
  return reply.text;
}

const objectsOf = (count: number, prefix = 'o', n = 0): object[] =>
  Array.from({ length: count }, (_, i) => ({ object_id: `${prefix}${String(i)}`, data: { n: n + i } }));
const linesOf = (objects: readonly object[]): string => objects.map((one) => `${JSON.stringify(one)}\n`).join('');
const created = (ids: readonly string[]): string[] => ids.map((id) => `created ${id}`);
const deleted = (ids: readonly string[]): string[] => ids.map((id) => `deleted ${id}`);
const idsOf = (count: number, prefix = 'o'): string[] => Array.from({ length: count }, (_, i) => prefix + String(i));

describe('GET /objects/changes returns', () => {
  it.each([1, 5, 300])('the objects of a new batch of %d, in their order', async (count) => {
    const project = await api.project();
    const changes = await changesOf(project, () => postBatch(api, project.keys.producer, 'b', objectsOf(count)));
    expect(brief(changes)).toEqual(created(idsOf(count)));
    expect(changes[0]).toEqual({
      change: 'created',
      object_id: 'o0',
      batch_id: 'b',
      at: expect.stringMatching(/Z$/),
      object: JSON.parse(await send(project, 'GET', '/objects/o0')) as object,
    });
  });

  it('those of a stream, a job, and of what is added to a batch', async () => {
    const project = await api.project();
    const changes = await changesOf(project, async () => {
      await send(project, 'PUT', '/batches/stream', linesOf(objectsOf(3, 's')), NDJSON);
      const job = await submitJob(api, 'POST', '/batches', {
        key: project.keys.producer,
        body: { batch_id: 'job', objects: objectsOf(2, 'j') },
      });
      expect((await waitForJob(api, project.keys.producer, job)).status).toBe('succeeded');
      await send(project, 'PUT', '/batches/stream?on_conflict=skip', { objects: objectsOf(5, 's') });
      await send(project, 'POST', '/objects', { batch_id: 'job', object_id: 'single', data: {} });
    });
    expect(brief(changes)).toEqual(created([...idsOf(3, 's'), ...idsOf(2, 'j'), 's3', 's4', 'single']));
  });

  it('changed objects with their present state, also without new data', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'b', objectsOf(2));
    const changes = await changesOf(project, async () => {
      await send(project, 'PATCH', '/objects/o0', { data: { n: 7 } }, MERGE_PATCH);
      await send(project, 'PUT', '/objects/o1', { data: { n: 8 } });
      await send(project, 'PATCH', '/objects/o1', { subject: 'shelf' }, MERGE_PATCH);
    });
    expect(brief(changes)).toEqual(['changed o0', 'changed o1', 'changed o1']);
    expect(changes.map(({ object }) => [object?.data[0]?.value, object?.subject])).toEqual([
      [7, null],
      [8, 'shelf'],
      [8, 'shelf'],
    ]);
  });

  it('deleted objects: single ones, those of a filter, and those of a batch', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'b', objectsOf(4));
    await postBatch(api, project.keys.producer, 'c', objectsOf(1_500, 'c'));
    const changes = await changesOf(project, async () => {
      await send(project, 'DELETE', '/objects/o3');
      await send(project, 'DELETE', `/objects?data=${encodeURIComponent('{"n":{"$lt":2}}')}&batch_id=b&max_affected=5`);
      await send(project, 'DELETE', '/batches/c?cascade=true');
    });
    const ids = changes.map(({ object_id: id }) => id);
    expect(new Set(changes.map(({ change }) => change))).toEqual(new Set(['deleted']));
    expect([ids[0], ids.slice(1, 3).sort(), ids.slice(3).sort()]).toEqual([
      'o3',
      ['o0', 'o1'],
      idsOf(1_500, 'c').sort(),
    ]);
    expect(changes.map(({ batch_id: batch }) => batch).slice(2, 4)).toEqual(['b', 'c']);
  });

  it('a replaced batch as deleted and created', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'b', objectsOf(2));
    const changes = await changesOf(project, () =>
      send(project, 'PUT', '/batches/b?on_conflict=replace', { objects: objectsOf(3, 'o', 10) }),
    );
    expect(brief(changes)).toEqual([...deleted(['o0', 'o1']), ...created(['o0', 'o1', 'o2'])]);
  });

  it('an object that was deleted and created again in that order, whichever process has written it', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'a', objectsOf(1));
    await postBatch(api, project.keys.producer, 'b', []);
    const changes = await changesOf(project, async () => {
      await send(project, 'DELETE', '/objects/o0');
      await send(project, 'POST', '/objects', { batch_id: 'b', object_id: 'o0', data: { again: true } });
    });
    expect(brief(changes)).toEqual(['deleted o0', 'created o0']);
  });

  it('the objects of feeds, and only those whose content has changed', async () => {
    const project = await api.project();
    const path = '/buildings/1/rooms/2/temperatures';
    const reading = { temperature: 20.5, recorded_at: '2024-12-10T16:45:00' };
    const changes = await changesOf(project, async () => {
      await send(project, 'POST', path, reading);
      await send(project, 'POST', path, reading);
      await send(project, 'POST', path, { ...reading, temperature: 21 });
      await send(project, 'POST', '/sprockets', { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 });
    });
    expect(changes.map(({ change }) => change)).toEqual(['created', 'changed', 'created']);
  });

  it('nothing of requests that failed, were dry runs, or changed nothing', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'b', objectsOf(2));
    const changes = await changesOf(project, async () => {
      await send(project, 'PUT', '/batches/b', { objects: objectsOf(2) });
      await send(project, 'PUT', '/batches/dry?dry_run=true', { objects: objectsOf(2, 'dry') });
      const objects = objectsOf(3);
      expect(
        (await api.call('POST', '/batches', { key: project.keys.producer, body: { batch_id: 'x', objects } })).status,
      ).toBe(409);
      await send(project, 'PUT', '/batches/empty', { objects: [] });
    });
    expect(changes).toEqual([]);
  });

  it('nothing of another project', async () => {
    const [mine, other] = [await api.project(), await api.project()];
    await start(other);
    const changes = await changesOf(mine, () => postBatch(api, other.keys.producer, 'b', objectsOf(2)));
    expect(changes).toEqual([]);
  });
});

describe('a page of changes', () => {
  it('without since has no results and ends at the latest change, also of projects that nobody has followed', async () => {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'b', objectsOf(2));
    const first = await readChanges(api, project.keys.analyst);
    expect(first).toEqual({ results: [], next: expect.any(String), has_more: false });
    expect((await readChanges(api, project.keys.analyst, first.next)).results).toEqual([]);
    await postBatch(api, project.keys.producer, 'c', objectsOf(2, 'c'));
    const second = await readChanges(api, project.keys.analyst);
    expect((await readChanges(api, project.keys.analyst, second.next)).results).toEqual([]);
    expect(brief((await readChanges(api, project.keys.analyst, first.next)).results)).toEqual(created(['c0', 'c1']));
  });

  it('splits large batches, and lists of deleted and changed objects, without gaps and repetitions', async () => {
    const project = await api.project();
    const since = await start(project);
    await postBatch(api, project.keys.producer, 'b', objectsOf(500));
    await postBatch(api, project.keys.producer, 'c', objectsOf(700, 'c'));
    await send(project, 'DELETE', '/batches/b?cascade=true');
    for (const size of [7, 100, 1_000]) {
      const { changes } = await allChanges(api, project.keys.analyst, since, `page_size=${String(size)}`);
      const ids = changes.map(({ object_id: id }) => id);
      expect([size, ids.slice(0, 700), ids.slice(700).sort()]).toEqual([size, idsOf(700, 'c'), idsOf(500).sort()]);
    }
  });

  it('ends and continues inside of long lists of deleted and changed objects', async () => {
    const project = await api.project();
    const ids = idsOf(2_500);
    await postBatch(api, project.keys.producer, 'b', objectsOf(2_500));
    const few = `data=${encodeURIComponent('{"n":{"$gte":2490}}')}`;
    const [since, sinceFew] = [
      await start(project),
      (await readChanges(api, project.keys.analyst, undefined, few)).next,
    ];
    await send(project, 'DELETE', '/batches/b?cascade=true');
    await send(project, 'POST', '/batches/b/restore');
    for (const size of [900, 1_000]) {
      const { changes } = await allChanges(api, project.keys.analyst, since, `page_size=${String(size)}`);
      const [first, last] = [changes.slice(0, 2_500), changes.slice(2_500)];
      expect([size, new Set(first.map(({ change }) => change))]).toEqual([size, new Set(['deleted'])]);
      expect(brief(last).sort()).toEqual(ids.map((id) => `changed ${id}`).sort());
      expect(first.map(({ object_id: id }) => id).sort()).toEqual(ids.toSorted());
    }
    const { changes } = await allChanges(api, project.keys.analyst, sinceFew, `${few}&page_size=1000`);
    const matching = changes.filter(({ object }) => object !== null).map(({ object_id: id }) => id);
    expect([changes.length, matching.sort()]).toEqual([5_000, ids.slice(2_490)]);
  });

  it('ends early where it has much data', async () => {
    const project = await api.project();
    const since = await start(project);
    const text = 'x'.repeat(500_000);
    await postBatch(
      api,
      project.keys.producer,
      'b',
      Array.from({ length: 8 }, (_, i) => ({ object_id: String(i), data: { text } })),
    );
    const page = await readChanges(api, project.keys.analyst, since, 'page_size=100');
    expect([page.results.length < 8, page.has_more]).toEqual([true, true]);
    const { changes } = await allChanges(api, project.keys.analyst, since, 'page_size=100');
    expect(changes.map(({ object_id: id }) => id)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  });

  it('has the objects in the requested view', async () => {
    const project = await api.project();
    const changes = await changesOf(
      project,
      () => postBatch(api, project.keys.producer, 'b', [{ object_id: 'o', data: { a: 1, b: 2 } }]),
      'fields=data.b&data_as=object',
    );
    expect(changes[0]?.object).toEqual({ data: { b: 2 } });
  });
});

describe('with a filter, changes', () => {
  const filter = `data=${encodeURIComponent('{"n":{"$gte":3}}')}`;

  it('have the new objects that match, changed ones as null where they do not, and every deletion', async () => {
    const project = await api.project();
    const since = (await readChanges(api, project.keys.analyst, undefined, filter)).next;
    await postBatch(api, project.keys.producer, 'b', objectsOf(6));
    const first = await allChanges(api, project.keys.analyst, since, filter);
    expect(brief(first.changes)).toEqual(created(['o3', 'o4', 'o5']));
    await send(project, 'PATCH', '/objects/o4', { data: { n: 0 } }, MERGE_PATCH);
    await send(project, 'PATCH', '/objects/o0', { data: { n: 9 } }, MERGE_PATCH);
    await send(project, 'DELETE', '/objects/o1');
    const { changes } = await allChanges(api, project.keys.analyst, first.next, filter);
    expect(brief(changes)).toEqual(['changed o4 null', 'changed o0', 'deleted o1']);
  });

  it('go on after many objects that do not match', async () => {
    const project = await api.project();
    const rare = `key=rare`;
    const since = (await readChanges(api, project.keys.analyst, undefined, rare)).next;
    const objects = [...objectsOf(5_000), { object_id: 'rare', data: { rare: 1 } }, ...objectsOf(100, 'p')];
    await postBatch(api, project.keys.producer, 'b', objects);
    expect(brief((await allChanges(api, project.keys.analyst, since, `${rare}&page_size=1`)).changes)).toEqual([
      'created rare',
    ]);
  });

  it('reject the cursor of another filter, project or list, and what is none', async () => {
    const [project, other] = [await api.project(), await api.project()];
    const { next } = await readChanges(api, project.keys.analyst, undefined, filter);
    const list = `n${'1'.repeat(5)}.0123456789ab`;
    for (const [key, since] of [
      [project.keys.analyst, next],
      [other.keys.analyst, next],
      ...[list, '', 'x', `zzzzzzzzzzzzz.${next.split('.')[1] ?? ''}`].map((one) => [project.keys.analyst, one]),
    ] as [string, string][]) {
      const reply = await api.call('GET', `/objects/changes?since=${since}`, { key });
      expect(placesOf(expectProblem(reply, 'invalid-cursor'))).toEqual(['since']);
    }
  });
});

describe('changes that are not kept', () => {
  const expired = async ({ keys }: TestProject, since: string): Promise<void> => {
    expectProblem(await api.call('GET', `/objects/changes?since=${since}`, { key: keys.analyst }), 'changes-expired');
  };

  it('are 410: deleted ones, and those of a position that does not exist', async () => {
    const project = await api.project();
    const first = await start(project);
    await postBatch(api, project.keys.producer, 'b', objectsOf(1));
    const { next } = await readChanges(api, project.keys.analyst, first);
    await api.db.sql(`UPDATE change_feeds SET deleted_until = last_position WHERE project_id = $1`, [
      project.projectId,
    ]);
    await expired(project, first);
    expect((await readChanges(api, project.keys.analyst, next)).results).toEqual([]);
    const future = next.replace(/^\w+/, 'zzzzzzzzzzz');
    await expired(project, future);
  });

  it('are 410 when nobody has read them for long, until somebody follows again', async () => {
    const project = await api.project();
    const first = await start(project);
    await api.db.sql(
      `UPDATE change_feeds SET read_at = NULL, last_position = last_position + 1, deleted_until = last_position + 1 WHERE project_id = $1`,
      [project.projectId],
    );
    await expired(project, first);
    const again = await start(project);
    await postBatch(api, project.keys.producer, 'b', objectsOf(1));
    expect(brief((await readChanges(api, project.keys.analyst, again)).results)).toEqual(['created o0']);
    await expired(project, first);
  });
});

describe('a transaction that is not committed', () => {
  it('delays neither later ones of its project nor those of others, and is returned after its commit', async () => {
    const project = await api.project();
    const since = await start(project);
    // What a stream does, which may take hours.
    const next = await api.db.transaction(async (tx) => {
      await tx.query(
        `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, object_ids, objects, changed_at)
         VALUES ($1, pg_current_wal_insert_lsn(), 'deleted', 'slow', false, '{slow}', 1, now())`,
        [project.projectId],
      );
      await postBatch(api, project.keys.producer, 'b', objectsOf(1));
      const page = await readChanges(api, project.keys.analyst, since);
      expect(brief(page.results)).toEqual(['created o0']);
      return page.next;
    });
    expect(brief((await readChanges(api, project.keys.analyst, next)).results)).toEqual(['deleted slow']);
  });
});
