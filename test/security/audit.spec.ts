import { AuditVerifier, DeniedRequests } from '#audit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';

interface Entry {
  action: string;
  actor: { name: string };
  target: { type: string; id: string | null } | null;
  details: Record<string, unknown>;
  hash: string | null;
}

let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  api = await TestApp.start();
});
afterAll(() => api.stop());
beforeEach(async () => {
  project = await api.project();
});

async function list(query: string, key = project.keys.admin): Promise<Entry[]> {
  const reply = await api.call('GET', `/audit?page_size=1000&${query}`, { key });
  expect(reply.status).toBe(200);
  return reply.json<{ results: Entry[] }>().results;
}

const ofProject = (query: string): Promise<Entry[]> =>
  list(`project_id=${String(project.projectId)}&${query}`, api.operatorKey);

async function call(method: string, path: string, body?: object): Promise<void> {
  const reply = await api.call(method, path, { key: project.keys.admin, body });
  expect(reply.status).toBeLessThan(300);
}

describe('an operator, who may read no data', () => {
  const room = '/buildings/HQ/rooms/lab/temperatures';
  const readings = (value: number): object[] =>
    ['00', '01'].map((minute) => ({ temperature: value, recorded_at: `2024-12-10T16:${minute}:00Z` }));

  beforeEach(async () => {
    const objects = ['secret-object', 'secret-2', 'secret-3'].map((object_id) => ({ object_id, data: {} }));
    await call('POST', '/batches', { batch_id: 'secret-batch', objects });
    await call('PUT', '/objects/secret-2', { data: { n: 1 } });
    await call('DELETE', '/objects/secret-object');
    await call('POST', room, readings(1));
    await call('POST', room, readings(2));
    await call('DELETE', '/batches/secret-batch?cascade=true');
  });

  it('gets the entries of a project without ids of objects and batches, and without the hashes of these entries', async () => {
    const all = await list('');
    expect(JSON.stringify(all)).toContain('secret-object');
    const reduced = await ofProject('');
    expect(reduced).toHaveLength(all.length);
    const text = JSON.stringify(reduced);
    expect(text).not.toContain('secret');
    expect(text).not.toContain('temperature');
    for (const entry of reduced) {
      const isAboutData = /^(objects?|batch)\./.test(entry.action);
      expect([entry.action, entry.hash === null]).toEqual([entry.action, isAboutData]);
      if (isAboutData && entry.target !== null) expect(entry.target.id).toBeNull();
    }
    expect(reduced.map(({ action, details }) => [action, details]).slice(0, 4)).toEqual([
      ['batch.delete', { object_count: 2 }],
      ['objects.replace', { object_count: 2 }],
      ['object.delete', {}],
      ['object.replace', {}],
    ]);
    expect(reduced.find(({ action }) => action === 'device.create')).toMatchObject({
      target: { id: project.deviceId },
      hash: expect.any(String),
    });
  });

  it('cannot find out by a filter whether an object or a batch was deleted', async () => {
    for (const id of ['secret-object', 'secret-batch', 'no-such-id']) {
      expect(await ofProject(`target_id=${id}`)).toEqual([]);
      expect(await ofProject(`target_type=object&target_id=${id}`)).toEqual([]);
    }
    expect(await list('target_id=secret-object')).toHaveLength(1);
    expect(await ofProject(`target_id=${project.deviceId}`)).toHaveLength(1);
  });
});

describe('a client that floods the server with requests that its role may not send', () => {
  const countRows = async (): Promise<number> =>
    Number((await api.db.sql<{ count: string }>('SELECT count(*) FROM audit_entries'))[0]?.count);

  it('writes nothing at once, and one entry a minute for each key and route', async () => {
    const before = await countRows();
    const flood = Array.from({ length: 500 }, (_, n) =>
      api.call('DELETE', `/objects/${String(n)}`, { key: project.keys.analyst }),
    );
    for (const reply of await Promise.all(flood)) expect(reply.status).toBe(403);
    expect(await countRows()).toBe(before);
    await api.app.get(DeniedRequests).flush();
    expect(await countRows()).toBe(before + 1);
    expect(await list('action=access.denied')).toMatchObject([{ details: { count: 500 } }]);
  });

  it('writes at most 101 entries a minute with any number of keys', async () => {
    const created = Array.from({ length: 110 }, async (_, n) => {
      const body = { name: `flood ${String(n)}`, role: 'analyst' };
      const path = `/projects/${String(project.projectId)}/keys`;
      return (await api.call('POST', path, { key: project.keys.admin, body })).json<{ key: string }>().key;
    });
    const keys = await Promise.all(created);
    for (let i = 0; i < 2; i++) {
      await Promise.all(keys.map((key) => api.call('DELETE', '/objects/o', { key })));
    }
    await api.app.get(DeniedRequests).flush();
    const entries = await list('action=access.denied');
    expect(entries).toHaveLength(101);
    const [combined] = entries.filter(({ actor }) => actor.name === 'several keys');
    expect(combined?.details).toMatchObject({ count: 20 });
    expect(entries.reduce((sum, { details }) => sum + Number(details.count), 0)).toBe(220);
  });

  it('gets its 403 also while the entries cannot be written, and is recorded afterwards', async () => {
    const deny = async (): Promise<void> => {
      expect((await api.call('DELETE', '/objects/o', { key: project.keys.analyst })).status).toBe(403);
    };
    await deny();
    await api.db.sql('ALTER TABLE audit_entries RENAME TO audit_entries_away');
    try {
      await api.app.get(DeniedRequests).flush();
      await deny();
    } finally {
      await api.db.sql('ALTER TABLE audit_entries_away RENAME TO audit_entries');
    }
    await api.app.get(DeniedRequests).flush();
    expect(await list('action=access.denied')).toMatchObject([{ details: { count: 2 } }]);
  });
});

it('a server that stops writes the denied requests that it has counted', async () => {
  const other = await TestApp.start();
  const { keys } = await other.project();
  expect((await other.call('DELETE', '/objects/o', { key: keys.analyst })).status).toBe(403);
  await other.app.close();
  const rows = await other.db.sql(`SELECT FROM audit_entries WHERE action = 'access.denied'`);
  await other.db.close();
  expect(rows).toHaveLength(1);
});

it('requests of all kinds that change the same objects at once neither deadlock nor break the chain', async () => {
  const { admin, producer } = project.keys;
  const room = '/buildings/HQ/rooms/lab/temperatures';
  const objects = (n: number): object[] => ['a', 'b', 'c'].map((object_id) => ({ object_id, data: { n } }));
  const key = admin;
  await call('POST', '/batches', { batch_id: 'b', objects: objects(0) });
  const send = (n: number): Promise<{ status: number; text: string }>[] => [
    api.call('PUT', '/batches/b?on_conflict=replace', { key, body: { objects: objects(n) } }),
    api.call('PUT', '/objects/a', { key: producer, body: { data: { n } } }),
    api.call('PATCH', '/objects/b', {
      key,
      body: { data: { n } },
      headers: { 'Content-Type': 'application/merge-patch+json' },
    }),
    api.call('DELETE', '/objects/c', { key }),
    ...['00', '01', '02'].map((minute) =>
      api.call('POST', room, { key, body: { temperature: n, recorded_at: `2024-12-10T16:${minute}:00Z` } }),
    ),
    api.call('POST', `/projects/${String(project.projectId)}/keys`, { key, body: { name: 'k', role: 'analyst' } }),
    api.call('POST', room, {
      key,
      body: { temperature: n + 0.5, recorded_at: '2024-12-10T16:00:00Z' },
      headers: { 'Idempotency-Key': `${String(project.projectId)}-${String(n)}` },
    }),
  ];
  const deadlocks = async (): Promise<string> =>
    (
      await api.db.sql<{ n: string }>(`SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()`)
    )[0]?.n ?? '';
  const before = await deadlocks();
  const replies = await Promise.all(Array.from({ length: 25 }, (_, n) => send(n)).flat());
  for (const { status, text } of replies) expect([status < 500, text]).toEqual([true, text]);
  await api.db.sql('SELECT pg_stat_clear_snapshot()');
  expect(await deadlocks()).toBe(before);
  const { head, faults } = await api.app.get(AuditVerifier).verify(project.projectId);
  expect(faults).toEqual([]);
  expect(head.number).toBeGreaterThan(50n);
});
