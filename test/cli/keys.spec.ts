import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase } from '../harness/database.js';
import { ADMIN_KEY, Stowage, type Ended } from './stowage.js';

/** A server, and beside it commands that open the same embedded database. */
let stowage: Stowage;
let origin: string;

beforeAll(async () => {
  stowage = await Stowage.make({ STOWAGE_ADMIN_KEY: ADMIN_KEY });
  origin = await stowage.serve();
});
afterAll(() => stowage.remove());

function run(...args: string[]): Promise<Ended> {
  return stowage.run(args);
}

async function statusOf(path: string, key: string): Promise<number> {
  return (await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': key } })).status;
}

/** The server has just seen the key, and may remember it for five seconds. */
async function untilRefused(path: string, key: string): Promise<void> {
  for (let waitedMs = 0; (await statusOf(path, key)) !== 401; waitedMs += 100) {
    expect(waitedMs).toBeLessThan(5_500);
    await sleep(100);
  }
}

describe('stowage project and stowage key', () => {
  it('makes a project and a key for it, alone on standard output, that the running server takes', async () => {
    const made = await run('project', 'create', 'acme');
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/^\d+ {2}acme\n$/);
    const [id = ''] = made.stdout.split(' ');

    // By its name and by its id.
    const roles = ['--role', 'analyst', '--name', 'reader'];
    for (const key of await Promise.all(
      ['acme', id].map((project) => run('key', 'create', '--project', project, ...roles)),
    )) {
      expect(key).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stw_analyst_\w+\n$/) });
      expect(await statusOf('objects', key.stdout.trim())).toBe(200);
    }

    const { stdout } = await run('project', 'list');
    expect(stdout).toMatch(new RegExp(`^${id} +acme `, 'm'));
    expect(stdout).toMatch(/^\d+ +default /m);
  });

  it('makes an operator key of no project', async () => {
    const { code, stdout } = await run('key', 'create', '--role', 'operator');
    expect(code).toBe(0);
    expect(await statusOf('projects', stdout.trim())).toBe(200);
    expect(await statusOf('objects', stdout.trim())).toBe(403);
  });

  it('lists the keys of a project without the keys, and revokes one for every server', async () => {
    const { stdout: made } = await run('key', 'create', '--role', 'analyst', '--name', 'to go');
    const key = made.trim();
    expect(await statusOf('objects', key)).toBe(200);

    const listed = await run('key', 'list');
    expect(listed.stdout).not.toContain(key);
    const [line = ''] = /^.* to go$/m.exec(listed.stdout) ?? [];
    expect(line).toContain(key.slice(0, 'stw_analyst_'.length + 4));
    const [keyId = ''] = line.split(' ');

    expect(await run('key', 'revoke', '--project', 'default', keyId)).toMatchObject({ code: 0 });
    const [again] = await Promise.all([run('key', 'revoke', keyId), untilRefused('objects', key)]);
    expect(again).toMatchObject({
      code: 1,
      stderr: 'stowage: There is no such key in this project.\n',
    });
  });

  it.each([
    ['a project of a name that exists', 1, ['project', 'create', 'default'], 'There is a project "default" already.'],
    ['a project without a name', 2, ['project', 'create', ''], '<name> must be text of 1 to 255 characters'],
    [
      'a key of a project that is not there',
      1,
      ['key', 'create', '--role', 'admin', '--project', 'x'],
      'there is no project "x"',
    ],
    ['a key of a role that is none', 2, ['key', 'create', '--role', 'boss'], '--role must be one of admin, '],
    ['a device key of no device', 2, ['key', 'create', '--role', 'device'], '--device is required for the role device'],
    [
      'a key of the past',
      2,
      ['key', 'create', '--role', 'admin', '--expires', '2001-01-01T00:00:00Z'],
      '--expires must be in the future',
    ],
    [
      'an operator key of a project',
      2,
      ['key', 'create', '--role', 'operator', '--project', 'x'],
      '--role operator takes no --project',
    ],
  ])('refuses %s in one line', async (_, code, args, line) => {
    const ended = await run(...args);
    expect(ended.stderr).toMatch(/^stowage: .*\n$/);
    expect(ended.stderr).toContain(line);
    expect(ended).toMatchObject({ code, stdout: '' });
  });
});

describe('stowage device', () => {
  it('makes a device with a key, alone on standard output, moves it, which ends the key, and lists it', async () => {
    const made = await run('device', 'create', 'd 1');
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^stw_device_\w+\n$/) });
    expect(made.stderr).toMatch(/^made the device d 1 in the project default; its key \d+ is shown this once:\n$/);
    const key = made.stdout.trim();
    expect(await statusOf('jobs', key)).toBe(200);

    await run('project', 'create', 'elsewhere');
    const moved = await run('device', 'move', 'd 1', '--to', 'elsewhere');
    expect(moved).toMatchObject({ code: 0, stderr: '' });
    expect(moved.stdout).toMatch(/^the device d 1 is in the project elsewhere; .*\n$/);
    const listed = await run('device', 'list', '--project', 'elsewhere');
    expect(listed.stdout).toMatch(/^CREATED_AT +DEVICE_ID\n\S+Z +d 1\n$/);
    const [taken] = await Promise.all([run('device', 'create', 'd 1'), untilRefused('jobs', key)]);
    expect(taken).toEqual({ code: 1, stdout: '', stderr: 'stowage: There is a device "d 1" already.\n' });
  });

  it.each([
    ['a device without an id', 2, ['device', 'create', ''], '<device_id> must be text of 1 to 255 characters'],
    ['to move a device that is not there', 1, ['device', 'move', 'x', '--to', 'default'], 'There is no such device.'],
    [
      'a key of a device that is not there',
      2,
      ['key', 'create', '--role', 'device', '--device', 'x'],
      '--device names no device of this project',
    ],
  ])('refuses %s in one line', async (_, code, args, line) => {
    const ended = await run(...args);
    expect(ended.stderr).toMatch(/^stowage: .*\n$/);
    expect(ended.stderr).toContain(line);
    expect(ended).toMatchObject({ code, stdout: '' });
  });
});

describe('stowage migrate', () => {
  it('makes the tables of an empty database, says so, and changes nothing when it runs again', async () => {
    const db = await cloneDatabase('template1');
    try {
      const { host, port, user, database } = db.address;
      const settings = {
        DATABASE_URL: `postgresql://${user}@${encodeURIComponent(host)}:${String(port)}/${database}`,
        STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      };
      const first = await stowage.run(['migrate'], settings);
      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(first.stdout).toMatch(/^ran \d+ migrations?\nthe tables are up to date\n$/m);
      expect(await db.sql('SELECT FROM projects')).toEqual([]);
      const second = await stowage.run(['migrate'], settings);
      expect(second).toMatchObject({ code: 0, stderr: '' });
      expect(second.stdout).not.toContain('ran ');
    } finally {
      await db.close();
    }
  });
});
