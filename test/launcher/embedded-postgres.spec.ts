import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { transformFile } from '@swc/core';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../libs/database/src/embedded-postgres.js';
import { findPrograms, repairPackage } from '../../libs/database/src/postgres-programs.js';
import { startTimeOf } from '../../libs/database/src/postmaster.js';
import { StartupError } from '../../libs/platform/src/startup-error.js';
import { addressOfEmbedded } from '../harness/embedded.js';

/** Without fsync, which protects against crashes of the machine: these tests simulate none. */
const SETTINGS = { fsync: 'off', shared_buffers: '16MB' };
const AS_ROOT = process.geteuid?.() === 0;

/** The program of a process that is killed: it starts the server, prints a line, and then runs until it is killed. */
const OWNER = `
import { startEmbeddedPostgres } from './embedded-postgres.js';
const settings = ${JSON.stringify(SETTINGS)};
await startEmbeddedPostgres({ dataDir: process.argv[2], say: (line) => console.log(line), settings });
console.log('ready');
setInterval(() => undefined, 1_000);
`;

let home: string;
/** The cluster that most tests use, sequentially. */
let shared: string;
let printedLines: string[] = [];
const handles: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'launcher-'));
  await chmod(home, 0o755);
  shared = join(home, 'shared');
  for (const path of [
    'platform/src/startup-error',
    ...[
      'error-code',
      'stat-of',
      'postmaster',
      'postgres-passwords',
      'postgres-programs',
      'run-as',
      'postgres-cluster',
      'open-server',
      'embedded-postgres',
    ].map((name) => `database/src/${name}`),
  ]) {
    const jsc = { target: 'es2023', parser: { syntax: 'typescript' } } as const;
    const { code } = await transformFile(resolve(`libs/${path}.ts`), { jsc, module: { type: 'es6' } });
    await writeFile(join(home, `${basename(path)}.js`), code);
  }
  await writeFile(join(home, 'package.json'), '{ "type": "module", "imports": { "#platform": "./startup-error.js" } }');
  await writeFile(join(home, 'owner.js'), OWNER);
  await symlink(resolve('node_modules'), join(home, 'node_modules'));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(handles.splice(0).map((handle) => handle.stop()));
  printedLines = [];
});

afterAll(() => rm(home, { recursive: true, force: true, maxRetries: 3 }));

async function start(dataDir: string, settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  const say = (line: string): void => void printedLines.push(line);
  const handle = await startEmbeddedPostgres({ dataDir, say, settings: { ...SETTINGS, ...settings } });
  handles.push(handle);
  return handle;
}

async function query(handle: Pick<EmbeddedPostgres, 'address'>, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ ...handle.address, ssl: false });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows.flatMap((row) => Object.values(row));
  } finally {
    await client.end();
  }
}

/** Starts the server in another process, and resolves when that process prints the line. */
async function startElsewhere(dataDir: string, until: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(home, 'owner.js'), dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  for await (const chunk of child.stdout) if (String(chunk).includes(until)) break;
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = new Promise((settle) => child.once('exit', settle));
  child.kill('SIGKILL');
  await exited;
}

async function until<T>(check: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let i = 0; i < 100; i++) {
    const result = await check();
    if (result !== undefined) return result;
    await sleep(100);
  }
  return undefined;
}

/** The uid of a new cluster here: see usersForRoot. */
function expectedUid(): number | undefined {
  if (!AS_ROOT) return process.geteuid?.();
  const unshare = ['--user', '--map-user=65534', '--map-group=65534', 'true'];
  if (spawnSync('unshare', unshare, { uid: 65_525, gid: 65_525 }).status === 0) return 65_525;
  return spawnSync('unshare', unshare).status === 0 ? 0 : 65_534;
}

/** Passes over the draft of the password file, which has a name of this kind too. */
function isUnfinishedCluster(name: string): boolean {
  return /^half\.initdb-[^/]+\/$/.test(name);
}

/** The names in a folder and in its folders, which end with a slash. */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.map(async (entry) => {
    if (!entry.isDirectory()) return [entry.name];
    const inside = await readdir(join(folder, entry.name)).catch(() => []);
    return [`${entry.name}/`, ...inside.map((name) => `${entry.name}/${name}`)];
  });
  return (await Promise.all(names)).flat();
}

async function postmasterPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postmaster.pid'), 'utf8'), 10);
}

async function startError(start: Promise<unknown>): Promise<string> {
  const error: unknown = await start.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StartupError);
  const { message } = error as StartupError;
  expect(message).not.toContain('\n');
  return message;
}

describe('the embedded PostgreSQL', () => {
  it('creates a database at the first start, and keeps its data for the next', async () => {
    const first = await start(shared);
    expect(printedLines).toEqual([expect.stringContaining('creating the database in'), 'starting PostgreSQL 18']);
    expect(first.adopted).toBe(false);
    await query(first, 'CREATE TABLE kept AS SELECT 1 AS n');
    expect(await query(first, 'SHOW server_encoding')).toEqual(['UTF8']);
    expect(await query(first, `SELECT string_agg(x, '' ORDER BY x) FROM unnest('{b,B,ä,a}'::text[]) x`)).toEqual([
      'Babä',
    ]);
    const pid = await postmasterPid(shared);
    await Promise.all([first.stop(), first.stop()]);
    expect(await startTimeOf(pid)).toBeUndefined();
    expect(await readFile(join(shared, 'postgres.log'), 'utf8')).toContain('database system is shut down');

    const second = await start(shared);
    expect(second.adopted).toBe(false);
    expect(await query(second, 'SELECT n FROM kept')).toEqual([1]);
  });

  it('runs with the settings that make commits durable', async () => {
    const handle = await startEmbeddedPostgres({ dataDir: shared, say: () => undefined });
    handles.push(handle);
    const promises = ['fsync', 'synchronous_commit', 'full_page_writes'];
    for (const setting of promises) expect(await query(handle, `SHOW ${setting}`)).toEqual(['on']);
    await handle.stop();
  });

  it('has its socket in a directory that only its own user may enter', async () => {
    const { address } = await start(shared);
    const dir = await stat(address.host);
    expect([dir.mode & 0o077, dir.uid]).toEqual([0, (await stat(shared)).uid]);
    expect((await stat(join(address.host, '.s.PGSQL.5432'))).mode & 0o777).toBe(0o700);
  });

  it('belongs to a user that runs no other program, or without user namespaces to nobody', async () => {
    expect((await stat(shared)).uid).toBe(expectedUid());
  });

  it('adopts the server of a killed process, and stops it', async () => {
    await kill(await startElsewhere(shared, 'ready'));
    const pid = await postmasterPid(shared);

    const taken = await start(shared);
    expect(taken.adopted).toBe(true);
    expect(await postmasterPid(shared)).toBe(pid);
    expect(await query(taken, 'SELECT n FROM kept')).toEqual([1]);
    await taken.stop();
    expect(await startTimeOf(pid)).toBeUndefined();
  });

  it('is not stopped by Ctrl-C in the process that started it', async () => {
    await start(shared);
    const pid = await postmasterPid(shared);
    // Throws ESRCH unless the postmaster has a process group of its own.
    expect(process.kill(-pid, 0)).toBe(true);
  });

  it('recovers committed data after PostgreSQL is killed, when the processes of the previous server have ended', async () => {
    const first = await start(shared);
    await query(first, 'INSERT INTO kept VALUES (2)');
    const busy = new pg.Client(first.address);
    busy.on('error', () => undefined);
    await busy.connect();
    const loop = `DO $$ DECLARE t timestamptz := clock_timestamp() + '1500 ms';
      BEGIN WHILE clock_timestamp() < t LOOP END LOOP; END $$`;
    const work = busy.query(loop).catch(() => undefined);
    const isBusy = `SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'`;
    while ((await query(first, isBusy)).length === 0) await sleep(10);
    process.kill(await postmasterPid(shared), 'SIGKILL');

    const second = await start(shared);
    expect(second.adopted).toBe(false);
    expect(printedLines).toContain('waiting for the processes of the former server to end');
    expect(await query(second, 'SELECT n FROM kept ORDER BY n')).toEqual([1, 2]);
    await work;
  });

  it('restarts if a process of the killed server hangs', async () => {
    const first = await start(shared);
    const hung = new pg.Client(first.address);
    hung.on('error', () => undefined);
    await hung.connect();
    const { rows } = await hung.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    process.kill(rows[0]?.pid ?? 0, 'SIGSTOP');
    process.kill(await postmasterPid(shared), 'SIGKILL');

    const second = await start(shared);
    expect(printedLines).toContain('killed the processes that did not end');
    expect(await query(second, 'SELECT n FROM kept ORDER BY n')).toEqual([1, 2]);
  });

  it('is restarted at the same address if it is killed while a process uses it', async () => {
    const handle = await start(shared);
    const pid = await postmasterPid(shared);
    process.kill(pid, 'SIGKILL');
    const rows = await until(() => query(handle, 'SELECT n FROM kept ORDER BY n').catch(() => undefined));
    expect(rows).toEqual([1, 2]);
    expect(printedLines).toContain('PostgreSQL has ended unexpectedly');
    const next = await postmasterPid(shared);
    expect(next).not.toBe(pid);
    await handle.stop();
    expect(await startTimeOf(next)).toBeUndefined();
  });

  it('is not restarted if it is killed immediately before it is stopped', async () => {
    const handle = await start(shared);
    const pid = await postmasterPid(shared);
    process.kill(pid, 'SIGKILL');
    while ((await startTimeOf(pid)) !== undefined) await sleep(10);
    await handle.stopIfUnused();
    await sleep(1_500);
    expect(await startTimeOf(await postmasterPid(shared))).toBeUndefined();
  });

  it('starts after both the process and PostgreSQL were killed', async () => {
    const child = await startElsewhere(shared, 'ready');
    const pid = await postmasterPid(shared);
    await kill(child);
    process.kill(pid, 'SIGKILL');

    const next = await start(shared);
    expect(next.adopted).toBe(false);
    expect(await query(next, 'SELECT n FROM kept ORDER BY n')).toEqual([1, 2]);
  });

  it.each([
    ['an unrelated process, which keeps running', 'echo $$; exec sleep 60', true],
    ['a zombie', 'sleep 0.1 & echo $!; exec sleep 60', false],
  ])('starts despite stale locks with the process id of %s', async (_, script, lives) => {
    const { uid, gid } = await stat(shared);
    const user = AS_ROOT ? { uid, gid } : {};
    const other = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'], ...user });
    children.push(other);
    let pid = 0;
    for await (const chunk of other.stdout) {
      pid = Number(chunk);
      break;
    }
    while (!lives && (await startTimeOf(pid)) !== undefined) await sleep(20);
    const lock = `${String(pid)}\n${shared}\n1\n5432\n${shared}\n`;
    await writeFile(join(shared, 'postmaster.pid'), `${lock}\n1 1\nready   \n`);
    await writeFile(join(shared, '.s.PGSQL.5432.lock'), lock);

    const handle = await start(shared);
    expect(handle.adopted).toBe(false);
    expect(await postmasterPid(shared)).not.toBe(pid);
    expect(printedLines).toEqual(['starting PostgreSQL 18']);
    await handle.stop();
    expect((await startTimeOf(pid)) !== undefined).toBe(lives);
    expect(process.kill(pid, 0)).toBe(true);
  });

  it('starts despite an empty lock file after a power loss', async () => {
    await writeFile(join(shared, 'postmaster.pid'), '');
    expect((await start(shared)).adopted).toBe(false);
  });

  it('is created and started by one of several concurrent starts, and adopted by the others', async () => {
    const dataDir = join(home, 'contested');
    const here = Promise.all([start(dataDir), start(dataDir)]);
    await startElsewhere(dataDir, 'ready');
    const [a, b] = await here;
    const rivals = [a, b].filter(({ adopted }) => !adopted).length;
    expect(rivals).toBeLessThanOrEqual(1);
    expect(printedLines.filter((line) => line.startsWith('creating')).length).toBeLessThanOrEqual(1);
    expect(await query(a, 'SELECT count(*)::int FROM pg_database')).toEqual([4]);
    expect(await query(b, 'SELECT pg_postmaster_start_time()')).toEqual(
      await query(a, 'SELECT pg_postmaster_start_time()'),
    );
    expect((await readdir(home)).filter((name) => name.includes('.initdb-'))).toEqual([]);
  });

  it('is stopped by a short command only if no other process uses it', async () => {
    const server = await start(shared);
    const command = await start(shared);
    expect(command.adopted).toBe(true);
    await command.stopIfUnused();
    expect(await query(server, 'SELECT 1')).toEqual([1]);

    const pid = await postmasterPid(shared);
    await server.stopIfUnused();
    expect(await startTimeOf(pid)).toBeUndefined();
  });

  it('is not stopped by a short command while a superuser is connected', async () => {
    const command = await start(shared);
    const backup = new pg.Client({ ...(await addressOfEmbedded(shared, 'postgres')), ssl: false });
    await backup.connect();
    await command.stopIfUnused();
    expect((await backup.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await backup.end();
    await (await start(shared)).stop();
  });

  it.each([
    ['stored the passwords', (names: string[]) => names.includes('half.pgpass')],
    ['created the directory', (names: string[]) => names.some(isUnfinishedCluster)],
    ['created the files', (names: string[]) => names.some((name) => name.endsWith('/PG_VERSION'))],
  ])('is created by the next start if a start is killed when it has %s', async (_, isReached) => {
    const folder = await mkdtemp(join(home, 'killed-'));
    await chmod(folder, 0o755);
    const dataDir = join(folder, 'half');
    const child = await startElsewhere(dataDir, 'creating');
    while (!isReached(await namesIn(folder))) await sleep(1);
    await kill(child);
    await expect(lstat(dataDir)).rejects.toThrow('ENOENT');
    const passwords = await readFile(`${dataDir}.pgpass`, 'utf8');

    const handle = await start(dataDir);
    expect(await query(handle, 'SELECT 1')).toEqual([1]);
    expect((await readdir(folder)).sort()).toEqual(['half', 'half.pgpass']);
    expect(await readFile(`${dataDir}.pgpass`, 'utf8')).toBe(passwords);
  });

  it('runs repeatedly in a folder that other users may not enter', async () => {
    const closed = join(home, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const dataDir = join(closed, 'db');
    await (await start(dataDir)).stop();
    // As root it runs in a user namespace, in which PostgreSQL is another user; the files belong to root.
    expect((await stat(dataDir)).uid).toBe(process.geteuid?.());
    const again = await start(dataDir);
    expect(again.adopted).toBe(false);
    expect(await query(again, 'SELECT 1')).toEqual([1]);
  });

  it('has its socket in a private directory if the path is too long for a socket', async () => {
    const dataDir = join(home, 'x'.repeat(110));
    const first = await start(dataDir);
    const { host } = first.address;
    expect(await query(first, 'SELECT 1')).toEqual([1]);
    expect((await stat(host)).mode & 0o777).toBe(0o700);
    await first.stop();
    await expect(stat(host)).rejects.toThrow('ENOENT');

    // Another user could have created that directory earlier.
    await mkdir(host);
    await chmod(host, 0o777);
    expect(await startError(start(dataDir))).toMatch(/belongs to another user: remove it/);
    await rm(host, { recursive: true });
    if (!AS_ROOT) return; // only root can change the owner of a directory
    await mkdir(host, { mode: 0o700 });
    await chown(host, 1234, 1234);
    expect(await startError(start(dataDir))).toMatch(/belongs to another user: remove it/);
    await rm(host, { recursive: true });
  });
});

describe('the password file', () => {
  it('belongs to the user of this process, with access for no other, and stays the same', async () => {
    const path = `${shared}.pgpass`;
    const { mode, uid } = await stat(path);
    expect([mode & 0o777, uid]).toEqual([0o600, process.geteuid?.()]);
    const content = await readFile(path, 'utf8');
    expect(content).toMatch(/^\*:\*:\*:postgres:[\w-]{43}\n\*:\*:\*:stowage:[\w-]{43}\n$/);
    await start(shared);
    expect(await readFile(path, 'utf8')).toBe(content);
  });

  it.each([
    ['is missing', (path: string) => rm(path), /has no password file .*shared\.pgpass: restore it/],
    ['is empty', (path: string) => writeFile(path, ''), /does not contain a password for .*stowage: restore it/],
    ['may be read by others', (path: string) => chmod(path, 0o644), /other users: run "chmod 600 /],
    ['is a directory', (path: string) => rm(path).then(() => mkdir(path, { mode: 0o700 })), /cannot be read/],
    [
      'belongs to another database',
      (path: string) => writeFile(path, `*:*:*:postgres:${'a'.repeat(43)}\n*:*:*:stowage:${'b'.repeat(43)}\n`),
      /rejects the password in .*shared\.pgpass: restore the file/,
    ],
  ])('ends a start with one line and no server if it %s', async (_, change, expected) => {
    const path = `${shared}.pgpass`;
    const content = await readFile(path, 'utf8');
    const passwords = Array.from(content.matchAll(/[\w-]{43}/g), String);
    try {
      await change(path);
      const message = await startError(start(shared));
      expect(message).toMatch(expected);
      for (const password of [...passwords, 'aaaa', 'bbbb']) expect(message).not.toContain(password);
      await expect(stat(join(shared, 'postmaster.pid'))).rejects.toThrow('ENOENT');
    } finally {
      await rm(path, { recursive: true, force: true });
      await writeFile(path, content, { mode: 0o600 });
    }
    expect(await query(await start(shared), 'SELECT n FROM kept ORDER BY n')).toEqual([1, 2]);
  });
});

describe('the one-line error of a failed start', () => {
  it('names the version of PostgreSQL that created the database', async () => {
    const dataDir = join(home, 'old');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'PG_VERSION'), '17\n');
    expect(await startError(start(dataDir))).toMatch(/created by PostgreSQL 17, this is 18/);
  });

  it('reports a folder with other files, in which nothing is changed', async () => {
    const dataDir = join(home, 'documents');
    await mkdir(dataDir, { mode: 0o755 });
    await writeFile(join(dataDir, 'letter.txt'), 'dear reader');
    expect(await startError(start(dataDir))).toMatch(/is not empty and contains no database/);
    expect([await readdir(dataDir), (await stat(dataDir)).mode & 0o777]).toEqual([['letter.txt'], 0o755]);
  });

  it('names a path where no folder can be created', async () => {
    const file = join(home, 'file');
    await writeFile(file, '');
    expect(await startError(start(file))).toContain(file);
    expect(await startError(start(join(file, 'db')))).toContain(join(file, 'db'));
  });

  it('contains the last error of PostgreSQL', async () => {
    expect(await startError(start(shared, { shared_buffers: 'plenty' }))).toMatch(
      /FATAL: invalid value for .*"shared_buffers"/,
    );
  });

  it('names the missing package and the alternative on an unsupported platform', async () => {
    expect(await startError(findPrograms('aix', 'ppc64'))).toMatch(/@embedded-postgres\/aix-ppc64.*DATABASE_URL/);
  });
});

it('completes a package that was installed without scripts', async () => {
  const root = join(home, 'package');
  await mkdir(join(root, 'native/bin'), { recursive: true });
  await mkdir(join(root, 'native/lib'));
  const links = [{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }];
  await writeFile(join(root, 'native/pg-symlinks.json'), JSON.stringify(links));
  for (const name of ['initdb', 'postgres']) await writeFile(join(root, 'native/bin', name), '', { mode: 0o644 });
  await Promise.all([repairPackage(root), repairPackage(root)]);
  expect(await readlink(join(root, 'native/lib/libpq.so.5'))).toBe('libpq.so.5.18');
  expect((await stat(join(root, 'native/bin/postgres'))).mode & 0o777).toBe(0o755);
});
