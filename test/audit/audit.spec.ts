import { DeniedRequests } from '#audit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { CallOptions, Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { waitForJob, type Job } from '../jobs/jobs.js';

interface Entry {
  number: number;
  created_at: string;
  action: string;
  actor: { key_id: string | null; role: string | null; name: string };
  target: { type: string; id: string | null } | null;
  details: Record<string, unknown>;
  request_id: string | null;
  address: string | null;
  hash: string | null;
}

interface Page {
  count: number;
  next: string | null;
  previous: string | null;
  results: Entry[];
}

const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' };
const ROOM = '/buildings/HQ/rooms/lab/temperatures';

let api: TestApp;
let project: TestProject;
let others: TestProject;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'inline' });
  others = await api.project();
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

async function list(query = '', key = project.keys.admin): Promise<Page> {
  const reply = await api.call('GET', `/audit${query}`, { key });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.json<Page>();
}

/** The entries that the work adds to the project, oldest first. */
async function entriesOf(work: () => Promise<unknown>): Promise<Entry[]> {
  const [last] = (await list('?page_size=1')).results;
  await work();
  const { results } = await list('?page_size=1000');
  return results.filter(({ number }) => number > (last?.number ?? 0)).reverse();
}

async function call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
  const reply = await api.call(method, path, { key: project.keys.admin, ...options });
  expect([method, path, reply.status < 300 ? '' : reply.text]).toEqual([method, path, '']);
  return reply;
}

const putBatch = (query: string, data: object, options: CallOptions = {}): Promise<Reply> =>
  call('PUT', `/batches/b${query}`, { body: { objects: [{ object_id: 'o', data }] }, ...options });

describe('an entry is added', () => {
  beforeEach(() => putBatch('', { n: 1 }));

  it('for a deleted object, with who, what, when and where', async () => {
    let reply: Reply | undefined;
    const entries = await entriesOf(async () => (reply = await call('DELETE', '/objects/o')));
    const { key_id } = (await call('GET', '/me')).json<{ key_id: string }>();
    expect(entries).toEqual([
      {
        number: expect.any(Number),
        created_at: expect.stringMatching(/^20\d\d-.*Z$/),
        action: 'object.delete',
        actor: { key_id, role: 'admin', name: 'admin' },
        target: { type: 'object', id: 'o' },
        details: { batch_id: 'b' },
        request_id: reply?.headers.get('x-request-id'),
        address: '127.0.0.1',
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ]);
    expect(Math.abs(Date.now() - Date.parse(entries[0]?.created_at ?? ''))).toBeLessThan(60_000);
  });

  it('for an object that PUT or PATCH changed, and none for one that they left as it was', async () => {
    const key = project.keys.producer;
    const entries = await entriesOf(async () => {
      await call('PUT', '/objects/o', { key, body: { data: { n: 1 } } });
      await call('PATCH', '/objects/o', { key, body: { data: {} }, headers: MERGE_PATCH });
      await call('PUT', '/objects/o', { key, body: { data: { n: 1.0 }, subject: 's' } });
      await call('PATCH', '/objects/o', { key, body: '{"data":{"n":1.00}}', headers: MERGE_PATCH });
      await call('PATCH', '/objects/o', { key, body: '{"data":{"n":1.00}}', headers: MERGE_PATCH });
    });
    expect(entries.map(({ action, details }) => [action, details.changed])).toEqual([
      ['object.replace', ['subject']],
      ['object.update', ['data']],
    ]);
    expect(entries[0]).toMatchObject({ target: { type: 'object', id: 'o' }, actor: { role: 'producer' } });
  });

  it('for a replaced batch, and none for the same content, a dry run or added objects', async () => {
    const entries = await entriesOf(async () => {
      await putBatch('', { n: 1 });
      await putBatch('?on_conflict=replace', { n: 1 });
      await putBatch('?on_conflict=replace&dry_run=true', { n: 2 });
      await call('PUT', '/batches/b?on_conflict=skip', { body: { objects: [{ object_id: 'p', data: {} }] } });
      await putBatch('?on_conflict=replace', { n: 2 });
    });
    expect(entries).toMatchObject([
      {
        action: 'batch.replace',
        target: { type: 'batch', id: 'b' },
        details: { old_object_count: 2, object_count: 1 },
      },
    ]);
  });

  it('for a deleted batch: one with the number of its objects and the ids of the first 100', async () => {
    const objects = Array.from({ length: 10_000 }, (_, n) => ({ object_id: `many-${String(n)}`, data: {} }));
    await call('POST', '/batches', { body: { batch_id: 'many', objects } });
    await call('POST', '/batches', { body: { batch_id: 'empty', objects: [] } });
    const entries = await entriesOf(async () => {
      await call('DELETE', '/batches/many?cascade=true');
      await call('DELETE', '/batches/empty');
    });
    expect(entries.map(({ action, target, details }) => ({ action, target, details }))).toEqual([
      {
        action: 'batch.delete',
        target: { type: 'batch', id: 'many' },
        details: { object_count: 10_000, object_ids: objects.slice(0, 100).map(({ object_id }) => object_id) },
      },
      { action: 'batch.delete', target: { type: 'batch', id: 'empty' }, details: { object_count: 0, object_ids: [] } },
    ]);
  });

  it('for a deleted batch, with at most 2 KiB of ids', async () => {
    const box = '\u{1f4e6}'.repeat(253);
    const objects = Array.from({ length: 100 }, (_, n) => ({ object_id: String(n).padStart(2, '0') + box, data: {} }));
    await call('POST', '/batches', { body: { batch_id: 'long', objects } });
    const [entry] = await entriesOf(() => call('DELETE', '/batches/long?cascade=true'));
    const ids = objects.slice(0, 2).map(({ object_id }) => object_id);
    expect(entry?.details).toEqual({ object_count: 100, object_ids: ids });
  });

  it('for each request to a feed that replaced other content: with the id, or the ids of several', async () => {
    const reading = (temperature: number, minute = 0): object => {
      return { temperature, recorded_at: `2024-12-10T16:${String(minute).padStart(2, '0')}:00Z` };
    };
    const entries = await entriesOf(async () => {
      await call('POST', ROOM, { body: reading(1) });
      await call('POST', ROOM, { body: reading(1) });
      await call('POST', ROOM, { body: [reading(1), reading(1, 1), reading(2, 2), reading(3, 2)] });
      await call('POST', ROOM, { body: reading(7) });
      await call('POST', ROOM, { body: [reading(8), reading(1, 1), reading(9, 2)] });
    });
    expect(entries.map(({ action, target, details }) => [action, target?.type, details.object_count])).toEqual([
      ['object.replace', 'object', undefined],
      ['objects.replace', undefined, 2],
    ]);
    expect(entries[1]?.details.object_ids).toEqual([entries[0]?.target?.id, expect.any(String)]);
  });

  it('for a replaced sprocket, and none for the same one', async () => {
    const sprocket = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };
    await call('POST', '/sprockets', { body: { id: 's', ...sprocket } });
    const entries = await entriesOf(async () => {
      await call('PUT', '/sprockets/s', { body: sprocket });
      await call('PUT', '/sprockets/s', { body: { ...sprocket, teeth: 6 } });
    });
    expect(entries).toMatchObject([{ action: 'object.replace', target: { type: 'object', id: 's' } }]);
  });

  it('for keys that are created, changed, rotated and revoked, never with a key itself', async () => {
    const keys = `/projects/${String(project.projectId)}/keys`;
    const secrets: string[] = [];
    let id = '';
    let newId = '';
    const entries = await entriesOf(async () => {
      const created = await call('POST', keys, { body: { name: 'k', role: 'analyst' } });
      const { key_id, key } = created.json<{ key_id: string; key: string }>();
      id = key_id;
      await call('PATCH', `${keys}/${id}`, { body: { name: 'k' } });
      await call('PATCH', `${keys}/${id}`, { body: { name: 'l' } });
      const rotated = await call('POST', `${keys}/${id}/rotate`, { body: { overlap_seconds: 60 } });
      const next = rotated.json<{ key_id: string; key: string }>();
      newId = next.key_id;
      secrets.push(key, next.key);
      await call('DELETE', `${keys}/${id}`);
      await call('DELETE', `${keys}/${id}`);
    });
    expect(entries.map(({ action, target, details }) => [action, target?.id, details])).toEqual([
      ['key.create', id, { name: 'k', role: 'analyst', expires_at: null }],
      ['key.update', id, { name: { from: 'k', to: 'l' } }],
      ['key.rotate', id, { new_key_id: newId, overlap_seconds: 60 }],
      ['key.create', newId, { name: 'l', role: 'analyst', expires_at: null }],
      ['key.revoke', id, { name: 'l' }],
    ]);
    for (const secret of secrets) expect(JSON.stringify(entries)).not.toContain(secret);
  });

  it('for a device that is created, and in both projects when it moves, without the other project', async () => {
    const id = `moves-${String(project.projectId)}`;
    const created = await entriesOf(() => call('POST', '/devices', { body: { device_id: id } }));
    expect(created.map(({ action, target }) => [action, target?.type])).toEqual([
      ['device.create', 'device'],
      ['key.create', 'key'],
    ]);
    const move = (): Promise<Reply> =>
      call('PATCH', `/devices/${id}`, { key: api.operatorKey, body: { project_id: others.projectId } });
    const moved = await entriesOf(async () => {
      await move();
      await move();
    });
    expect(moved).toMatchObject([
      { action: 'device.move', target: { type: 'device', id }, details: { direction: 'out', revoked_keys: 1 } },
    ]);
    const { results } = await list(`?target_id=${id}`, others.keys.admin);
    expect(results).toMatchObject([{ action: 'device.move', details: { direction: 'in' } }]);
    expect(JSON.stringify([moved, results])).not.toContain(String(others.projectId));
  });

  it('for a job, by the key that sent the request', async () => {
    const headers = { Prefer: 'respond-async' };
    const key = project.keys.producer;
    let accepted: Reply | undefined;
    const entries = await entriesOf(async () => {
      accepted = await putBatch('?on_conflict=replace', { n: 5 }, { key, headers });
      await waitForJob(api, key, accepted.json<Job>());
    });
    expect(entries).toMatchObject([
      {
        action: 'batch.replace',
        actor: { role: 'producer', name: 'producer' },
        request_id: accepted?.headers.get('x-request-id'),
        address: '127.0.0.1',
      },
    ]);
  });

  it('once for a request that is sent again with its Idempotency-Key', async () => {
    const options = { body: { name: 'once', role: 'analyst' }, headers: { 'Idempotency-Key': 'once' } };
    const path = `/projects/${String(project.projectId)}/keys`;
    const entries = await entriesOf(async () => {
      await call('POST', path, options);
      await call('POST', path, options);
    });
    expect(entries).toHaveLength(1);
  });

  it('not for reads, new data and requests that fail', async () => {
    const entries = await entriesOf(async () => {
      await call('POST', '/batches', { body: { batch_id: 'new', objects: [] } });
      await call('POST', '/objects', { body: { batch_id: 'new', object_id: 'x', data: {} } });
      await call('POST', ROOM, { body: { temperature: 1, recorded_at: '2024-12-10T16:45:00Z' } });
      await call('GET', '/objects');
      await call('GET', '/batches/b');
      for (const [method, path, body] of [
        ['DELETE', '/batches/b', undefined],
        ['DELETE', '/objects/none', undefined],
        ['PUT', '/objects/o', { data: 1 }],
        ['DELETE', `/projects/${String(project.projectId)}/keys/1`, undefined],
      ] as const) {
        const reply = await api.call(method, path, { key: project.keys.admin, body });
        expect(reply.status).toBeGreaterThanOrEqual(400);
      }
      const stale = await api.call('DELETE', '/objects/o', { key: project.keys.admin, headers: { 'If-Match': '"x"' } });
      expect(stale.status).toBe(412);
    });
    expect(entries).toEqual([]);
  });
});

describe('the chain of the installation', () => {
  it('has the projects and the operator keys, and is only for operators', async () => {
    const name = `audited-${String(project.projectId)}`;
    const created = await call('POST', '/projects', { key: api.operatorKey, body: { name } });
    const { project_id } = created.json<{ project_id: number }>();
    const { key_id } = (await call('GET', '/me', { key: api.operatorKey })).json<{ key_id: string }>();
    const limits = { name, objects_max: 5 };
    await call('PATCH', `/projects/${String(project_id)}`, { key: api.operatorKey, body: limits });
    await call('PATCH', `/projects/${String(project_id)}`, { key: api.operatorKey, body: limits });
    await call('PATCH', `/operator-keys/${key_id}`, { key: api.operatorKey, body: { name: `op ${name}` } });
    const { results } = await list('', api.operatorKey);
    expect(results.slice(0, 3)).toMatchObject([
      { action: 'key.update', target: { type: 'key', id: key_id } },
      {
        action: 'project.update',
        target: { type: 'project', id: String(project_id) },
        details: { objects_max: { from: null, to: 5 } },
      },
      { action: 'project.create', target: { type: 'project', id: String(project_id) }, details: { name } },
    ]);
    const [first] = (await list('?action=key.create&from=2000-01-01T00:00:00Z', api.operatorKey)).results.slice(-1);
    expect(first).toMatchObject({ action: 'key.create', actor: { key_id: null, role: null, name: 'first start' } });
  });
});

describe('a denied request', () => {
  it('is counted with others of the same key, method and route, and recorded once', async () => {
    const entries = await entriesOf(async () => {
      const deny = async (method: string, path: string, key: string): Promise<void> => {
        expectProblem(await api.call(method, path, { key }), 'forbidden');
      };
      for (const id of ['a', 'b', 'c']) await deny('DELETE', `/objects/${id}`, project.keys.analyst);
      await deny('DELETE', '/objects/a', project.keys.producer);
      await deny('GET', '/projects', project.keys.analyst);
      // Rejected by the handler, not by the rules of the route.
      const body = { firmware: '1.0.0', timestamp: 1 };
      expectProblem(await api.call('POST', '/firmware/other', { key: project.keys.device, body }), 'forbidden');
      expect((await list('?action=access.denied')).results).toEqual([]);
      await api.app.get(DeniedRequests).flush();
      await api.app.get(DeniedRequests).flush();
    });
    const route = '/api/v1/objects/:object_id';
    expect(entries.map(({ action, actor, target, details }) => [action, actor.role, target, details])).toMatchObject([
      ['access.denied', 'analyst', null, { method: 'DELETE', route, count: 3 }],
      ['access.denied', 'producer', null, { method: 'DELETE', route, count: 1 }],
      ['access.denied', 'analyst', null, { method: 'GET', route: '/api/v1/projects', count: 1 }],
      ['access.denied', 'device', null, { method: 'POST', route: '/api/v1/firmware/:device_id', count: 1 }],
    ]);
    expect(entries[0]?.details).toMatchObject({ first_at: expect.any(String), last_at: expect.any(String) });
  });
});

describe('GET /audit', () => {
  beforeEach(async () => {
    const objects = ['a', 'b', 'c', 'd'].map((object_id) => ({ object_id, data: {} }));
    await call('POST', '/batches', { body: { batch_id: 'b', objects } });
    for (const id of ['a', 'b', 'c']) await call('DELETE', `/objects/${id}`);
    await call('PUT', '/objects/d', { key: project.keys.producer, body: { data: { n: 1 } } });
  });

  const targets = ({ results }: Page): (string | null | undefined)[] => results.map(({ target }) => target?.id);

  it('filters by action, key, target and time', async () => {
    const { key_id } = (await call('GET', '/me', { key: project.keys.producer })).json<{ key_id: string }>();
    expect(targets(await list('?action=object.delete'))).toEqual(['c', 'b', 'a']);
    expect(targets(await list(`?key_id=${key_id}`))).toEqual(['d']);
    expect(targets(await list('?target_type=object'))).toEqual(['d', 'c', 'b', 'a']);
    expect(targets(await list('?target_type=object&target_id=b'))).toEqual(['b']);
    expect(targets(await list('?target_type=batch&target_id=b'))).toEqual([]);
    const [, c, b] = (await list('?target_type=object')).results;
    expect(
      targets(await list(`?target_type=object&from=${String(b?.created_at)}&until=${String(c?.created_at)}`)),
    ).toEqual(['b']);
  });

  it('returns pages with cursors that are valid only with the same filter', async () => {
    const first = await list('?action=object.delete&page_size=2');
    expect([targets(first), first.count, first.previous]).toEqual([['c', 'b'], 3, null]);
    const second = (await call('GET', String(first.next))).json<Page>();
    expect([targets(second), second.next]).toEqual([['a'], null]);
    expect(targets((await call('GET', String(second.previous))).json<Page>())).toEqual(['c', 'b']);
    const cursor = new URL(String(first.next)).searchParams.get('cursor') ?? '';
    expectProblem(
      await api.call('GET', `/audit?action=key.create&cursor=${cursor}`, { key: project.keys.admin }),
      'invalid-cursor',
    );
    expectProblem(
      await api.call('GET', `/audit?action=object.delete&cursor=${cursor}`, { key: others.keys.admin }),
      'invalid-cursor',
    );
  });

  it('has an ETag, and returns 304 while no entry is added', async () => {
    const reply = await call('GET', '/audit');
    const headers = { 'If-None-Match': reply.headers.get('etag') ?? '' };
    expect((await api.call('GET', '/audit', { key: project.keys.admin, headers })).status).toBe(304);
    await call('DELETE', '/objects/d');
    expect((await api.call('GET', '/audit', { key: project.keys.admin, headers })).status).toBe(200);
  });

  it.each([
    ['action=object.read', 'action'],
    ['key_id=x', 'key_id'],
    ['key_id=9223372036854775808', 'key_id'],
    ['target_type=thing', 'target_type'],
    ['target_id=', 'target_id'],
    ['from=yesterday', 'from'],
    ['until=2024', 'until'],
    ['project_id=0', 'project_id'],
    ['project_id=2147483648', 'project_id'],
  ])('rejects %s', async (query, place) => {
    const reply = await api.call('GET', `/audit?${query}`, { key: project.keys.admin });
    expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([place]);
  });

  it('returns 404 to an operator for a project that never existed, and the entries of one that was deleted', async () => {
    const key = api.operatorKey;
    expectProblem(await api.call('GET', '/audit?project_id=1', { key }), 'not-found');
    const body = { name: `short-lived ${String(project.projectId)}` };
    const { project_id } = (await api.call('POST', '/projects', { key, body })).json<{ project_id: number }>();
    const query = `?project_id=${String(project_id)}`;
    expect((await list(query, key)).results).toEqual([]);
    expect((await api.call('DELETE', `/projects/${String(project_id)}`, { key })).status).toBe(202);
    expect((await list(query, key)).results).toEqual([]);
  });

  it('shows an admin only its own project', async () => {
    expect(targets(await list(`?project_id=${String(project.projectId)}&action=object.delete`))).toEqual([
      'c',
      'b',
      'a',
    ]);
    const path = `/audit?project_id=${String(others.projectId)}`;
    const others404 = expectProblem(await api.call('GET', path, { key: project.keys.admin }), 'not-found');
    const none404 = expectProblem(
      await api.call('GET', '/audit?project_id=1', { key: project.keys.admin }),
      'not-found',
    );
    expect(others404.detail).toBe(none404.detail);
    expect((await list('?action=object.delete', others.keys.admin)).results).toEqual([]);
  });
});
