import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { addressOfEmbedded } from '../harness/embedded.js';
import { RECORDED, RUN } from '../harness/run.js';
import { urlOf } from '../harness/tables.js';

/** The built product, which `npm start` runs. */
const MAIN = join(process.cwd(), 'dist/apps/cli/main.js');

interface Started {
  child: ChildProcess;
  lines: string[];
  /** Resolves with the URL of the API; rejects if the process ends before that. */
  ready: Promise<string>;
  ended: Promise<{ code: number | null; stderr: string }>;
}

let folder: string;
const children: ChildProcess[] = [];

/** Each describe block has its own installation, which its tests use sequentially. */
function useInstallation(): void {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stowage-start-'));
  });
  afterAll(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await exited;
      }
    }
    await stopPostgres();
    await rm(folder, { recursive: true, force: true });
  });
}

/** Stops the database of a killed server. */
async function stopPostgres(): Promise<void> {
  const pid = await postmasterPid();
  if (pid === 0) return;
  process.kill(pid, 'SIGQUIT');
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function pidFile(): string {
  return join(folder, 'data/postgres/postmaster.pid');
}

/** @returns 0 when no PostgreSQL runs */
async function postmasterPid(): Promise<number> {
  return Number((await readFile(pidFile(), 'utf8').catch(() => '')).split('\n')[0]);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function start(settings: Record<string, string> = {}): Started {
  return run(process.execPath, [...RECORDED, MAIN, 'serve'], { cwd: folder, settings });
}

function run(program: string, args: string[], { cwd, settings }: { cwd: string; settings: object }): Started {
  const env = { PATH: process.env.PATH, PORT: '0', STOWAGE_DATA_DIR: join(folder, 'data'), ...settings };
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const lines: string[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.once('close', (code) => {
      resolve({ code, stderr });
    });
  });
  const ready = new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      lines.push(line);
      const url = /Stowage is ready: (\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
    void ended.then((end) => {
      reject(new Error(`ended with ${String(end.code)}: ${end.stderr}`));
    });
  });
  ready.catch(() => undefined);
  return { child, lines, ready, ended };
}

async function stop({ child, ended }: Started, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  child.kill(signal);
  return (await ended).code;
}

function adminKey(lines: readonly string[]): string {
  return /stw_admin_\w+/.exec(lines.join('\n'))?.[0] ?? '';
}

async function countObjects(url: string, key: string): Promise<number> {
  const response = await fetch(`${url}objects?count=exact`, { headers: { 'X-Api-Key': key } });
  return ((await response.json()) as { count: number }).count;
}

/** The code blocks of a language in a section of the README. */
async function readmeBlocks(heading: string, language: string): Promise<string[]> {
  const readme = await readFile('README.md', 'utf8');
  const [, section = ''] = readme.split(`\n## ${heading}\n`);
  const [text = ''] = section.split('\n## ');
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, name, block]) =>
    name === language ? [block ?? ''] : [],
  );
}

/** Replaces the parts that differ between installations or requests. */
function normalize(text: string): string {
  return (
    text
      .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:8000')
      .replaceAll(/(creating the database in ).*/g, '$1(a folder)')
      .replaceAll(/(stw_[a-z]+_)[\w.]+/g, '$1...')
      .replaceAll(/"created_at":"[^"]+"/g, '"created_at":"(a time)"')
      .replaceAll(/cursor=[\w.-]+/g, 'cursor=(a cursor)')
      // Versions of curl differ in the case of their hexadecimal digits.
      .replaceAll(/%[\da-f]{2}/gi, (code) => code.toUpperCase())
      .trim()
  );
}

/** @returns the standard output of a command line */
async function shell(command: string, env: Record<string, string> = {}): Promise<string> {
  const child = spawn('sh', ['-c', command], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  return text;
}

describe('stowage serve on an empty folder', () => {
  useInstallation();
  let server: Started;
  let url: string;

  beforeAll(async () => {
    server = start();
    url = await server.ready;
  });

  it('prints requests that work when pasted into a shell', async () => {
    const commands = server.lines.filter((line) => line.includes('curl ')).map((line) => line.trim());
    expect(commands).toHaveLength(3);
    const answers: string[] = [];
    for (const command of commands) answers.push(await shell(command));
    expect(answers[0]).toContain('"object_count":1');
    expect(answers[1]).toContain('"object_id":"hello-1"');
    expect(answers[2]?.trim()).toBe('204');
  });

  it('prints the output that the README shows, and returns the responses that it shows for its three requests', async () => {
    const [output = ''] = await readmeBlocks('Start', 'text');
    expect(normalize(server.lines.join('\n'))).toBe(normalize(output));

    const { host } = new URL(url);
    const answers: string[] = [];
    for (const command of await readmeBlocks('Three requests', 'sh')) {
      answers.push(await shell(command.replace('127.0.0.1:8000', host), { KEY: adminKey(server.lines) }));
    }
    expect(answers.map(normalize)).toEqual((await readmeBlocks('Three requests', 'text')).map(normalize));
  });

  it('creates the database, reports each step, prints the keys, and keeps the data over a restart', async () => {
    const key = adminKey(server.lines);
    expect(server.lines.slice(0, 4).join('\n')).toMatch(
      /creating the database[^]*starting PostgreSQL[^]*ran \d+ migration[^]*loaded fixtures/,
    );
    const count = await countObjects(url, key);
    expect(count).toBeGreaterThan(500);
    expect(await stop(server)).toBe(0);

    const second = start();
    expect(await countObjects(await second.ready, key)).toBe(count);
    expect(second.lines.join('\n')).not.toMatch(/stw_|fixtures|migration/);
    expect(await stop(second, 'SIGINT')).toBe(0);
  });

  it('starts PostgreSQL before it loads the rest of the server, and stops it when that fails', async () => {
    const third = start({ METRICS_PORT: '0' });
    await third.ready;
    expect(third.lines.join('\n')).toMatch(/starting PostgreSQL[^]*metrics are at/);
    expect(third.lines.at(-1)).toMatch(/^Stowage is ready: .*; metrics at http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    expect(await stop(third)).toBe(0);

    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const { code, stderr } = await start({ METRICS_PORT: String(port) }).ended;
    other.close();
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`METRICS_PORT ${String(port)}`) });
    expect(await postmasterPid()).toBe(0);
  });
});

describe('stowage serve after a server was killed', () => {
  useInstallation();
  let server: Started;
  let key: string;

  it('prints the same keys if none was used', async () => {
    server = start({ STOWAGE_SEED: 'false' });
    await server.ready;
    key = adminKey(server.lines);
    await stop(server, 'SIGKILL');
    server = start({ STOWAGE_SEED: 'false' });
    await server.ready;
    expect(key).toMatch(/^stw_admin_/);
    expect(adminKey(server.lines)).toBe(key);
  });

  it('adopts the database that it left running, with every acknowledged write, and stops it', async () => {
    const body = JSON.stringify({ batch_id: 'kept', objects: [{ object_id: 'kept-1', data: { type: 'shoe' } }] });
    const headers = { 'X-Api-Key': key, 'Content-Type': 'application/json' };
    const url = await server.ready;
    expect((await fetch(`${url}batches`, { method: 'POST', headers, body })).status).toBe(201);
    await stop(server, 'SIGKILL');
    const postmaster = await postmasterPid();
    expect(isAlive(postmaster)).toBe(true);

    server = start({ STOWAGE_SEED: 'false' });
    expect(await countObjects(await server.ready, key)).toBe(1);
    expect(await postmasterPid()).toBe(postmaster);
  });

  it('prints no key after one is used, logs only requests to standard error, and exits with 0', async () => {
    expect(server.lines.join('\n')).not.toContain('stw_');
    server.child.kill('SIGTERM');
    const { code, stderr } = await server.ended;
    const lines = stderr.trimEnd().split('\n');
    // On a busy machine it also runs half a minute after the killed one.
    const log = lines.filter((line) => !line.includes('freed the jobs of'));
    expect({ code, log }).toEqual({
      code: 0,
      log: [expect.stringContaining('"route":"/api/v1/objects"')],
    });
    await expect(access(pidFile())).rejects.toThrow('ENOENT');
  });
});

describe('a running stowage serve', () => {
  useInstallation();
  let server: Started;
  let url: string;
  let key: string;

  beforeAll(async () => {
    server = start({ STOWAGE_SEED: 'false' });
    url = await server.ready;
    key = adminKey(server.lines);
  });

  it('keeps its database when a second one cannot start', async () => {
    const second = await start({ STOWAGE_SEED: 'false', LOG_LEVEL: 'silent', PORT: new URL(url).port }).ended;
    expect(second.code).toBe(1);
    expect(await countObjects(url, key)).toBe(0);
  });

  it('exits with 0 after two signals, when the requests in progress have finished', async () => {
    const objects = Array.from({ length: 5000 }, (_, index) => ({
      object_id: `o-${String(index)}`,
      data: { n: index },
    }));
    const headers = { 'X-Api-Key': key, 'Content-Type': 'application/json', Expect: '100-continue' };
    const body = JSON.stringify({ batch_id: 'under way', objects });
    const sending = request(`${url}batches`, { method: 'POST', headers });
    sending.flushHeaders();
    // The server has received the request, and waits for its body.
    await once(sending, 'continue');
    server.child.kill('SIGTERM');
    server.child.kill('SIGTERM');
    sending.end(body);
    const [response] = (await once(sending, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(201);
    expect((await server.ended).code).toBe(0);
  });

  it('exits with 0 when a statement hangs', async () => {
    server = start({ STOWAGE_SEED: 'false' });
    url = await server.ready;
    const other = new pg.Client({ ...(await addressOfEmbedded(join(folder, 'data/postgres'))), ssl: false });
    await other.connect();
    await other.query('BEGIN; LOCK TABLE objects IN ACCESS EXCLUSIVE MODE');
    const hanging = countObjects(url, key).catch(() => 'broken off');
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`;
    while ((await other.query(waiting)).rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await stop(server)).toBe(0);
    expect(await hanging).toBe('broken off');
    await other.end();
  });
});

describe('npm start', () => {
  useInstallation();

  it('stops the server and its database when npm gets a signal', async () => {
    const npm = run('npm', ['start'], { cwd: process.cwd(), settings: { STOWAGE_SEED: 'false' } });
    await npm.ready;
    const postmaster = await postmasterPid();
    expect(await stop(npm)).toBe(0);
    expect(isAlive(postmaster)).toBe(false);
    await expect(access(pidFile())).rejects.toThrow('ENOENT');
  });
});

describe('stowage serve ends with one line on standard error and exit code 1', () => {
  useInstallation();

  async function failure(settings: Record<string, string>): Promise<string> {
    const { code, stderr } = await start({ LOG_LEVEL: 'silent', ...settings }).ended;
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    return stderr;
  }

  it('when the port is in use, before it creates a database', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    expect(await failure({ PORT: String(port), STOWAGE_SEED: 'false' })).toContain(`PORT ${String(port)}`);
    await expect(access(join(folder, 'data'))).rejects.toThrow('ENOENT');
    other.close();
  });

  it('when HOST is not an address of this machine, before it creates a database', async () => {
    expect(await failure({ HOST: '192.0.2.1' })).toContain('HOST 192.0.2.1');
    await expect(access(join(folder, 'data'))).rejects.toThrow('ENOENT');
  });

  it('when the data directory belongs to another version of PostgreSQL', async () => {
    await mkdir(join(folder, 'data/postgres'), { recursive: true });
    await writeFile(join(folder, 'data/postgres/PG_VERSION'), '13\n');
    expect(await failure({})).toContain('13');
  });

  it('when no server is reachable at DATABASE_URL', async () => {
    const settings = { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
    expect(await failure(settings)).toContain('cannot use the database');
  });

  it('when the database user may not create tables', async () => {
    const role = { user: 'powerless', password: 'of-the-test' };
    const admin = new pg.Client({ ...RUN.superuser, ssl: false });
    await admin.connect();
    await admin.query(`CREATE ROLE ${role.user} LOGIN PASSWORD '${role.password}'`);
    const url = urlOf({ ...RUN.postgres, ...role });
    try {
      expect(await failure({ DATABASE_URL: url, STOWAGE_KEY_SECRET: 'x'.repeat(32) })).toMatch(/permission denied/);
    } finally {
      await admin.query('DROP ROLE powerless');
      await admin.end();
    }
  });
});
