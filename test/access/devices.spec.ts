import { setTimeout as sleep } from 'node:timers/promises';
import { COMMAND_LINE } from '#audit';
import { KeyService } from '#access';
import { Config } from '#platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createApp } from '../../apps/api/create-app.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { Reply, TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { TestApp } from '../harness/app.js';
import { lastStatusWithin } from './moved-clock.js';
import { cloneDatabase } from '../harness/database.js';

interface Device {
  device_id: string;
  project_id: number;
  created_at: string;
}

interface CreatedDevice {
  device_id: string;
  key_id: string;
  key: string;
}

interface Page {
  count: number;
  next: string | null;
  previous: string | null;
  results: Device[];
}

let api: TestApp;
let mine: TestProject;
let theirs: TestProject;
let created = 0;

beforeAll(async () => {
  api = await TestApp.start();
  [mine, theirs] = [await api.project(), await api.project()];
});
afterAll(() => api.stop());

function create(device_id: unknown, { keys }: TestProject = mine): Promise<Reply> {
  return api.call('POST', '/devices', { key: keys.admin, body: { device_id } });
}

/** Creates a device for one test. */
async function device(project = mine): Promise<CreatedDevice> {
  const reply = await create(`created-${String(++created)}`, project);
  expect(reply.status).toBe(201);
  return reply.json<CreatedDevice>();
}

function read(deviceId: string, { keys }: TestProject = mine): Promise<Reply> {
  return api.call('GET', `/devices/${encodeURIComponent(deviceId)}`, { key: keys.analyst });
}

async function list(path: string, { keys }: TestProject = mine): Promise<Page> {
  const reply = await api.call('GET', path, { key: keys.analyst });
  expect(reply.status).toBe(200);
  return reply.json<Page>();
}

function move(deviceId: string, { projectId }: Pick<TestProject, 'projectId'>): Promise<Reply> {
  const body = { project_id: projectId };
  return api.call('PATCH', `/devices/${encodeURIComponent(deviceId)}`, { key: api.operatorKey, body });
}

function makeKey(device_id: string, { projectId, keys }: TestProject = mine): Promise<Reply> {
  const body = { name: 'another', role: 'device', device_id };
  return api.call('POST', `/projects/${String(projectId)}/keys`, { key: keys.admin, body });
}

async function statusOf(key: string, origin = api.origin): Promise<number> {
  return (await api.call('GET', `${origin}/api/v1/jobs`, { key })).status;
}

/** A problem without the members that differ for each request. */
function stableParts(reply: Reply): unknown {
  return { ...reply.json<object>(), request_id: '', instance: '' };
}

describe('POST /devices', () => {
  it('creates a device with a working key and returns its Location', async () => {
    const reply = await create('thermometer');
    expect(reply.status).toBe(201);
    expect(reply.json()).toEqual({
      device_id: 'thermometer',
      key_id: expect.stringMatching(/^\d+$/),
      key: expect.stringMatching(/^stw_device_[0-9A-Za-z]{36}$/),
    });
    expect(await statusOf(reply.json<CreatedDevice>().key)).toBe(200);
    const location = reply.headers.get('location') ?? '';
    expect((await api.call('GET', location, { key: mine.keys.analyst })).json()).toEqual({
      device_id: 'thermometer',
      project_id: mine.projectId,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  it('returns the key only once; it is listed with the keys of the project and can be revoked', async () => {
    const { key, key_id, device_id } = await device();
    const path = `/projects/${String(mine.projectId)}/keys`;
    const keys = await api.call('GET', `${path}?page_size=1000`, { key: mine.keys.admin });
    const { results } = keys.json<{ results: { key_id: string; prefix: string }[] }>();
    const listed = results.find((one) => one.key_id === key_id);
    expect(listed).toMatchObject({ role: 'device', device_id, expires_at: null });
    expect(keys.text).not.toContain(key.slice(listed?.prefix.length));
    expect((await api.call('DELETE', `${path}/${key_id}`, { key: mine.keys.admin })).status).toBe(204);
    expect(await statusOf(key)).toBe(401);
    expect((await read(device_id)).status).toBe(200);
  });

  it('returns the same 409 for an id that exists in its own or another project, and creates no key', async () => {
    const keysOf = async (id: string): Promise<object[]> =>
      api.db.sql('SELECT key_id FROM api_keys WHERE device_id = $1', [id]);
    const { device_id } = await device();
    const own = await create(device_id);
    const others = await create(device_id, theirs);
    expect(placesOf(expectProblem(own, 'conflict'))).toEqual(['/device_id']);
    expect(stableParts(others)).toEqual(stableParts(own));
    expect(own.text).not.toContain(String(mine.projectId));
    expect(await keysOf(device_id)).toHaveLength(1);
    expectProblem(await read(device_id, theirs), 'not-found');
  });

  it('creates one device with one key for concurrent requests with the same id from two projects', async () => {
    const replies = await Promise.all(Array.from({ length: 10 }, (_, i) => create('wanted', i % 2 ? mine : theirs)));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(9).fill(409)]);
    expect(await api.db.sql(`SELECT FROM api_keys WHERE device_id = 'wanted'`)).toHaveLength(1);
    const winner = replies.findIndex(({ status }) => status === 201) % 2 ? mine : theirs;
    expect((await read('wanted', winner)).status).toBe(200);
  });

  it('stores a device together with its key or not at all', async () => {
    // Fails at COMMIT, after both INSERTs.
    await api.db.sql('CREATE TABLE nowhere (id integer PRIMARY KEY)');
    await api.db.sql(`
      ALTER TABLE devices ADD CONSTRAINT late FOREIGN KEY (project_id) REFERENCES nowhere
        DEFERRABLE INITIALLY DEFERRED NOT VALID`);
    const reply = await create('half');
    await api.db.sql('DROP TABLE nowhere CASCADE');
    expectProblem(reply, 'internal');
    expect(await api.db.sql(`SELECT FROM api_keys WHERE device_id = 'half'`)).toEqual([]);
    expect((await create('half')).status).toBe(201);
  });

  it.each(['x'.repeat(255), '😀'.repeat(255), ' ', '...', 'a/b', '00:1B:44', 'Ünïcode "quoted" \\ <b>', 'Thermometer'])(
    'accepts the id %s',
    async (id) => {
      expect((await create(id)).json()).toMatchObject({ device_id: id });
      expect((await read(id)).json()).toMatchObject({ device_id: id });
    },
  );

  it.each(['', 'x'.repeat(256), '😀'.repeat(256), 'a\nb', '\u0000', '\u0085', 1, null, ['a'], undefined])(
    'rejects the id %j',
    async (id) => {
      expect(placesOf(expectProblem(await create(id), 'invalid-body'))).toEqual(['/device_id']);
    },
  );
});

describe('GET /devices', () => {
  it('lists every device of the project once, newest first, through next and previous', async () => {
    const project = await api.project();
    const ids = [project.deviceId];
    for (let i = 0; i < 4; i++) ids.unshift((await device(project)).device_id);
    const all = await list('/devices', project);
    expect(all).toMatchObject({ count: 5, count_is: 'exact', next: null, previous: null });
    expect(all.results.map(({ device_id }) => device_id)).toEqual(ids);
    const first = await list('/devices?page_size=3', project);
    const second = await list(first.next ?? '', project);
    expect([...first.results, ...second.results]).toEqual(all.results);
    expect((await list(second.previous ?? '', project)).results).toEqual(first.results);
  });

  it("rejects the cursor of another project's list", async () => {
    await device(theirs);
    const { search } = new URL((await list('/devices?page_size=1', theirs)).next ?? '');
    const reply = await api.call('GET', `/devices${search}`, { key: mine.keys.analyst });
    expect(placesOf(expectProblem(reply, 'invalid-cursor'))).toEqual(['cursor']);
  });
});

describe('a device of another project', () => {
  it('is hidden from every read and list', async () => {
    const { device_id } = await device(theirs);
    expect(stableParts(await read(device_id))).toEqual(stableParts(await read('nothing')));
    expectProblem(await read(device_id), 'not-found');
    const ids = (await list('/devices?page_size=1000')).results.map((one) => one.device_id);
    expect(ids).toContain(mine.deviceId);
    expect(ids).not.toContain(device_id);
  });

  it('gets no key; the error is the same as for a missing device', async () => {
    const { device_id } = await device(theirs);
    const others = await makeKey(device_id);
    expect(placesOf(expectProblem(others, 'invalid-body'))).toEqual(['/device_id']);
    expect(stableParts(others)).toEqual(stableParts(await makeKey('nothing')));
    expect(await api.db.sql('SELECT FROM api_keys WHERE device_id = $1', [device_id])).toHaveLength(1);
  });
});

describe('moving a device', () => {
  it('shows it in the new project and hides it from the old one', async () => {
    const { device_id } = await device();
    const before = (await read(device_id)).json<Device>();
    const after = { ...before, project_id: theirs.projectId };
    const reply = await move(device_id, theirs);
    expect([reply.status, reply.json()]).toEqual([200, after]);
    expect((await read(device_id, theirs)).json()).toEqual(after);
    expect(stableParts(await read(device_id))).toEqual(stableParts(await read('nothing')));
    expect((await list('/devices?page_size=1000')).results).not.toContainEqual(before);
    expect((await list('/devices?page_size=1000', theirs)).results).toContainEqual(after);
  });

  it('revokes all its keys immediately, even cached ones; they get the response of an unknown key', async () => {
    const first = await device();
    const second = (await makeKey(first.device_id)).json<CreatedDevice>();
    const other = await device();
    for (const { key } of [first, second, other]) expect(await statusOf(key)).toBe(200);
    await move(first.device_id, theirs);
    const unknown = await api.call('GET', '/jobs', { key: 'unknown' });
    for (const { key } of [first, second]) {
      const reply = await api.call('GET', '/jobs', { key });
      expectProblem(reply, 'unauthenticated');
      expect([stableParts(reply), reply.headers.get('www-authenticate')]).toEqual([
        stableParts(unknown),
        unknown.headers.get('www-authenticate'),
      ]);
    }
    expect(await statusOf(other.key)).toBe(200);
    await move(first.device_id, mine);
    expect(await statusOf(first.key)).toBe(401);
  });

  it('allows the new project, and no longer the old one, to create keys', async () => {
    const { device_id } = await device();
    await move(device_id, theirs);
    expectProblem(await makeKey(device_id, mine), 'invalid-body');
    const key = await makeKey(device_id, theirs);
    expect([key.status, await statusOf(key.json<CreatedDevice>().key)]).toEqual([201, 200]);
  });

  it('to its current project changes nothing', async () => {
    const { device_id, key } = await device();
    const reply = await move(device_id, mine);
    expect([reply.status, reply.json()]).toEqual([200, (await read(device_id)).json()]);
    expect(await statusOf(key)).toBe(200);
  });

  it('accepts application/merge-patch+json', async () => {
    const { device_id } = await device();
    const headers = { 'Content-Type': 'application/merge-patch+json' };
    const body = { project_id: theirs.projectId };
    const reply = await api.call('PATCH', `/devices/${device_id}`, { key: api.operatorKey, body, headers });
    expect([reply.status, (await read(device_id, theirs)).status]).toEqual([200, 200]);
  });

  it('to an unknown project is rejected and changes nothing', async () => {
    const { device_id, key } = await device();
    expect(placesOf(expectProblem(await move(device_id, { projectId: 1 }), 'invalid-body'))).toEqual(['/project_id']);
    expect([(await read(device_id)).status, await statusOf(key)]).toEqual([200, 200]);
  });

  it.each([0, -1, 1.5, 2 ** 31, '1', null, undefined])('rejects the project %j', async (project_id) => {
    const options = { key: api.operatorKey, body: { project_id } };
    const reply = await api.call('PATCH', `/devices/${mine.deviceId}`, options);
    expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/project_id']);
  });

  it('returns 404 for an unknown device', async () => {
    expectProblem(await move('nothing', mine), 'not-found');
  });

  it('honours If-Match and If-None-Match', async () => {
    const { device_id, key } = await device();
    const etag = (await read(device_id)).headers.get('etag') ?? '';
    const body = { project_id: theirs.projectId };
    const patch = (headers: Record<string, string>, id = device_id): Promise<Reply> =>
      api.call('PATCH', `/devices/${id}`, { key: api.operatorKey, body, headers });
    for (const headers of [{ 'If-Match': '"old"' }, { 'If-None-Match': '*' }, { 'If-None-Match': etag }]) {
      const reply = await patch(headers);
      expectProblem(reply, 'precondition-failed');
      expect(reply.headers.get('etag')).toBe(etag);
    }
    expect([(await read(device_id)).status, await statusOf(key)]).toEqual([200, 200]);
    expectProblem(await patch({ 'If-Match': '*' }, 'nothing'), 'not-found');
    const moved = await patch({ 'If-Match': etag });
    expect(moved.status).toBe(200);
    expect(moved.headers.get('etag')).toBe((await read(device_id, theirs)).headers.get('etag'));
    expect(moved.headers.get('etag')).not.toBe(etag);
    expectProblem(await patch({ 'If-Match': etag }), 'precondition-failed');
  });

  describe('on another process', () => {
    let other: NestFastifyApplication;

    beforeAll(async () => {
      const settings = {
        DATABASE_URL: 'postgresql://test',
        STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      };
      other = await createApp(new Config(settings), api.db);
      await other.listen(0, '127.0.0.1');
    });
    afterAll(() => other.close());

    it('revokes its keys within 5 seconds, even keys in constant use', async () => {
      const { device_id, key } = await device();
      const origin = await other.getUrl();
      expect(await statusOf(key, origin)).toBe(200);
      await move(device_id, theirs);
      expect(await lastStatusWithin(5_000, () => statusOf(key, origin))).toBe(401);
    });
  });
});

describe('a key that is created while its device moves', () => {
  /** Waits until `count` connections wait for a lock. */
  async function waitForLockWaits(count: number): Promise<void> {
    const end = Date.now() + 30_000;
    while (Date.now() < end) {
      if ((await countLockWaits(api.db)) >= count) return;
      await sleep(10);
    }
    throw new Error('no request waits for a lock');
  }

  /** Runs requests while another transaction holds a lock, and commits that transaction when `waiting` of them wait. */
  async function runWhileLocked<T>(
    lock: string,
    values: unknown[],
    waiting: number,
    start: () => Promise<T>,
  ): Promise<T> {
    // Records that the keys were used. This is written at most once a minute, so it cannot wait for the lock later.
    await Promise.all([read('nothing'), makeKey('nothing'), move('nothing', mine)]);
    let running: Promise<T> | undefined;
    await api.db.database.transactionOnce(async (tx) => {
      await tx.query(lock, values);
      running = start();
      await waitForLockWaits(waiting);
    });
    if (running === undefined) throw new Error('the transaction did not run');
    return running;
  }

  it('is rejected when the move commits first', async () => {
    const { device_id } = await device();
    const moving = 'UPDATE devices SET project_id = $2 WHERE device_id = $1';
    const reply = await runWhileLocked(moving, [device_id, theirs.projectId], 1, () => makeKey(device_id));
    expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual(['/device_id']);
  });

  it('is revoked when the key commits first', async () => {
    const { device_id } = await device();
    const [key, moved] = await runWhileLocked('LOCK TABLE api_keys IN SHARE MODE', [], 2, async () => {
      const making = makeKey(device_id);
      await waitForLockWaits(1);
      return Promise.all([making, move(device_id, theirs)]);
    });
    expect([key.status, moved.status]).toEqual([201, 200]);
    expect(await statusOf(key.json<CreatedDevice>().key)).toBe(401);
  });

  it('by a rotation is not created when the move commits first', async () => {
    const { device_id, key_id } = await device();
    let rotating: Promise<Reply> | undefined;
    await api.db.database.transactionOnce(async (tx) => {
      await tx.query('UPDATE devices SET project_id = $2 WHERE device_id = $1', [device_id, theirs.projectId]);
      const path = `/projects/${String(mine.projectId)}/keys/${key_id}/rotate`;
      rotating = api.call('POST', path, { key: mine.keys.admin, body: {} });
      await waitForLockWaits(1);
      await tx.query('UPDATE api_keys SET revoked_at = now() WHERE device_id = $1', [device_id]);
    });
    expect((await rotating)?.status).toBe(409);
    expect(await api.db.sql('SELECT FROM api_keys WHERE device_id = $1', [device_id])).toHaveLength(1);
  });

  it('keeps working in the new project when the same move is requested twice concurrently', async () => {
    const { device_id } = await device();
    let key = '';
    let again: Promise<Reply> | undefined;
    await api.db.database.transactionOnce(async (tx) => {
      await tx.query('UPDATE devices SET project_id = $2 WHERE device_id = $1', [device_id, theirs.projectId]);
      again = move(device_id, theirs);
      await waitForLockWaits(1);
      const { projectId } = theirs;
      const newKey = { projectId, role: 'device', name: 'n', deviceId: device_id } as const;
      ({ key } = (await api.app.get(KeyService).createIn(tx, newKey, COMMAND_LINE)).created);
    });
    expect([(await again)?.status, await statusOf(key)]).toEqual([200, 200]);
  });

  it('never works in the old project, in any order of the requests', async () => {
    for (let round = 0; round < 5; round++) {
      const { device_id } = await device();
      const [moved, ...keys] = await Promise.all([
        move(device_id, theirs),
        ...Array.from({ length: 6 }, () => makeKey(device_id)),
      ]);
      expect(moved.status).toBe(200);
      for (const reply of keys) {
        expect([201, 400]).toContain(reply.status);
        if (reply.status === 201) expect(await statusOf(reply.json<CreatedDevice>().key)).toBe(401);
      }
    }
  });
});

describe('the migration of device keys that were created before the table devices', () => {
  it('assigns the device to the project of its oldest working key and revokes the keys of other projects', async () => {
    const db = await cloneDatabase();
    try {
      const { dataSource } = db.database;
      const hasDevices = async (): Promise<boolean> =>
        (await db.sql(`SELECT FROM pg_tables WHERE schemaname = 'public' AND tablename = 'devices'`)).length > 0;
      while (await hasDevices()) await dataSource.undoLastMigration();
      await db.sql(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'one'), (2, 2, 'two')`);
      await db.sql(`
        INSERT INTO api_keys (key_id, project_id, role, name, prefix, hash, device_id, revoked_at)
        SELECT id, project, CASE WHEN device IS NULL THEN 'admin' ELSE 'device' END, 'n', 'p', id::text::bytea, device, gone
        FROM (VALUES (1, 1, 'a', now()), (2, 2, 'a', NULL), (3, 1, 'a', NULL), (4, 2, 'a', NULL), (5, 1, NULL, NULL))
          AS k (id, project, device, gone)`);
      await dataSource.runMigrations();
      expect(await db.sql('SELECT project_id, device_id, seq FROM devices')).toEqual([
        { project_id: 2, device_id: 'a', seq: '2' },
      ]);
      const working = await db.sql('SELECT key_id FROM api_keys WHERE revoked_at IS NULL ORDER BY key_id');
      expect(working).toEqual([{ key_id: '2' }, { key_id: '4' }, { key_id: '5' }]);
    } finally {
      await db.close();
    }
  });
});
