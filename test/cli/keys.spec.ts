import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, dropDatabase, Tables, urlOf } from '../harness/tables.js';
import { ADMIN_KEY, Stowage, type Ended } from './stowage.js';

/** A server; the commands open the same embedded database while it runs. */
let stowage: Stowage;
let origin: string;

beforeAll(async () => {
  stowage = await Stowage.create({ STOWAGE_ADMIN_KEY: ADMIN_KEY });
  origin = await stowage.serve();
});
afterAll(() => stowage.remove());

function run(...args: string[]): Promise<Ended> {
  return stowage.run(args);
}

async function statusOf(path: string, key: string): Promise<number> {
  return (await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': key } })).status;
}

/** Waits until the server rejects a key, which it caches for 5 seconds. */
async function waitUntilRejected(path: string, key: string): Promise<void> {
  for (let waitedMs = 0; (await statusOf(path, key)) !== 401; waitedMs += 100) {
    expect(waitedMs).toBeLessThan(5_500);
    await sleep(100);
  }
}

describe('stowage project and stowage key', () => {
  it('creates a project and a key, prints only the key to standard output, and the running server accepts it', async () => {
    const created = await run('project', 'create', 'acme');
    expect(created.code).toBe(0);
    expect(created.stdout).toMatch(/^\d+ {2}acme\n$/);
    const [id = ''] = created.stdout.split(' ');

    // The project is named by its name and by its id.
    const options = ['--role', 'analyst', '--name', 'reader'];
    for (const key of await Promise.all(
      ['acme', id].map((project) => run('key', 'create', '--project', project, ...options)),
    )) {
      expect(key).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stw_analyst_\w+\n$/) });
      expect(await statusOf('objects', key.stdout.trim())).toBe(200);
    }

    const { stdout } = await run('project', 'list');
    expect(stdout).toMatch(new RegExp(`^${id} +acme `, 'm'));
    expect(stdout).toMatch(/^\d+ +default /m);
  });

  it('does not connect to the Redis of the rate limits', async () => {
    let connections = 0;
    const redis = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => redis.listen(0, '127.0.0.1', resolve));
    const { port } = redis.address() as AddressInfo;
    const settings = { REDIS_URL: `redis://127.0.0.1:${String(port)}`, RATE_LIMIT_ITEMS_PER_MINUTE: '1000' };
    expect(await stowage.run(['key', 'list'], settings)).toMatchObject({ code: 0 });
    await new Promise((resolve) => redis.close(resolve));
    expect(connections).toBe(0);
  });

  it('renames projects, sets their limits and shows their usage, and the running server applies the limits', async () => {
    const [id = ''] = (await run('project', 'create', 'narrow', '--objects-max', '5')).stdout.split(' ');
    const key = (await run('key', 'create', '--project', id, '--role', 'producer')).stdout.trim();
    const post = (id: string): Promise<Response> =>
      fetch(`${origin}/api/v1/batches`, {
        method: 'POST',
        headers: { 'X-Api-Key': key, 'Content-Type': 'application/json' },
        body: JSON.stringify({ batch_id: id, objects: [{ object_id: id, data: { a: 1 } }] }),
      });
    expect((await post('a')).status).toBe(201);
    expect(await run('project', 'set-limits', 'narrow', '--objects-max', '1', '--bytes-max', '1000')).toEqual({
      code: 0,
      stdout: 'objects_max 1, bytes_max 1000, retention_days none\n',
      stderr: '',
    });
    expect((await post('b')).status).toBe(429);
    expect((await run('project', 'usage', id)).stdout).toMatch(
      /^WHAT +USED +LIMIT\nobjects +1 +1\nbytes +23 +1000\nrequests +\d+ +-\n$/,
    );
    expect((await run('project', 'rename', 'narrow', 'wide')).stdout).toBe(`${id}  wide\n`);
    await run('project', 'set-limits', 'wide', '--objects-max', 'none');
    expect((await post('b')).status).toBe(201);
    expect((await run('project', 'list')).stdout).toMatch(new RegExp(`^${id} +wide +\\S+ +none +1000 +none$`, 'm'));
    expect(await run('project', 'set-limits', 'wide', '--bytes-max', 'many')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^stowage: --bytes-max must be a whole number or none, not "many"\n$/),
    });
    expect(await run('project', 'set-limits', 'wide', '--retention-days', '0')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^stowage: --retention-days must be a whole number from 1 to 36,?500\n$/),
    });
    expect(await run('project', 'rename', 'wide', 'default')).toMatchObject({ code: 1, stdout: '' });
  });

  it('creates a canary key, which the server rejects and the list marks', async () => {
    const { code, stdout, stderr } = await run('key', 'create', '--role', 'admin', '--canary', '--name', 'bait');
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^created canary key \d+ in project default;/)]);
    expect(await statusOf('objects', stdout.trim())).toBe(401);
    expect((await run('key', 'list')).stdout).toMatch(/^\d+ +admin .* yes +bait$/m);
    const rotated = await run('key', 'rotate', /\d+/.exec(stderr)?.[0] ?? '');
    expect(rotated).toMatchObject({ code: 0, stderr: expect.stringMatching(/^created canary key \d+, which/) });
    const operator = await run('key', 'create', '--role', 'operator', '--canary');
    expect(operator).toMatchObject({ code: 2, stderr: expect.stringContaining('--role operator takes no') });
  });

  it('creates, lists and revokes operator keys, which belong to no project', async () => {
    const { code, stdout } = await run('key', 'create', '--role', 'operator', '--name', 'to revoke');
    expect(code).toBe(0);
    const key = stdout.trim();
    expect(await statusOf('projects', key)).toBe(200);
    expect(await statusOf('objects', key)).toBe(403);

    const [operators, ofProject] = await Promise.all([run('key', 'list', '--operator'), run('key', 'list')]);
    expect(operators.stdout).not.toContain(key);
    expect(operators.stdout).not.toMatch(/ admin /);
    expect(ofProject.stdout).not.toMatch(/ operator /);
    const [line = ''] = /^.* to revoke$/m.exec(operators.stdout) ?? [];
    expect(line).toContain(key.slice(0, 'stw_operator_'.length + 4));
    const [keyId = ''] = line.split(' ');

    // Without --operator the command searches for the key in the project.
    const inProject = await run('key', 'revoke', keyId);
    expect(inProject).toMatchObject({ code: 1, stderr: 'stowage: Key not found in this project.\n' });
    expect(await run('key', 'revoke', '--operator', keyId)).toMatchObject({ code: 0, stderr: '' });
    const [again, listed] = await Promise.all([
      run('key', 'revoke', '--operator', keyId),
      run('key', 'list', '--operator'),
      waitUntilRejected('projects', key),
    ]);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toMatch(new RegExp(`^${keyId} +operator +revoked .* to revoke$`, 'm'));
  });

  it('lists the keys of a project without secrets, and revokes one on every server', async () => {
    const created = await run('key', 'create', '--role', 'analyst', '--name', 'to go');
    const key = created.stdout.trim();
    expect(await statusOf('objects', key)).toBe(200);

    const listed = await run('key', 'list');
    expect(listed.stdout).not.toContain(key);
    const [line = ''] = /^.* to go$/m.exec(listed.stdout) ?? [];
    expect(line).toContain(key.slice(0, 'stw_analyst_'.length + 4));
    const [keyId = ''] = line.split(' ');

    expect(await run('key', 'revoke', '--project', 'default', keyId)).toMatchObject({ code: 0 });
    await waitUntilRejected('objects', key);
    expect(await run('key', 'revoke', '1')).toMatchObject({
      code: 1,
      stderr: 'stowage: Key not found in this project.\n',
    });
  });

  it('prints one key as the list does, also a revoked one, and an operator key', async () => {
    const scopes = [
      ['--role', 'analyst'],
      ['--role', 'operator'],
    ];
    for (const [index, role] of scopes.entries()) {
      const scope = index === 1 ? ['--operator'] : [];
      const { stderr } = await run('key', 'create', '--name', 'one of many', ...role);
      const [keyId = ''] = /\d+/.exec(stderr) ?? [];
      await run('key', 'revoke', keyId, ...scope);
      const listed = (await run('key', 'list', ...scope)).stdout;
      const [heading = '', line = ''] = (await run('key', 'get', keyId, ...scope)).stdout.split('\n');
      const [, inList = ''] = new RegExp(`^(${keyId} .*)$`, 'm').exec(listed) ?? [];
      expect(line.split(/ {2,}/)).toEqual(inList.split(/ {2,}/));
      expect(heading.split(/ +/)).toEqual(listed.split('\n')[0]?.split(/ +/));
    }
  });

  it('renames a key and changes its expiry, which the running server shows, but does not change a revoked key', async () => {
    const { stdout } = await run('key', 'create', '--role', 'analyst', '--name', 'old name');
    const key = stdout.trim();
    const me = async (): Promise<{ key_id: string; name: string; expires_at: string | null }> => {
      const response = await fetch(`${origin}/api/v1/me`, { headers: { 'X-Api-Key': key } });
      return (await response.json()) as never;
    };
    const { key_id } = await me();
    expect(await run('key', 'rename', key_id, 'new name')).toMatchObject({
      code: 0,
      stdout: `renamed key ${key_id}\n`,
    });
    expect(await run('key', 'expire', '--project', 'default', key_id, '2999-01-01T00:00:00Z')).toMatchObject({
      code: 0,
    });
    expect(await me()).toMatchObject({ name: 'new name', expires_at: '2999-01-01T00:00:00.000Z' });
    expect(await run('key', 'expire', key_id, 'never')).toMatchObject({ code: 0 });
    expect(await me()).toMatchObject({ name: 'new name', expires_at: null });

    await run('key', 'revoke', key_id);
    const rejected = await run('key', 'rename', key_id, 'again');
    expect(rejected).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stowage: The key is revoked/),
    });
  });

  it('rotates a key, prints only the new one to standard output, and the old one works until the overlap ends', async () => {
    const created = await run('key', 'create', '--role', 'analyst', '--name', 'rotated');
    const [keyId = ''] = /\d+/.exec(created.stderr) ?? [];
    const rotated = await run('key', 'rotate', keyId, '--overlap', '60');
    expect(rotated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stw_analyst_\w+\n$/) });
    expect(rotated.stderr).toMatch(
      new RegExp(`^created analyst key \\d+, which replaces ${keyId}; it is shown only once:\n$`),
    );
    for (const { stdout: key } of [created, rotated]) expect(await statusOf('objects', key.trim())).toBe(200);

    expect(await run('key', 'rotate', keyId, '--overlap', '0')).toMatchObject({ code: 0 });
    await waitUntilRejected('objects', created.stdout.trim());
    expect((await run('key', 'list')).stdout).toMatch(new RegExp(`^${keyId} +analyst +expired .* rotated$`, 'm'));
    const rejected = await run('key', 'rotate', keyId);
    expect(rejected).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^stowage: The key is expired/),
    });
  });

  it('rotates an operator key', async () => {
    const created = await run('key', 'create', '--role', 'operator', '--name', 'to rotate');
    const [keyId = ''] = /\d+/.exec(created.stderr) ?? [];
    const rotated = await run('key', 'rotate', '--operator', keyId, '--overlap', '0');
    expect(await statusOf('projects', rotated.stdout.trim())).toBe(200);
    expect(await run('key', 'revoke', '--operator', /\d+/.exec(rotated.stderr)?.[0] ?? '')).toMatchObject({ code: 0 });
  });

  it('renames an operator key, and gives the last one that works no earlier expiry', async () => {
    const [keyId = ''] = /^\d+(?= +operator +active)/m.exec((await run('key', 'list', '--operator')).stdout) ?? [];
    expect(await run('key', 'rename', keyId, 'x')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not found'),
    });
    expect(await run('key', 'rename', '--operator', keyId, 'the last one')).toMatchObject({ code: 0 });
    expect((await run('key', 'list', '--operator')).stdout).toMatch(/ the last one$/m);
    const rejected = await run('key', 'expire', '--operator', keyId, '2999-01-01T00:00:00Z');
    expect(rejected).toMatchObject({ code: 1, stderr: expect.stringMatching(/^stowage: No other operator key works/) });
  });

  it.each([
    [
      'a project with an existing name',
      1,
      ['project', 'create', 'default'],
      'The project name "default" exists already.',
    ],
    [
      'a project whose name looks like an id',
      2,
      ['project', 'create', '123'],
      '<name> must not consist of digits only',
    ],
    ['a project without a name', 2, ['project', 'create', ''], '<name> must be 1 to 255 characters; got 0'],
    [
      'limits without an option',
      2,
      ['project', 'set-limits', 'default'],
      'needs --objects-max, --bytes-max or --retention-days',
    ],
    ['a key of an unknown project', 1, ['key', 'create', '--role', 'admin', '--project', 'x'], 'project "x" not found'],
    ['a key with an unknown role', 2, ['key', 'create', '--role', 'boss'], '--role must be one of admin, '],
    [
      'a device key without a device',
      2,
      ['key', 'create', '--role', 'device'],
      '--device is required for the role device',
    ],
    [
      'a key that is already expired',
      2,
      ['key', 'create', '--role', 'admin', '--expires', '2001-01-01T00:00:00Z'],
      '--expires must be in the future',
    ],
    ['a key without a name', 2, ['key', 'rename', '1', ''], '<name> must be 1 to 255 characters; got 0'],
    ['an expiry in the past', 2, ['key', 'expire', '1', '2001-01-01T00:00:00Z'], '<time> must be in the future'],
    ['an expiry that is not a time', 2, ['key', 'expire', '1', 'soon'], '<time> must be a time such as '],
    [
      'an overlap over a week',
      2,
      ['key', 'rotate', '1', '--overlap', '604801'],
      '--overlap must be a whole number from 0 to 604800',
    ],
    ['an overlap that is no number', 2, ['key', 'rotate', '1', '--overlap', '1h'], '--overlap must be a whole number'],
    ['an unknown key', 1, ['key', 'get', '1'], 'Key not found in this project.'],
    ['an unknown operator key', 1, ['key', 'get', '--operator', '1'], 'not found'],
    ['a change of an unknown key', 1, ['key', 'rename', '1', 'x'], 'Key not found in this project.'],
    [
      'a change of an operator key of a project',
      2,
      ['key', 'rename', '--operator', '--project', 'x', '1', 'x'],
      '--operator takes no --project',
    ],
    [
      'a list of the operator keys of a project',
      2,
      ['key', 'list', '--operator', '--project', 'x'],
      '--operator takes no --project',
    ],
    [
      'an operator key of a project',
      2,
      ['key', 'create', '--role', 'operator', '--project', 'x'],
      '--role operator takes no --project',
    ],
  ])('rejects %s with one line', async (_, code, args, line) => {
    const ended = await run(...args);
    expect(ended.stderr).toMatch(/^stowage: .*\n$/);
    expect(ended.stderr).toContain(line);
    expect(ended).toMatchObject({ code, stdout: '' });
  });
});

describe('stowage device', () => {
  it('creates a device, prints only its key to standard output, moves it, which revokes the key, and lists it', async () => {
    const created = await run('device', 'create', 'd 1');
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stw_device_\w+\n$/) });
    expect(created.stderr).toMatch(/^created device d 1 in project default; its key \d+ is shown only once:\n$/);
    const key = created.stdout.trim();
    expect(await statusOf('jobs', key)).toBe(200);

    await run('project', 'create', 'elsewhere');
    const moved = await run('device', 'move', 'd 1', '--to', 'elsewhere');
    expect(moved).toMatchObject({ code: 0, stderr: '' });
    expect(moved.stdout).toMatch(/^device d 1 is in project elsewhere; .*\n$/);
    const listed = await run('device', 'list', '--project', 'elsewhere');
    expect(listed.stdout).toMatch(/^CREATED_AT +DEVICE_ID\n\S+Z +d 1\n$/);
    expect(await run('device', 'get', 'd 1', '--project', 'elsewhere')).toEqual({ ...listed, stderr: '' });
    const [taken] = await Promise.all([run('device', 'create', 'd 1'), waitUntilRejected('jobs', key)]);
    expect(taken).toEqual({
      code: 1,
      stdout: '',
      stderr: 'stowage: The device id "d 1" exists already; device ids are unique in the installation.\n',
    });
  });

  it.each([
    ['a device without an id', 2, ['device', 'create', ''], '<device_id> must be 1 to 255 characters; got 0'],
    ['an unknown device', 1, ['device', 'get', 'x'], 'Device not found'],
    ['a move of an unknown device', 1, ['device', 'move', 'x', '--to', 'default'], 'Device not found.'],
    [
      'a key of an unknown device',
      2,
      ['key', 'create', '--role', 'device', '--device', 'x'],
      '--device must be a device of this project',
    ],
  ])('rejects %s with one line', async (_, code, args, line) => {
    const ended = await run(...args);
    expect(ended.stderr).toMatch(/^stowage: .*\n$/);
    expect(ended.stderr).toContain(line);
    expect(ended).toMatchObject({ code, stdout: '' });
  });
});

describe('stowage migrate', () => {
  it('migrates an empty database, reports the migrations, and changes nothing when it runs again', async () => {
    const db = new Tables(await createDatabase('template1'));
    try {
      const settings = {
        DATABASE_URL: urlOf(db.address),
        STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      };
      const first = await stowage.run(['migrate'], settings);
      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(first.stdout).toMatch(/^ran \d+ migrations?\nthe database is up to date\n$/m);
      expect(await db.sql('SELECT FROM projects')).toEqual([]);
      const second = await stowage.run(['migrate'], settings);
      expect(second).toMatchObject({ code: 0, stderr: '' });
      expect(second.stdout).not.toContain('ran ');
    } finally {
      await db.close();
      await dropDatabase(db.address);
    }
  });
});

describe('stowage key rotate-secret', () => {
  it('replaces the secret of the data dir; after a restart keys work, and stowage key secret lists those without a use', async () => {
    const used = (await run('key', 'create', '--role', 'analyst', '--name', 'in use')).stdout.trim();
    await run('key', 'create', '--role', 'analyst', '--name', 'idle');
    const rotated = await run('key', 'rotate-secret');
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    expect(rotated.stdout).toMatch(/^created a new key secret; .*\ndelete \S+key-secret-previous when .*\n$/);
    expect(await run('key', 'rotate-secret')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^stowage: a rotation is in progress: .*\n$/),
    });

    origin = await stowage.serve();
    for (const key of [ADMIN_KEY, used]) expect(await statusOf('objects', key)).toBe(200);
    const { stdout } = await run('key', 'secret');
    expect(stdout).toMatch(/^\d+ keys need the previous key secret until the next use\nKEY_ID +PROJECT_ID +ROLE /);
    expect(stdout).toMatch(/^\d+ +\d+ +analyst +never +idle$/m);
    expect(stdout).not.toContain('in use');
  });

  it('is rejected where the secret is a setting', async () => {
    const settings = { STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters' };
    expect(await stowage.run(['key', 'rotate-secret'], settings)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the key secret is a setting'),
    });
  });
});
