import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { encrypt } from './encrypted-project.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
  await encrypt(api, project, ['name', 'a.b', 'owner']);
  const data = { name: 'Ada', type: 'shoe', 'a.b': 1, owner: { city: 'Lyon' }, a: { c: 2 } };
  const body = { batch_id: 'b', objects: [{ object_id: 'o', data }] };
  expect((await api.call('POST', '/batches', { key: project.keys.admin, body })).status).toBe(201);
});
afterAll(() => api.stop());

const get = (path: string): Promise<Reply> => api.call('GET', path, { key: project.keys.admin });
const query = (parameters: Record<string, string>): string => new URLSearchParams(parameters).toString();

/** What an error is about: the parameter or pointer, and its text. */
function errorOf(reply: Reply, slug: 'invalid-query' | 'invalid-body'): string[] {
  expectProblem(reply, slug);
  const { errors } = reply.json<{ errors: { parameter?: string; pointer?: string; detail: string }[] }>();
  return errors.map(({ parameter, pointer, detail }) => `${parameter ?? pointer ?? ''}: ${detail}`);
}

const ENCRYPTED = 'needs the values of the key "name", which are encrypted';

describe('a condition on the values of an encrypted key', () => {
  it.each<[Record<string, string>, string]>([
    [{ key: 'name', value: 'Ada' }, `value: ${ENCRYPTED}`],
    [{ data: '{"name":"Ada"}' }, `data: is invalid at /name: ${ENCRYPTED}`],
    [{ data: '{"name":{"$gt":1}}' }, `data: is invalid at /name/$gt: ${ENCRYPTED}`],
    [{ data: '{"name":{"$in":["Ada"]}}' }, `data: is invalid at /name/$in: ${ENCRYPTED}`],
    [{ data: '{"name":{"$ne":"Ada"}}' }, `data: is invalid at /name/$ne: ${ENCRYPTED}`],
    [{ data: '{"name":{"$contains":"A"}}' }, `data: is invalid at /name/$contains: ${ENCRYPTED}`],
    [
      { data: '{"$or":[{"type":"shoe"},{"$pair":{"key":"name","value":1}}]}' },
      `data: is invalid at /$or/1/$pair/value: ${ENCRYPTED}`,
    ],
    [
      { data: '{"owner.city":"Lyon"}' },
      'data: is invalid at /owner.city: leads into the values of the key "owner", which are encrypted; only $pair in the parameter data takes dots literally',
    ],
    [
      { key: 'owner.city' },
      'key: leads into the values of the key "owner", which are encrypted; only $pair in the parameter data takes dots literally',
    ],
    [{ data: '{"a.b":1}' }, 'data: is invalid at /a.b: needs the values of the key "a.b", which are encrypted'],
  ])('is rejected by every route that filters: %j', async (parameters, error) => {
    for (const path of ['/objects', '/objects/export', '/batches', '/objects/changes'])
      expect(errorOf(await get(`${path}?${query(parameters)}`), 'invalid-query')).toEqual([error]);
    const deletion = await api.call('DELETE', `/objects?max_affected=1&${query(parameters)}`, {
      key: project.keys.admin,
    });
    expect(errorOf(deletion, 'invalid-query')).toEqual([error]);
    const { data } = parameters;
    if (data === undefined) return;
    for (const path of ['/objects/facets?key=type', '/objects/aggregate?op=count'])
      expect(errorOf(await get(`${path}&${query(parameters)}`), 'invalid-query')).toEqual([error]);
    const search = { key: project.keys.analyst, body: `{"data":${data}}` };
    const [parameter = '', pointer = ''] = /^data: is invalid at (.*?): /.exec(error) ?? [];
    expect(errorOf(await api.call('POST', '/objects/search', search), 'invalid-body')).toEqual([
      `/data${pointer}: ${error.slice(parameter.length)}`,
    ]);
  });

  it.each([
    ['/objects?sort=-data.name', 'sort'],
    ['/objects/export?sort=data.name', 'sort'],
    ['/objects/facets?key=name', 'key'],
    ['/objects/aggregate?op=count&key=name', 'key'],
    ['/objects/aggregate?op=sum&key=name', 'key'],
    ['/objects/aggregate?op=count&by=data.name', 'by'],
    ['/objects/aggregate?op=count&by=subject&series=data.name', 'series'],
  ])('is rejected where they are sorted, counted or aggregated: %s', async (path, parameter) => {
    expect(errorOf(await get(path), 'invalid-query')).toEqual([`${parameter}: ${ENCRYPTED}`]);
  });

  it('is rejected in the body of a search that sorts', async () => {
    const search = { key: project.keys.analyst, body: { sort: 'data.name' } };
    const errors = errorOf(await api.call('POST', '/objects/search', search), 'invalid-body');
    expect(errors).toEqual([`/sort: ${ENCRYPTED}`]);
  });

  it('is rejected by a deletion that began before the key was encrypted, and nothing is deleted', async () => {
    const other = await api.project();
    const { admin } = other.keys;
    const body = { batch_id: 'b', objects: [{ object_id: 'o', data: { name: 'Ada' } }] };
    expect((await api.call('POST', '/batches', { key: admin, body })).status).toBe(201);
    const path = `/objects?max_affected=1&${query({ data: '{"name":{"$ne":"Eve"}}' })}`;
    const deletion = await api.db.transaction(async (tx) => {
      await tx.query('SELECT FROM batches WHERE project_id = $1 FOR UPDATE', [other.projectId]);
      const [{ pid }] = (await tx.query('SELECT pg_backend_pid() AS pid')) as [{ pid: number }];
      const sent = api.call('DELETE', path, { key: admin });
      await waitFor(async () => {
        const waiting = 'SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))';
        return (await api.db.sql(waiting, [pid])).length > 0 || undefined;
      });
      await encrypt(api, other, ['name']);
      return { sent };
    });
    expect(errorOf(await deletion.sent, 'invalid-query')).toEqual([`data: is invalid at /name/$ne: ${ENCRYPTED}`]);
    expect((await api.call('GET', '/objects/o', { key: admin })).status).toBe(200);
  });

  it('is rejected in the threshold of a webhook', async () => {
    const threshold = { op: 'max', key: 'name', bucket: '1h', compare: { $gt: 1 } };
    const body = { name: 'w', url: 'https://hooks.example.com/', events: ['threshold.reached'], threshold };
    const reply = await api.call('POST', '/webhooks', { key: project.keys.admin, body });
    expect(errorOf(reply, 'invalid-body')).toEqual([`/threshold/key: ${ENCRYPTED}`]);
  });

  it('is rejected as a key of the list while the threshold of a webhook needs its values', async () => {
    const other = await api.project();
    const threshold = { op: 'max', key: 'hall.heat', bucket: '1h', compare: { $gt: 1 } };
    const body = { name: 'hot', url: 'https://hooks.example.com/', events: ['threshold.reached'], threshold };
    const created = await api.call('POST', '/webhooks', {
      key: other.keys.admin,
      body: { ...body, is_enabled: false },
    });
    const { webhook_id: id } = created.json<{ webhook_id: string }>();
    const list = (keys: string[]): Promise<Reply> =>
      api.call('PATCH', `/projects/${String(other.projectId)}`, {
        key: api.operatorKey,
        body: { encrypted_keys: keys },
        headers: { 'Content-Type': 'application/merge-patch+json' },
      });
    expect(errorOf(await list(['free', 'hall.heat']), 'invalid-body')).toEqual([
      `/encrypted_keys/1: "hall.heat" cannot be encrypted: the threshold of the webhook "hot" (${id}) needs its values`,
    ]);
    // The threshold takes its key literally.
    expect((await list(['free', 'hall'])).status).toBe(200);
    await api.call('DELETE', `/webhooks/${id}`, { key: other.keys.admin });
    expect((await list(['free', 'hall.heat'])).status).toBe(200);
  });

  it.each([
    'key=name',
    'key=type&value=shoe',
    'data={"name":{"$exists":true}}',
    'data={"type":"shoe"}',
    'data={"a.c":2}',
  ])('is none where only its existence or another key matters: %s', async (parameters) => {
    const reply = await get(`/objects?${encodeURI(parameters)}`);
    expect([reply.status, reply.json<{ results: object[] }>().results.length]).toEqual([200, 1]);
  });
});

describe('the list of keys', () => {
  it('names encrypted keys without types and examples', async () => {
    const { results } = (await get('/objects/keys')).json<{ results: { key: string }[] }>();
    const byKey = (name: string): unknown => results.find(({ key }) => key === name);
    expect(byKey('name')).toEqual({ key: 'name', objects: 1, types: [], encrypted: true });
    expect(byKey('type')).toEqual({ key: 'type', objects: 1, types: ['string'], example: 'shoe' });
  });
});

describe('the list of encrypted keys of a project', () => {
  const patch = (body: object): Promise<Reply> =>
    api.call('PATCH', `/projects/${String(project.projectId)}`, { key: api.operatorKey, body });

  it.each([
    [[], '/encrypted_keys'],
    ['name', '/encrypted_keys'],
    [['name', 'name'], '/encrypted_keys'],
    [[''], '/encrypted_keys'],
    [['x'.repeat(256)], '/encrypted_keys'],
    [[7], '/encrypted_keys'],
    [Array.from({ length: 101 }, (_, index) => `k${String(index)}`), '/encrypted_keys'],
    [['name', 'temperature', 'status'], '/encrypted_keys/1'],
  ])('is rejected with a pointer where it is not valid: %j', async (keys, pointer) => {
    for (const reply of [
      await patch({ encrypted_keys: keys }),
      await api.call('POST', '/projects', { key: api.operatorKey, body: { name: 'never', encrypted_keys: keys } }),
    ])
      expect(errorOf(reply, 'invalid-body')[0]?.split(':')[0]).toBe(pointer);
  });

  it('has none of the keys that feeds store and query', async () => {
    const keys = ['version', 'status', 'building', 'room', 'time', 'teeth'];
    expect(errorOf(await patch({ encrypted_keys: keys }), 'invalid-body')).toEqual(
      keys.map((key, n) => `/encrypted_keys/${String(n)}: "${key}" cannot be encrypted: a feed stores and queries it`),
    );
  });

  it('is shown, changed, removed and audited', async () => {
    const name = `encrypted-${String(project.projectId)}`;
    const body = { name, encrypted_keys: ['b', '😀'.repeat(255)] };
    const created = await api.call('POST', '/projects', { key: api.operatorKey, body });
    const { project_id: id } = created.json<{ project_id: number }>();
    const path = `/projects/${String(id)}`;
    expect(created.json()).toMatchObject({ encrypted_keys: body.encrypted_keys, encryption_pending: true });
    const send = async (encryptedKeys: string[] | null): Promise<unknown> => {
      const options = { key: api.operatorKey, body: { encrypted_keys: encryptedKeys } };
      return (await api.call('PATCH', path, options)).json();
    };
    expect(await send(['a', 'b'])).toMatchObject({ encrypted_keys: ['a', 'b'] });
    expect(await send(null)).toMatchObject({ encrypted_keys: null });
    const shown = await api.call('GET', path, { key: api.operatorKey });
    expect(shown.json()).toMatchObject({ project_id: id, encrypted_keys: null });
    const entries = await api.db.sql<{ details: string }>(
      `SELECT details FROM audit_entries WHERE action = 'project.update' AND target_id = $1 ORDER BY number`,
      [String(id)],
    );
    expect(entries.map(({ details }) => JSON.parse(details) as unknown)).toEqual([
      { encrypted_keys: { from: body.encrypted_keys, to: ['a', 'b'] } },
      { encrypted_keys: { from: ['a', 'b'], to: null } },
    ]);
  });

  it('is rejected where more than 100 removed keys would have values that are still to be decrypted', async () => {
    const other = await api.project();
    const list = (first: string, count: number): string[] =>
      Array.from({ length: count }, (_, index) => `${first}${String(index)}`);
    const send = (keys: string[] | null): Promise<Reply> =>
      api.call('PATCH', `/projects/${String(other.projectId)}`, {
        key: api.operatorKey,
        body: { encrypted_keys: keys },
      });
    for (const keys of [list('a', 100), list('b', 100)]) expect((await send(keys)).status).toBe(200);
    for (const [keys, count] of [
      [null, 200],
      [list('b', 99), 101],
    ] as const) {
      const reply = await send(keys);
      expectProblem(reply, 'conflict');
      const detail = `would leave ${String(count)} removed keys whose values are still to be decrypted; at most 100 are allowed`;
      expect(reply.json()).toMatchObject({ errors: [{ pointer: '/encrypted_keys', detail }] });
    }
    // Keys that are listed again are not removed ones.
    const last = [...list('b', 99), 'a0'];
    expect((await send(last)).json()).toMatchObject({ encrypted_keys: last });
    const [row] = await api.db.sql<{ count: number }>(
      `SELECT cardinality(encryption_removed_keys) AS count FROM projects WHERE project_id = $1`,
      [other.projectId],
    );
    expect(row).toEqual({ count: 100 });
  });

  it('cannot have the only key whose numbers hourly rollups hold', async () => {
    const columns = await api.db.sql<{ of: string; sql: string }>(
      `SELECT d.adrelid::regclass || '.' || a.attname AS of, pg_get_expr(d.adbin, d.adrelid) AS sql
       FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
       JOIN pg_class AS c ON c.oid = d.adrelid
       WHERE a.attgenerated <> '' AND a.attnum > 0 AND c.relnamespace = 'public'::regnamespace`,
    );
    expect(columns.map(({ of }) => of)).toEqual(['objects.measure']);
    const keys = [...(columns[0]?.sql ?? '').matchAll(/@\."key" == "([^"]*)"/g)].map(([, key]) => key);
    const measured = keys[0] ?? '';
    expect(new Set(keys)).toEqual(new Set([measured]));
    expect(errorOf(await patch({ encrypted_keys: [measured] }), 'invalid-body')).toEqual([
      `/encrypted_keys/0: "${measured}" cannot be encrypted: a feed stores and queries it`,
    ]);
    const { projectId, keys: apiKeys } = await api.project();
    const object = {
      object_id: 'o',
      subject: 's',
      observed_at: '2024-12-10T05:10:00Z',
      data: { [measured]: 20, heat: 31_337 },
    };
    const options = { key: apiKeys.admin, body: { batch_id: 'old', objects: [object] } };
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
    // Each request asks for rollups of its hours, where it can use them; the last one alone gets some.
    for (const key of ['heat', measured]) {
      const span = query({
        subject: 's',
        observed_from: '2024-12-10T00:00:00Z',
        observed_until: '2024-12-11T00:00:00Z',
      });
      const reply = await api.call('GET', `/objects/aggregate?op=sum&key=${key}&${span}`, { key: apiKeys.admin });
      expect([key, reply.status, reply.json()]).toMatchObject([key, 200, { results: [{ count: 1 }] }]);
    }
    const rollups = await waitFor(async () => {
      const rows = await api.db.sql<{ sum: string }>('SELECT sum FROM rollups WHERE project_id = $1', [projectId]);
      return rows.length > 0 ? rows : undefined;
    });
    expect(rollups).toEqual([{ sum: '20' }]);
  });

  it('can be set by operators only', async () => {
    const options = { key: project.keys.admin, body: { encrypted_keys: ['type'] } };
    expect((await api.call('PATCH', `/projects/${String(project.projectId)}`, options)).status).toBe(403);
  });
});

describe('an aggregate or threshold that takes a key with dots literally', () => {
  const owner = 'owner.count';

  beforeAll(async () => {
    const object = { batch_id: 'b', object_id: 'dots', data: { type: 'dots', [owner]: 3, owner: { count: 'hidden' } } };
    expect((await api.call('POST', '/objects', { key: project.keys.admin, body: object })).status).toBe(201);
  });

  it.each([
    [`op=sum&key=${owner}`, [{ group: null, value: 3, count: 1 }]],
    [`op=count&by=data.${owner}`, [{ group: 3, value: 1, count: 1 }]],
    [`op=count&by=data.type&series=data.${owner}`, [{ group: 'dots', series: 3, value: 1, count: 1 }]],
  ])(
    'is not refused for the encrypted key before the dot, whose values it does not read: %s',
    async (path, results) => {
      const reply = await get(`/objects/aggregate?${path}`);
      expect([reply.status, reply.json()]).toMatchObject([200, { results }]);
    },
  );

  it('is refused where the whole key is encrypted', async () => {
    const error = 'needs the values of the key "a.b", which are encrypted';
    for (const [path, parameter] of [
      ['op=sum&key=a.b', 'key'],
      ['op=count&by=data.a.b', 'by'],
      ['op=count&by=subject&series=data.a.b', 'series'],
    ] as const)
      expect(errorOf(await get(`/objects/aggregate?${path}`), 'invalid-query')).toEqual([`${parameter}: ${error}`]);
  });

  it('is stored as the threshold of a webhook', async () => {
    const threshold = { op: 'max', key: owner, bucket: '1h', compare: { $gt: 1 } };
    const body = { name: 'dots', url: 'https://hooks.example.com/', events: ['threshold.reached'], threshold };
    const options = { key: project.keys.admin, body: { ...body, is_enabled: false } };
    expect((await api.call('POST', '/webhooks', options)).status).toBe(201);
  });
});
