import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { createDatabase, dropDatabase, Tables } from '../harness/tables.js';

interface Start {
  /** The keys that the start prints. */
  printed: { admin?: string; operator?: string };
  /** The printed lines about the fixtures. */
  fixtureLines: string[];
  get: (path: string, key: string) => Promise<Response>;
}

const FIXTURES = join(process.cwd(), 'fixtures');
const ADMIN_KEY = 'given-to-the-admin-by-a-setting-0123456789';
const OPERATOR_KEY = 'given-to-the-operator-by-a-setting-0123456789';

let db: Tables;
let servers: TestApi[] = [];

beforeEach(async () => {
  db = new Tables(await createDatabase());
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  servers = [];
  await db.close();
  await dropDatabase(db.address);
});

/** Starts a server with these settings, on the same database as the previous starts. */
async function start(settings: Record<string, string> = {}): Promise<Start> {
  const server = await TestApi.startOn(db, { STOWAGE_OPERATOR_KEY: '', ...settings });
  servers.push(server);
  const printed = Object.fromEntries(
    server.printedLines.flatMap((line) => {
      const [, role, key] = /^(admin|operator) key.*: +(\S+)$/.exec(line) ?? [];
      return role === undefined ? [] : [[role, key]];
    }),
  ) as Start['printed'];
  const fixtureLines = server.printedLines.filter((line) => line.includes('fixtures'));
  const get = (path: string, key: string): Promise<Response> =>
    fetch(`${server.origin}/api/v1${path}`, { headers: { 'X-Api-Key': key } });
  return { printed, fixtureLines, get };
}

/** The role and project of each key, except the keys of the fixtures' devices. */
async function keys(): Promise<string[]> {
  const rows = await db.sql<{ key: string }>(
    `SELECT role || ' of ' || coalesce(p.name, 'all') AS key FROM api_keys LEFT JOIN projects AS p USING (project_id)
     WHERE device_id IS NULL ORDER BY key_id`,
  );
  return rows.map(({ key }) => key);
}

describe('the first start', () => {
  it('creates the project "default", an admin key and an operator key, once', async () => {
    const first = await start();
    expect(first.printed).toEqual({
      admin: expect.stringMatching(/^stw_admin_/),
      operator: expect.stringMatching(/^stw_operator_/),
    });
    await start();
    expect(await keys()).toEqual(['admin of default', 'operator of all']);
    expect((await first.get('/batches', first.printed.admin ?? '')).status).toBe(200);
    expect((await first.get('/projects', first.printed.operator ?? '')).status).toBe(200);
  });

  it('creates each once when two servers start concurrently, and both print the same keys', async () => {
    const [one, two] = await Promise.all([start({ STOWAGE_SEED: 'true' }), start({ STOWAGE_SEED: 'true' })]);
    expect(one.printed).toEqual({ admin: expect.any(String), operator: expect.any(String) });
    expect(two.printed).toEqual(one.printed);
    expect(await keys()).toEqual(['admin of default', 'operator of all']);
    expect([...one.fixtureLines, ...two.fixtureLines]).toHaveLength(1);
  });

  it.each(['admin', 'operator'] as const)(
    'prints the same keys at every start until the %s key is used',
    async (role) => {
      const { printed } = await start();
      const second = await start();
      expect(second.printed).toEqual(printed);
      const path = role === 'admin' ? '/batches' : '/projects';
      expect((await second.get(path, second.printed[role] ?? '')).status).toBe(200);
      expect((await start()).printed).toEqual({});
    },
  );

  it('stores no key, and nothing that reveals one without the key secret', async () => {
    const { printed } = await start();
    const rows = JSON.stringify(await db.sql(`SELECT to_jsonb(k) FROM api_keys AS k`));
    for (const key of [printed.admin ?? '', printed.operator ?? '']) {
      expect(rows).not.toContain(key.slice(key.lastIndexOf('_') + 5));
    }
    expect((await start({ STOWAGE_KEY_SECRET: 'another secret of the tests, 32 characters' })).printed).toEqual({});
  });

  it('deletes the data from which the keys are derived when one of them is used', async () => {
    const { printed, get } = await start();
    await get('/batches', printed.admin ?? '');
    expect(await db.sql('SELECT FROM api_keys WHERE nonce IS NOT NULL')).toEqual([]);
  });

  it('no longer prints a key when another key with its role is used, but still prints the other key', async () => {
    const { printed } = await start();
    const { get } = await start({ STOWAGE_ADMIN_KEY: ADMIN_KEY });
    expect((await get('/batches', ADMIN_KEY)).status).toBe(200);
    expect((await start()).printed).toEqual({ operator: printed.operator });
  });

  it('prints no revoked key, and creates no replacement', async () => {
    await start();
    await db.sql('UPDATE api_keys SET revoked_at = now()');
    expect((await start()).printed).toEqual({});
    expect(await keys()).toEqual(['admin of default', 'operator of all']);
  });

  it('creates no second project when its project was renamed', async () => {
    const { printed, get } = await start({ STOWAGE_SEED: 'true' });
    expect((await get('/projects', printed.operator ?? '')).status).toBe(200);
    await db.sql(`UPDATE projects SET name = 'renamed'`);
    expect(await start({ STOWAGE_SEED: 'true' })).toMatchObject({ printed: {}, fixtureLines: [] });
    expect(await keys()).toEqual(['admin of renamed', 'operator of all']);
  });

  it('uses a project "default" that was created after its project was deleted', async () => {
    await start();
    await db.sql('UPDATE projects SET is_default = false');
    await start();
    expect(await db.sql('SELECT name, is_default FROM projects')).toEqual([{ name: 'default', is_default: true }]);
  });

  it('prints no expired key', async () => {
    const { printed } = await start();
    await db.sql(`UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE role = 'admin'`);
    expect((await start()).printed).toEqual({ operator: printed.operator });
  });

  it('prints no key that an operator has rotated', async () => {
    const settings = { STOWAGE_OPERATOR_KEY: OPERATOR_KEY };
    const { printed } = await start(settings);
    expect(printed).toEqual({ admin: expect.any(String) });
    const [row] = await db.sql<{ path: string }>(
      `SELECT '/projects/' || project_id || '/keys/' || key_id || '/rotate' AS path FROM api_keys WHERE role = 'admin'`,
    );
    const rotated = await servers[0]?.call('POST', row?.path ?? '', { key: OPERATOR_KEY, body: {} });
    expect(rotated?.status).toBe(201);
    expect((await start(settings)).printed).toEqual({});
  });
});

describe('keys from settings', () => {
  const settings = { STOWAGE_ADMIN_KEY: ADMIN_KEY, STOWAGE_OPERATOR_KEY: OPERATOR_KEY };

  it('are accepted unchanged and not printed', async () => {
    const first = await start(settings);
    expect(first.printed).toEqual({});
    expect((await first.get('/batches', ADMIN_KEY)).status).toBe(200);
    expect((await first.get('/projects', OPERATOR_KEY)).status).toBe(200);
    expect((await first.get('/projects', ADMIN_KEY)).status).toBe(403);
    await start(settings);
    expect(await keys()).toEqual(['admin of default', 'operator of all']);
  });

  it('do not appear in the list of keys, even in part', async () => {
    const { get } = await start(settings);
    const projects = (await (await get('/projects', OPERATOR_KEY)).json()) as { results: { project_id: number }[] };
    const list = await (await get(`/projects/${String(projects.results[0]?.project_id)}/keys`, OPERATOR_KEY)).text();
    expect(list).toContain('"first admin"');
    expect(list).not.toContain(ADMIN_KEY.slice(0, 8));
  });

  it('stay revoked', async () => {
    await start(settings);
    await db.sql(`UPDATE api_keys SET revoked_at = now() WHERE role = 'admin'`);
    const { get } = await start(settings);
    expect((await get('/batches', ADMIN_KEY)).status).toBe(401);
    expect((await get('/projects', OPERATOR_KEY)).status).toBe(200);
  });

  it('work together with the keys of an earlier start', async () => {
    const { printed } = await start();
    const { get } = await start(settings);
    expect((await get('/batches', ADMIN_KEY)).status).toBe(200);
    expect((await get('/batches', printed.admin ?? '')).status).toBe(200);
  });
});

describe('the fixtures', () => {
  const seeding = { STOWAGE_SEED: 'true', STOWAGE_ADMIN_KEY: ADMIN_KEY };

  async function batchIds({ get }: Start): Promise<string[]> {
    const page = (await (await get('/batches?page_size=1000', ADMIN_KEY)).json()) as {
      results: { batch_id: string }[];
    };
    return page.results.map(({ batch_id }) => batch_id).sort();
  }

  async function fixtures(): Promise<Record<string, unknown>[]> {
    const files = (await readdir(FIXTURES)).filter((file) => file.endsWith('.json'));
    return Promise.all(files.map(async (file) => JSON.parse(await readFile(join(FIXTURES, file), 'utf8')) as never));
  }

  /** The id of the batch of a fixture; a file of a feed is stored in the batch of that feed. */
  function batchOf(fixture: Record<string, unknown>): { batch_id: string; objects: unknown[] } {
    const [[name, list] = ['', []]] = Object.entries(fixture);
    const today = new Date().toISOString().slice(0, 10);
    const lists = list as Record<string, unknown[]>[];
    if (name === 'devices') return { batch_id: `firmware-${today}`, objects: lists.flatMap(({ events }) => events) };
    if (name === 'rooms') return { batch_id: `temperatures-${today}`, objects: lists.flatMap(({ hourly }) => hourly) };
    const isFeed = name === 'factories' || name === 'sprockets';
    return (isFeed ? { batch_id: name, objects: list } : fixture) as never;
  }

  it('are loaded once, completely and unchanged', async () => {
    const first = await start(seeding);
    const expected = (await fixtures()).map(batchOf);
    const objects = expected.reduce((sum, batch) => sum + batch.objects.length, 0);
    expect(first.fixtureLines).toEqual([
      `loaded fixtures: ${String(objects)} objects of ${String(expected.length)} files`,
    ]);
    expect(await batchIds(first)).toEqual(expected.map(({ batch_id }) => batch_id).sort());
    for (const batch of expected) {
      if (/^(factories|sprockets|firmware-.*|temperatures-.*)$/.test(batch.batch_id)) continue;
      const read = await first.get(`/batches/${encodeURIComponent(batch.batch_id)}`, ADMIN_KEY);
      expect(await read.json()).toEqual(batch);
    }
    expect((await start(seeding)).fixtureLines).toEqual([]);
  });

  it('of factories and sprockets are returned by the routes of these feeds', async () => {
    const { get } = await start(seeding);
    const listed = async (path: string, member: string): Promise<object[]> => {
      const list = (await (await get(path, ADMIN_KEY)).json()) as Record<string, { id?: string }[]>;
      return (list[member] ?? []).map(({ id: _, ...one }) => one);
    };
    const [factories] = (await fixtures()).filter((fixture) => 'factories' in fixture);
    const [sprockets] = (await fixtures()).filter((fixture) => 'sprockets' in fixture);
    expect({ factories: await listed('/factories', 'factories') }).toEqual(factories);
    expect({ sprockets: (await listed('/sprockets', 'results')).reverse() }).toEqual(sprockets);
  });

  it('contain devices with events, and rooms with readings of the last seven days', async () => {
    const { get } = await start(seeding);
    const read = async (path: string): Promise<unknown> => (await get(path, ADMIN_KEY)).json();
    expect(await read('/devices')).toMatchObject({ count: 5 });
    expect(await read('/firmware?device_id=till-2&page_size=1')).toMatchObject([{ version: '2.3.1', status: null }]);
    const average = '/buildings/workshop/rooms/cold%20store/temperatures/average?duration=';
    expect(await read(`${average}1w`)).toMatchObject({ reading_count: 168 });
    expect(await read(`${average}1h`)).toMatchObject({ reading_count: 1 });
  });

  it('are not loaded again after they are deleted', async () => {
    await start(seeding);
    await db.sql('DELETE FROM objects');
    await db.sql('DELETE FROM batches');
    const second = await start(seeding);
    expect([second.fixtureLines, await batchIds(second)]).toEqual([[], []]);
  });

  it('are completed by the next start if a start is interrupted while it loads them', async () => {
    const first = await start(seeding);
    const [kept = ''] = await batchIds(first);
    await db.sql('UPDATE projects SET seeded_at = NULL');
    await db.sql('DELETE FROM objects WHERE batch_id <> $1', [kept]);
    await db.sql('DELETE FROM batches WHERE batch_id <> $1', [kept]);
    const wanted = (await fixtures()).map((fixture) => batchOf(fixture).batch_id).sort();
    expect(await batchIds(await start(seeding))).toEqual(wanted);
  });

  it('are not loaded if the setting is false, or by default with DATABASE_URL', async () => {
    for (const settings of [{ STOWAGE_SEED: 'false' }, {}]) {
      const started = await start({ STOWAGE_ADMIN_KEY: ADMIN_KEY, ...settings });
      expect([started.fixtureLines, await batchIds(started)]).toEqual([[], []]);
    }
  });
});
